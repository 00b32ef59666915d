"""Other bodies for tasks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Final, Self

from mageflow.testing.records import snapshot

Function = Callable[..., Any]
NOTHING: Final = object()


class Replacement:
    """What runs in place of a task's body. calls: the arguments of each call, by name.

    Holds from when it is made to the end of the test; as a context manager, of its block.
    """

    def __init__(
        self, task: str, original: Function, instead: Any, stack: list[Replacement]
    ) -> None:
        self.task = task
        self.calls: list[dict[str, Any]] = []
        self._stack = stack
        self._sequence = list(instead) if isinstance(instead, list) else None
        self._instead = instead
        for each in self._sequence if self._sequence is not None else [instead]:
            check_parameters(task, original, each)
        stack.append(self)

    def __call__(self, **arguments: Any) -> Any:
        self.calls.append(snapshot(arguments))
        instead = self._instead
        if self._sequence is not None:
            if not self._sequence:
                raise AssertionError(
                    f"the replacement of {self.task!r} was given {len(self.calls) - 1} outcomes, "
                    f"and this is attempt number {len(self.calls)}: give one for each attempt"
                )
            instead = self._sequence.pop(0)
        if _is_exception(instead):
            raise instead
        return instead(**arguments) if is_function(instead) else instead

    def undo(self) -> None:
        if self in self._stack:
            self._stack.remove(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.undo()

    def __repr__(self) -> str:
        return f"<replacement of {self.task}, called {len(self.calls)} times>"


class Verbatim:
    """A value that is returned as it is, although it is a list, a function or an exception."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __call__(self, **_arguments: Any) -> Any:
        return self.value


def is_function(value: Any) -> bool:
    return callable(value) and not _is_exception(value)


def _is_exception(value: Any) -> bool:
    is_class = isinstance(value, type) and issubclass(value, BaseException)
    return is_class or isinstance(value, BaseException)


def check_parameters(task: str, original: Function, instead: Any) -> None:
    """Raise `TypeError` for a function that cannot be called as the original is."""
    if not is_function(instead):
        return
    theirs = inspect.signature(original)
    by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    named = [each for each in theirs.parameters.values() if each.kind in by_name]
    everything = {each.name: None for each in named}
    needed = {each.name: None for each in named if each.default is each.empty}
    own = inspect.signature(instead)
    try:
        own.bind(**everything)
        own.bind(**needed)
    except TypeError as error:
        raise TypeError(
            f"the replacement of task {task!r} takes {own}, the task itself {theirs}: {error}"
        ) from None
