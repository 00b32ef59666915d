"""Celery's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import wraps
from typing import Any

from celery import Celery, Task
from celery.app.task import Context as Request
from celery.exceptions import Retry as CeleryRetry
from celery.utils.nodenames import gethostname
from celery.utils.time import maybe_make_aware

from mageflow_core import Context, Retry
from mageflow_core.backends import JOB, NativeSpecs, RetryAsked, TaskSpec

UNLIMITED = 1_000_000  # retries
# Of bodies, beside their own: the core fills it, on whatever backend.
CONTEXT = inspect.Parameter(
    "mageflow_context", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Context
)


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
    def run(*args: Any, mageflow_context: Context | None = None, **given: Any) -> Any:
        if mageflow_context is None:  # called as a function
            return task.run(*args, **given)
        task.push_request(**_request(mageflow_context), kwargs=given)
        try:
            return task.run(*args, **given)
        except CeleryRetry as again:
            raise RetryRequested(str(again), delay=_delay(task, again.when)) from again.exc
        finally:
            task.pop_request()

    made: Any = run
    made.__annotations__ = {**run.__annotations__, CONTEXT.name: Context}
    own = inspect.signature(task.run)
    most = [each for each in own.parameters.values() if each.kind is not CONTEXT.VAR_KEYWORD]
    rest = [each for each in own.parameters.values() if each.kind is CONTEXT.VAR_KEYWORD]
    made.__signature__ = own.replace(parameters=[*most, CONTEXT, *rest])
    return made  # type: ignore[no-any-return]


def _request(context: Context) -> dict[str, Any]:
    """What the task finds in `self.request`, also where another backend runs it."""
    job = context.native if isinstance(context.native, Request) else Request()
    return {
        "id": job.id or context.key,
        "root_id": job.root_id or context.run_id,
        "args": (),
        "headers": job.headers,
        "hostname": job.hostname or gethostname(),
        "delivery_info": job.delivery_info,
        "called_directly": False,
        "is_eager": True,  # so that `retry` raises, and sends nothing
        "retries": context.attempt - 1,
    }


def _delay(task: Task, when: float | datetime | None) -> float:
    """Seconds until the next attempt, of the `when` of Celery's `Retry`."""
    if isinstance(when, datetime):
        eta = maybe_make_aware(when, task.app.timezone)
        return float((eta - datetime.now(UTC)).total_seconds())
    return float(when or 0)
