"""Celery's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from celery import Celery, Task
from celery.app.task import Context as Request
from celery.exceptions import Retry as CeleryRetry
from celery.utils.nodenames import gethostname

from mageflow_core import Context, Retry
from mageflow_core.backends import JOB, NativeSpecs, TaskSpec

UNLIMITED = 1_000_000  # retries
# Of bodies, beside their own: the core fills it, on whatever backend.
CONTEXT = inspect.Parameter(
    "mageflow_context", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Context
)


class RetryRequested(Exception):
    """A body has called `self.retry()`, or failed with what `autoretry_for` names."""


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
        retry=_retry(task),
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
            raise RetryRequested(str(again)) from (again.exc or None)
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


def _retry(task: Task) -> Retry:
    """What Celery would do after `self.retry()`, or what `autoretry_for` names. A delay that a
    call of it says itself is not known here."""
    options: Any = task  # has these where it was given them
    backoff = float(getattr(options, "retry_backoff", False) or 0)
    retries = UNLIMITED if task.max_retries is None else task.max_retries
    said: dict[str, Any] = {"delay": float(task.default_retry_delay), "factor": 1.0, "jitter": 0}
    most = said["delay"]
    if backoff and getattr(options, "autoretry_for", None):
        most = float(getattr(options, "retry_backoff_max", 600))
        jitter = bool(getattr(options, "retry_jitter", True))
        said = {"delay": max(1.0, backoff), "factor": 2.0, "jitter": int(jitter)}
    return Retry(retries=retries, max_delay=most, on=(RetryRequested,), **said)
