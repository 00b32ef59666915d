"""A task: a function under a portable name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import update_wrapper
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

from mageflow_core.errors import ConfigurationError
from mageflow_core.names import check_name
from mageflow_core.signatures.binding import Binder
from mageflow_core.signatures.options import NO_OPTIONS, Options
from mageflow_core.signatures.signature import NOTHING, TaskSignature

if TYPE_CHECKING:
    from mageflow_core.client.run import Run
    from mageflow_core.signatures.ambient import App

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Task(Generic[P, T, R]):
    """A registered function. Calling it calls the function, nothing more.

    `T` is what the function gives (for `async def` an awaitable), `R` its result.
    """

    def __init__(
        self,
        fn: Callable[P, T],
        *,
        app: App,
        name: str,
        aliases: tuple[str, ...] = (),
        options: Options = NO_OPTIONS,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        if not callable(fn):
            raise ConfigurationError(f"{fn!r} is not a function: @task goes on functions")
        self.fn = fn
        self.app = app
        self.name = check_name(name)
        self.aliases = tuple(check_name(alias, "alias") for alias in aliases)
        self.options = options
        self.labels = dict(labels or {})
        self.binder = Binder.of(fn, name=self.name)
        self.is_async = inspect.iscoroutinefunction(inspect.unwrap(fn))
        update_wrapper(self, fn)
        self._plain: TaskSignature[R] = TaskSignature(task=name, labels=self.labels)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.fn(*args, **kwargs)

    def sign(self, **args: Any) -> TaskSignature[R]:
        """A signature of this task with arguments bound by name.

        Raises `UnknownArgument`, `InvalidInput` and `NotSerializable`; nothing is stored.
        """
        if not args:
            return self._plain
        plain = self.binder.plain_args(args)
        return TaskSignature(task=self.name, args=plain, labels=self.labels)

    async def start(self, message: Any = NOTHING, **args: Any) -> Run[R]:
        """Start a run of this task alone; see `Mageflow.start`."""
        run: Run[R] = await self.app.start(self.sign(**args), message)
        return run

    async def run(self, message: Any = NOTHING, **args: Any) -> R:
        """Start a run of this task alone and wait for its result."""
        return await (await self.start(message, **args)).result()

    def start_sync(self, message: Any = NOTHING, **args: Any) -> Run[R]:
        """`start` for scripts; raises `InsideEventLoop` in a running event loop."""
        return self.app.run_sync(self.start(message, **args))

    def run_sync(self, message: Any = NOTHING, **args: Any) -> R:
        """`run` for scripts; raises `InsideEventLoop` in a running event loop."""
        return self.app.run_sync(self.run(message, **args))

    def __repr__(self) -> str:
        return f"<task {self.name}>"
