"""What Celery finds under the names of jobs: a task, in the registry and in a worker's consumer,
for each name that begins as theirs do, whoever knows it. Of a message of a task that it does not
find, Celery says so and throws it away; what becomes of such a job is the core's to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from celery import Celery, Task
from celery.app.registry import TaskRegistry
from celery.app.trace import build_tracer
from celery.utils.nodenames import gethostname

from mageflow_core.backends import JOB

# Whatever the app says for its own tasks.
DELIVERY = {
    "acks_late": True,
    "acks_on_failure": True,
    "acks_on_timeout": False,
    "reject_on_worker_lost": True,
    "retry_on_worker_lost": False,
    "max_retries": 0,
    "ignore_result": True,
    "store_errors_even_if_ignored": False,
    "track_started": False,
    "serializer": "json",
    "typing": False,
    "trail": False,
}
Run = Callable[[Any], str | None]


class Job(Task):  # type: ignore[misc]
    """A job of a flow, for Celery."""

    abstract = True
    perform: ClassVar[Run]

    def run(self) -> str | None:
        return type(self).perform(self.request)


for _name, _value in DELIVERY.items():
    setattr(Job, _name, _value)


class Jobs:
    """Makes the tasks of one app, as they are asked for. perform: runs a job, given Celery's
    request of it."""

    def __init__(self, app: Celery, perform: Run) -> None:
        self._app = app
        self._class: type[Task] | None = None
        self._perform = staticmethod(perform)

    def make(self, name: str) -> Task:
        if self._class is None:
            kind = type("Job", (Job,), {"perform": self._perform, "abstract": True})
            kind.bind(self._app)  # type: ignore[attr-defined]
            for option, value in DELIVERY.items():  # which annotations may have changed
                setattr(kind, option, value)
            self._class = kind
        task = self._class()
        task.name = name
        # Processes of a pool take it from there, and make none of tasks that are new.
        task.__trace__ = build_tracer(name, task, self._app.loader, gethostname(), app=self._app)
        return task


class JobRegistry(TaskRegistry):  # type: ignore[misc]
    """An app's registry, which was another one's kind until it was given this class."""

    jobs: Jobs

    def __missing__(self, name: Any) -> Any:
        if not str(name).startswith(JOB):
            return super().__missing__(name)
        task = self[name] = self.jobs.make(name)
        return task


def find_jobs_in(app: Celery, jobs: Jobs) -> None:
    registry = app._tasks  # noqa: SLF001 - `tasks` would evaluate those that are not ready
    if not isinstance(registry, JobRegistry):
        kind = type("JobRegistry", (JobRegistry, type(registry)), {})
        registry.__class__ = kind
    registry.jobs = jobs


class Strategies(dict[str, Any]):
    """How a consumer takes messages, by the names of their tasks."""

    def __init__(self, consumer: Any) -> None:
        super().__init__(consumer.strategies)
        self._consumer = consumer

    def __missing__(self, name: Any) -> Any:
        if not str(name).startswith(JOB):
            raise KeyError(name)
        app = self._consumer.app
        strategy = self[name] = app.tasks[name].start_strategy(app, self._consumer)
        return strategy
