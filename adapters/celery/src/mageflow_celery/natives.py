"""Celery's own tasks, as tasks of MageFlow."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from celery import Celery, Task
from celery.exceptions import Retry as CeleryRetry

from mageflow_celery.deliveries import PREFIX, delivered
from mageflow_core import Retry
from mageflow_core.backends import TaskSpec

log = logging.getLogger("mageflow.celery")

LONGEST = 128  # characters of a name
UNLIMITED = 1_000_000  # retries


def portable(name: str) -> str:
    """A name as MageFlow has it: `shop.tasks:Send_Mail` is `shop.tasks.send_mail`."""
    return re.sub(r"[^a-z0-9._-]", ".", name.lower()).lstrip("._-")[:LONGEST]


class RetryRequested(Exception):
    """A body has called `self.retry()`, or failed with what `autoretry_for` names."""


class Natives:
    """The tasks that an app has by itself; Celery's own, and jobs, are none."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._specs: dict[str, tuple[Task, TaskSpec]] = {}  # by native name
        self._names: dict[str, str] = {}  # portable name → native one

    def __iter__(self) -> Iterator[TaskSpec]:
        for task in list(self._app.tasks.values()):
            if _is_native(task) and self._has_its_name(task):
                yield self._spec(task)

    def find(self, task: Any) -> TaskSpec | None:
        # A decorated function is a proxy of its task, until the app is finalized.
        name = getattr(task, "name", None) if isinstance(task, Task) else None
        if not isinstance(name, str):
            return None
        known = self._app.tasks.get(name)
        if known is None or known != task or not _is_native(known):
            return None
        return self._spec(known) if self._has_its_name(known) else None

    def _has_its_name(self, task: Task) -> bool:
        name = portable(task.name)
        first = self._names.setdefault(name, task.name)
        if first != task.name and task.name not in self._names:
            self._names[task.name] = ""  # told of once
            log.warning(
                "Celery's task %r cannot be signed: %r has its name, %s; give it another with "
                "name=",
                task.name,
                first,
                name,
            )
        return bool(name) and first == task.name

    def _spec(self, task: Task) -> TaskSpec:
        kept = self._specs.get(task.name)
        if kept is None or kept[0] is not task:
            spec = TaskSpec(
                name=portable(task.name),
                fn=_body(task),
                is_async=inspect.iscoroutinefunction(task.run),
                retry=_retry(task),
            )
            kept = self._specs[task.name] = task, spec
        return kept[1]


def _is_native(task: Task) -> bool:
    return not task.name.startswith(("celery.", PREFIX))


def _body(task: Task) -> Callable[..., Any]:
    """What a flow runs: the task's own function, with a request that tells it of its attempt."""
    if inspect.iscoroutinefunction(task.run):
        return task.run  # type: ignore[no-any-return]

    @wraps(task.run)
    def run(**given: Any) -> Any:
        job = delivered.get()
        if job is None:
            return task.run(**given)
        context = job.context
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
            retries=job.attempt - 1,
        )
        try:
            return task.run(**given)
        except CeleryRetry as again:
            raise RetryRequested(str(again)) from (again.exc or None)
        finally:
            task.pop_request()

    made: Any = run
    made.__signature__ = inspect.signature(task.run)
    return made  # type: ignore[no-any-return]


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
