"""Hatchet's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import wraps
from typing import Any, TypeGuard

from hatchet_sdk import Hatchet, NonRetryableException
from hatchet_sdk.features.stubs import StubsClient
from hatchet_sdk.runnables.task import Task
from hatchet_sdk.runnables.workflow import BaseWorkflow, Standalone
from hatchet_sdk.utils.timedelta_to_expression import Duration, expr_to_timedelta

from mageflow_core import Retry
from mageflow_core.backends import NativeSpecs, TaskSpec
from mageflow_hatchet.bodies import body_of

MAKERS = ("task", "durable_task", "batch_task")  # of the client; each gives a decorator
AnyTask = Standalone[Any, Any]
AnyWorkflow = BaseWorkflow[Any]


class Natives:
    """The workflows that a client has by itself, and those of them that are one task."""

    def __init__(self, hatchet: Hatchet, ours: str) -> None:
        """ours: the attribute that marks workflows of jobs."""
        self._hatchet = hatchet
        self._ours = ours
        self._specs: NativeSpecs[AnyTask] = NativeSpecs(_spec, engine="Hatchet", argument="name=")
        self._named: dict[str, AnyTask] = {}  # by portable name
        # Hatchet's client keeps no list of what was made with it. Objects are asked for their type
        # alone, as what they say of their class some only find out then.
        self.workflows: list[AnyWorkflow] = [
            each
            for each in gc.get_objects()
            if issubclass(type(each), BaseWorkflow) and each._client is hatchet  # noqa: SLF001
        ]
        self._hear_of_more()

    def _hear_of_more(self) -> None:
        client: Any = self._hatchet

        def heard(made: Any) -> Any:
            if isinstance(made, BaseWorkflow):
                self.workflows.append(made)
            return made

        for name in MAKERS:
            make = getattr(client, name)

            def maker(*args: Any, _make: Any = make, **options: Any) -> Any:
                decorate = _make(*args, **options)
                return lambda fn: heard(decorate(fn))

            setattr(client, name, wraps(make)(maker))
        make_workflow = client.workflow
        client.workflow = wraps(make_workflow)(lambda *a, **o: heard(make_workflow(*a, **o)))

    # --- as workflows of a worker ---------------------------------------------------------------
    @property
    def served(self) -> list[AnyWorkflow]:
        """What a worker runs when it is triggered natively."""
        inner = {id(each._workflow) for each in self.workflows if isinstance(each, Standalone)}  # noqa: SLF001
        return [
            each
            for each in self.workflows
            if each.tasks
            and id(each) not in inner
            and not getattr(each, self._ours, False)
            and not _is_stub(each)
        ]

    # --- as tasks of flows ----------------------------------------------------------------------
    def __iter__(self) -> Iterator[TaskSpec]:
        for each in self.served:
            spec = self._one(each) if _is_one_task(each) else None
            if spec is not None:
                yield spec

    def find(self, task: Any) -> TaskSpec | None:
        return self._one(task) if _is_one_task(task) and task in self.served else None

    def native(self, name: str) -> AnyTask | None:
        """The task that is adopted under this name."""
        return self._named.get(name)

    def _one(self, task: AnyTask) -> TaskSpec | None:
        spec = self._specs.spec(task._config.name, task)  # noqa: SLF001 - without the namespace
        if spec is not None:
            self._named[spec.name] = task
        return spec


def _is_one_task(workflow: object) -> TypeGuard[AnyTask]:
    """Of which each run is one call, with one input."""
    return isinstance(workflow, Standalone) and workflow._task.batch is None  # noqa: SLF001


def _is_stub(workflow: AnyWorkflow) -> bool:
    """Whether it stands for somebody else's, to be triggered only."""
    return any(
        each._fn.__module__ == StubsClient.__module__  # noqa: SLF001
        for each in workflow.tasks
    )


def _spec(name: str, task: AnyTask) -> TaskSpec:
    inner = task._task  # noqa: SLF001
    return TaskSpec(
        name=name,
        fn=body_of(inner),
        is_async=inner._is_async_function,  # noqa: SLF001
        retry=_retry(inner),
        timeout=_seconds(inner.execution_timeout),
    )


def _retry(task: Task[Any, Any]) -> Retry:
    """What Hatchet would do. Without a factor it tries again at once."""
    factor = task.backoff_factor
    return Retry(
        retries=task.retries,
        delay=float(factor or 0),
        factor=max(1.0, float(factor or 1)),
        max_delay=float(task.backoff_max_seconds or 3600),
        jitter=0,
        never=(NonRetryableException,),
    )


def _seconds(duration: Duration) -> float:
    if isinstance(duration, str):
        return expr_to_timedelta(duration).total_seconds()
    return duration.total_seconds()
