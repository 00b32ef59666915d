"""Bodies under observation: what a test app calls in place of a task's function."""

from __future__ import annotations

import copy
import inspect
from typing import Any

from mageflow.testing.faults import Died
from mageflow.testing.frozen import Graves
from mageflow.testing.records import Attempt, Records, snapshot
from mageflow.testing.replacing import NOTHING, Replacement, Verbatim
from mageflow_core import Mageflow, Task
from mageflow_core.client.registry import Registry
from mageflow_core.signatures.branch import BRANCH

AnyTask = Task[..., Any, Any]


class Bodies:
    """Records calls, replaces functions, and has workers die."""

    def __init__(self, records: Records) -> None:
        self.graves = Graves()
        self._records = records
        self._replaced: dict[str, list[Replacement]] = {}

    def replace(self, task: AnyTask, instead: Any, returns: Any) -> Replacement:
        if (instead is NOTHING) == (returns is NOTHING):
            raise TypeError("replace(task, instead) or replace(task, returns=value)")
        stack = self._replaced.setdefault(task.name, [])
        original = inspect.unwrap(task)
        what = Verbatim(returns) if instead is NOTHING else instead
        return Replacement(task.name, original, what, stack)

    def observed(self, task: AnyTask, app: Mageflow) -> AnyTask:
        """A copy of a task, of `app`, whose function is called through here."""
        original = task.fn

        def prepared(arguments: dict[str, Any]) -> tuple[Any, Attempt | None]:
            attempt = self._records.here()
            if attempt is not None:
                attempt.input = snapshot(arguments)
                if attempt.crash == "before":
                    raise Died
            stack = self._replaced.get(task.name)
            return (stack[-1] if stack else original), attempt

        async def run(**arguments: Any) -> Any:
            function, attempt = prepared(arguments)
            with noted(attempt):
                value = function(**arguments)
                if inspect.iscoroutine(value) and attempt and attempt.crash == "during":
                    self.graves.freeze(value)
                return await value if inspect.isawaitable(value) else value

        def call(**arguments: Any) -> Any:
            function, attempt = prepared(arguments)
            with noted(attempt):
                return function(**arguments)

        observed = copy.copy(task)
        observed.fn = run if task.is_async else call
        observed.app = app
        return observed


class noted:  # noqa: N801 - used as a function; a generator would add frames to users' tracebacks
    """Keeps what a body raises with its attempt."""

    def __init__(self, attempt: Attempt | None) -> None:
        self._attempt = attempt

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _tb: object) -> None:
        if self._attempt is not None and not isinstance(error, Died):
            self._attempt.exception = error


class ObservedRegistry(Registry):
    """The tasks of a test app: its own, and those of the app that it stands in for, also if they
    are registered later."""

    def __init__(self, app: Mageflow, bodies: Bodies, source: Registry | None) -> None:
        super().__init__()
        self._app = app
        self._bodies = bodies
        self._source = source
        for task in source or ():
            if task.name != BRANCH:  # each app has its own
                self.add(task)

    def add(self, task: AnyTask) -> None:
        super().add(self._bodies.observed(task, self._app))

    def find(self, name: str) -> AnyTask | None:
        found = super().find(name)
        if found is None and self._source is not None:
            late = self._source.find(name)
            if late is not None:
                self.add(late)
                found = super().find(name)
        return found
