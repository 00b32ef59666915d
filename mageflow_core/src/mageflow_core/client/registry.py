"""The tasks that an app knows, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from typing import Any

from mageflow_core.errors import DuplicateTask, UnknownTask
from mageflow_core.signatures.task import Task

AnyTask = Task[..., Any, Any]


class Registry:
    """Names are unique, aliases included. look_again: adds what may have come since, asked where
    a name is unknown."""

    def __init__(self, look_again: Callable[[], None] = lambda: None) -> None:
        self._look_again = look_again
        self._tasks: dict[str, AnyTask] = {}
        self._named: dict[str, AnyTask] = {}

    def __iter__(self) -> Iterator[AnyTask]:
        self._look_again()
        return iter(self._tasks.values())

    def add(self, task: AnyTask) -> None:
        for name in (task.name, *task.aliases):
            other = self._named.get(name)
            if other is not None:
                raise DuplicateTask(
                    f"two tasks are named {name!r}: {_place(other)} and {_place(task)}; give one "
                    "of them another with name="
                )
        self._tasks[task.name] = task
        self._named.update(dict.fromkeys((task.name, *task.aliases), task))

    def find(self, name: str) -> AnyTask | None:
        if name not in self._named:
            self._look_again()
        return self._named.get(name)

    def knows(self, name: str) -> bool:
        """Whether it is here already."""
        return name in self._named

    def names(self) -> frozenset[str]:
        self._look_again()
        return frozenset(self._named)

    def unknown(self, name: str) -> UnknownTask:
        close = get_close_matches(name, self._named, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        known = ", ".join(sorted(n for n in self._tasks if "mageflow." not in n)) or "none"
        return UnknownTask(f"no task is named {name!r}{hint} Known tasks: {known}.")


def _place(task: AnyTask) -> str:
    code = getattr(task.fn, "__code__", None)
    where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
    return f"{task.fn!r}{where}"
