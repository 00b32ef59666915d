"""Celery's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from celery import Celery, Task
from celery.exceptions import Retry as CeleryRetry
from celery.utils.time import maybe_make_aware

from mageflow_core import Retry
from mageflow_core.backends import JOB, NativeSpecs, RetryAsked, TaskSpec, delivered

UNLIMITED = 1_000_000  # retries


class RetryRequested(RetryAsked):
    """A body has called `self.retry()`, or failed with what `autoretry_for` names."""


# Celery itself says in the body how often, and raises something else when that is over.
AS_ASKED = Retry(retries=UNLIMITED, on=(RetryRequested,))


class Natives:
    """The tasks that an app has by itself; Celery's own, and jobs, are none."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._specs: NativeSpecs[Task] = NativeSpecs(_spec, engine="Celery", argument="name=")

    def __iter__(self) -> Iterator[TaskSpec]:
        for task in list(self._app.tasks.values()):
            spec = self._specs.spec(task.name, task) if _is_native(task) else None
            if spec is not None:
                yield spec

    def find(self, task: Any) -> TaskSpec | None:
        # A decorated function is a proxy of its task, until the app is finalized.
        name = getattr(task, "name", None) if isinstance(task, Task) else None
        known = self._app.tasks.get(name) if isinstance(name, str) else None
        if known is None or known != task or not _is_native(known):
            return None
        return self._specs.spec(known.name, known)


def _spec(name: str, task: Task) -> TaskSpec:
    return TaskSpec(
        name=name,
        fn=_body(task),
        is_async=inspect.iscoroutinefunction(task.run),
        retry=AS_ASKED,
    )


def _is_native(task: Task) -> bool:
    return not task.name.startswith(("celery.", JOB))


def _body(task: Task) -> Callable[..., Any]:
    """What a flow runs: the task's own function, with a request that tells it of its attempt."""
    if inspect.iscoroutinefunction(task.run):
        return task.run  # type: ignore[no-any-return]

    @wraps(task.run)
    def run(**given: Any) -> Any:
        delivery = delivered()
        if delivery is None:
            return task.run(**given)
        context = delivery.native
        task.push_request(
            id=context.id,
            root_id=context.root_id,
            args=(),
            kwargs=given,
            headers=context.headers,
            hostname=context.hostname,
            delivery_info=context.delivery_info,
            called_directly=False,
            is_eager=True,  # so that `retry` raises, and sends nothing
            retries=delivery.job.attempt - 1,
        )
        try:
            return task.run(**given)
        except CeleryRetry as again:
            raise RetryRequested(str(again), delay=_delay(task, again.when)) from again.exc
        finally:
            task.pop_request()

    made: Any = run
    made.__signature__ = inspect.signature(task.run)
    return made  # type: ignore[no-any-return]


def _delay(task: Task, when: float | datetime | None) -> float:
    """Seconds until the next attempt, of the `when` of Celery's `Retry`."""
    if isinstance(when, datetime):
        eta = maybe_make_aware(when, task.app.timezone)
        return float((eta - datetime.now(UTC)).total_seconds())
    return float(when or 0)
