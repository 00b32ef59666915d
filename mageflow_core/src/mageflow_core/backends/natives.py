"""Tasks that an engine's client has by itself, under names that MageFlow can have."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, TypeVar

from mageflow_core.backends.protocol import TaskSpec
from mageflow_core.names import portable

log = logging.getLogger("mageflow.backends")

NativeTask = TypeVar("NativeTask")


class NativeSpecs(Generic[NativeTask]):
    """The specs of one client's tasks: one for each name, however often it is asked for.

    make: the spec of a task, under this portable name. engine, argument: what people call the
    engine, and what of it they name a task with, as `name=`.
    """

    def __init__(
        self, make: Callable[[str, NativeTask], TaskSpec], *, engine: str, argument: str
    ) -> None:
        self._make = make
        self._engine = engine
        self._argument = argument
        self._made: dict[str, tuple[NativeTask, TaskSpec]] = {}  # by native name
        self._natives: dict[str, str] = {}  # portable name → native one
        self._told_of: set[str] = set()

    def spec(self, native: str, task: NativeTask) -> TaskSpec | None:
        """Of the task of this name; `None` where another one had the same portable name first,
        which is told of once, or where nothing is left of the name."""
        name = portable(native)
        if not name:
            return None
        first = self._natives.setdefault(name, native)
        if first != native:
            if native not in self._told_of:
                self._told_of.add(native)
                log.warning(
                    "%s's task %r cannot be signed: %r has its name, %s; give it another with %s",
                    self._engine,
                    native,
                    first,
                    name,
                    self._argument,
                )
            return None
        made = self._made.get(native)
        if made is None or made[0] is not task:
            made = self._made[native] = task, self._make(name, task)
        return made[1]
