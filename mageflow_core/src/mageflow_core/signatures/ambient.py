"""The application that module-level functions and signatures work on.

The client layer above provides it; here is only the seam, so that signatures can be started
without importing what starts them.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class App(Protocol):
    """What a signature asks of the application. Implemented by `mageflow_core.client`."""

    def store(self, signature: Any) -> Coroutine[Any, Any, Any]: ...
    async def start(
        self,
        signature: Any,
        message: Any = ...,
        *,
        key: str | None = ...,
        labels: Mapping[str, str] | None = ...,
        ttl: float | None = ...,
    ) -> Any: ...
    def run_sync(self, coroutine: Coroutine[Any, Any, T]) -> T: ...
    def task_name(self, name: str) -> str: ...
    def adopt(self, native: Any, /) -> Any: ...


entered: ContextVar[App | None] = ContextVar("mageflow_app", default=None)
_find: Callable[[], App] | None = None


def provide(find: Callable[[], App]) -> None:
    """Say how to find the application outside of any `async with`."""
    global _find  # noqa: PLW0603 - the one seam between these layers
    _find = find


def current_app() -> App:
    """The app whose `async with` we are in, else the one of this process, else the default."""
    app = entered.get()
    if app is not None:
        return app
    assert _find is not None, "importing mageflow_core provides it"
    return _find()
