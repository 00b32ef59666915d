"""Taskiq's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from typing import Any

from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask

from mageflow_core.backends import TaskSpec
from mageflow_taskiq.deliveries import PREFIX
from mageflow_taskiq.dependencies import without_dependencies

log = logging.getLogger("mageflow.taskiq")

AnyTask = AsyncTaskiqDecoratedTask[Any, Any]
LONGEST = 128  # characters of a name


def portable(name: str) -> str:
    """A name as MageFlow has it: `shop.tasks:Send_Mail` is `shop.tasks.send_mail`."""
    return re.sub(r"[^a-z0-9._-]", ".", name.lower()).lstrip("._-")[:LONGEST]


class Natives:
    """The tasks that a broker has by itself, shared ones included."""

    def __init__(self, broker: AsyncBroker) -> None:
        self._broker = broker
        self._specs: dict[str, tuple[AnyTask, TaskSpec]] = {}  # by native name
        self._names: dict[str, str] = {}  # portable name → native one

    def __iter__(self) -> Iterator[TaskSpec]:
        for name, task in self._broker.get_all_tasks().items():
            if not name.startswith(PREFIX) and self._has_its_name(task):
                yield self._spec(task)

    def find(self, task: Any) -> TaskSpec | None:
        if not isinstance(task, AsyncTaskiqDecoratedTask) or task.task_name.startswith(PREFIX):
            return None
        known = self._broker.get_all_tasks().get(task.task_name)
        return self._spec(task) if known is task and self._has_its_name(task) else None

    def _has_its_name(self, task: AnyTask) -> bool:
        name = portable(task.task_name)
        first = self._names.setdefault(name, task.task_name)
        if first != task.task_name and task.task_name not in self._names:
            self._names[task.task_name] = ""  # told of once; no portable name has a colon
            log.warning(
                "taskiq's task %r cannot be signed: %r has its name, %s; give it another with "
                "task_name=",
                task.task_name,
                first,
                name,
            )
        return bool(name) and first == task.task_name

    def _spec(self, task: AnyTask) -> TaskSpec:
        kept = self._specs.get(task.task_name)
        if kept is None or kept[0] is not task:
            fn = task.original_func
            queue = task.labels.get("queue_name")
            spec = TaskSpec(
                name=portable(task.task_name),
                fn=without_dependencies(fn, self._broker),
                is_async=inspect.iscoroutinefunction(fn),
                queue=str(queue) if queue else None,
            )
            kept = self._specs[task.task_name] = task, spec
        return kept[1]
