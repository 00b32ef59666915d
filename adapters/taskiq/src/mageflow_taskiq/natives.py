"""Taskiq's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask

from mageflow_core.backends import JOB, NativeSpecs, TaskSpec
from mageflow_taskiq.dependencies import without_dependencies

AnyTask = AsyncTaskiqDecoratedTask[Any, Any]


class Natives:
    """The tasks that a broker has by itself, shared ones included."""

    def __init__(self, broker: AsyncBroker) -> None:
        self._broker = broker
        self._specs: NativeSpecs[AnyTask] = NativeSpecs(
            self._spec, engine="taskiq", argument="task_name="
        )

    def __iter__(self) -> Iterator[TaskSpec]:
        for name, task in self._broker.get_all_tasks().items():
            spec = None if name.startswith(JOB) else self._specs.spec(name, task)
            if spec is not None:
                yield spec

    def find(self, task: Any) -> TaskSpec | None:
        if not isinstance(task, AsyncTaskiqDecoratedTask) or task.task_name.startswith(JOB):
            return None
        known = self._broker.get_all_tasks().get(task.task_name)
        return self._specs.spec(task.task_name, task) if known is task else None

    def _spec(self, name: str, task: AnyTask) -> TaskSpec:
        fn = task.original_func
        queue = task.labels.get("queue_name")
        return TaskSpec(
            name=name,
            fn=without_dependencies(fn, self._broker),
            is_async=inspect.iscoroutinefunction(fn),
            queue=str(queue) if queue else None,
        )
