"""Jobs as Hatchet has them: each is a run of a workflow of its task's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any

from hatchet_sdk import Context, EmptyModel, Hatchet
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest
from hatchet_sdk.contracts.v1.workflows_pb2 import CreateWorkflowVersionRequest
from hatchet_sdk.runnables.workflow import Standalone

from mageflow_core.backends import Deliveries, Disposal, Job, TaskSpec, pack, unpack
from mageflow_core.errors import ConfigurationError, CorruptJob

# The core has timeouts of its own. Hatchet cancels what has waited for five minutes or run for one
# unless it is told otherwise; there is no way to tell it never.
NEVER = timedelta(days=365)
OURS = "_mageflow_job"  # an attribute of workflows that are of jobs
ANY = "mageflow.any"  # no task: the workflow of all of them
PRIORITIES = {"low": 1, "normal": 2, "high": 3}
RUN = "mf-run"

SendOn = Callable[[Job, Mapping[str, Any]], Awaitable[None]]
JobWorkflow = Standalone[EmptyModel, dict[str, Any]]


class Jobs:
    """The workflows of an app's tasks, by queue and name; and one for each queue that all its
    workers serve. Hatchet gives a job to those alone who have told of its workflow, and nobody
    would ever hear of a task that none knows: what is sent again goes there, unless the task is
    known here.
    """

    def __init__(
        self, hatchet: Hatchet, deliveries: Deliveries, queue: str, send_on: SendOn
    ) -> None:
        self._hatchet = hatchet
        self._entry = _entry(self, deliveries, send_on)
        self._queue = queue
        self._made: dict[str, JobWorkflow] = {}
        self._known: set[str] = set()
        self._options: dict[str, Mapping[str, Any]] = {}
        self._natives: dict[str, Standalone[Any, Any]] = {}
        self._limited: set[str] = set()  # tasks whose workflows say more than any other would

    def describe(self, spec: TaskSpec, native: Standalone[Any, Any] | None) -> None:
        """What is to hold for the jobs of a task: options of Hatchet's own that it was given, or
        those of the native task that it is."""
        self._known.update((spec.name, *spec.aliases))
        options = spec.native.get("hatchet") or {}
        if options:
            self._options[spec.name] = options
            self._limited.add(spec.name)
        elif native is not None:
            self._natives[spec.name] = native
            if _has_limits(native.to_proto()):
                self._limited.add(spec.name)

    def workflow(self, task: str, queue: str | None = None) -> JobWorkflow:
        """Raises `ConfigurationError` for options that Hatchet does not know."""
        name = f"{portable_queue(queue or self._queue)}.{task}"
        made = self._made.get(name)
        if made is None:
            options = {
                "name": name,
                "retries": 0,
                "execution_timeout": NEVER,
                "schedule_timeout": NEVER,
            }
            try:
                given = {**self._options.get(task, {}), **options}
                made = self._make(task, given)(self._entry)
            except TypeError as error:
                raise ConfigurationError(
                    f"task {task!r} has options for Hatchet that it does not know: {error}"
                ) from error
            setattr(made, OURS, True)
            self._made[name] = made
        return made

    def _make(self, task: str, options: dict[str, Any]) -> Any:
        native = self._natives.get(task)
        if native is not None and native._task._is_durable:  # noqa: SLF001
            # One that waits is not to be put aside: its job is its attempt.
            return Hatchet.durable_task(self._hatchet, **options, eviction_policy=None)
        return Hatchet.task(self._hatchet, **options)

    def definition(self, task: str, queue: str | None = None) -> CreateWorkflowVersionRequest:
        """As the engine is to have it."""
        made = self.workflow(task, queue).to_proto()
        native = self._natives.get(task)
        if native is not None:
            take_limits(made, native.to_proto())
        return made

    def definitions(self) -> list[CreateWorkflowVersionRequest]:
        """Those that say more than any other would."""
        return [self.definition(task) for task in sorted(self._limited)]

    def of_queue(self, queue: str) -> list[JobWorkflow]:
        """All that a worker of this queue serves."""
        return [self.workflow(task, queue) for task in sorted({*self._known, ANY})]

    def place(self, job: Job) -> str:
        """The task whose workflow a job is a run of."""
        return job.task if job.send == 1 or job.task in self._known else ANY

    def strayed(self, meta: Mapping[str, Any]) -> Job | None:
        """The job, where its task has a workflow of its own that heeds more than the one of all."""
        try:
            job, _ = unpack(meta)
        except CorruptJob:
            return None
        return job if job.task in self._limited else None

    def name(self, job: Job) -> str:
        return self.workflow(self.place(job), job.queue).name

    def request(self, job: Job, meta: Mapping[str, Any]) -> TriggerWorkflowRequest:
        """To run a job. It is nobody's child, whatever runs here now: Hatchet would link it to
        that, and give it an earlier one again where that is tried again."""
        return TriggerWorkflowRequest(
            name=self.name(job),
            input="{}",
            additional_metadata=json.dumps(meta),
            priority=PRIORITIES[job.priority or "normal"],
        )


def metadata(job: Job, namespace: str) -> dict[str, str]:
    """What a job is of, as Hatchet's dashboard can be filtered by it."""
    return {**pack(job, namespace), RUN: re.split("[/~]", job.key, maxsplit=1)[0]}


def portable_queue(queue: str) -> str:
    """A queue's name as it can stand in an action's, which Hatchet has in lower case."""
    name = re.sub(r"[^a-z0-9._-]", "-", queue.lower())
    return name if name == queue else f"{name}-{hashlib.sha256(queue.encode()).hexdigest()[:6]}"


def _entry(jobs: Jobs, deliveries: Deliveries, send_on: SendOn) -> Any:
    """What Hatchet runs for a job."""

    async def job(_input: EmptyModel, context: Context) -> dict[str, Any]:
        meta: Any = context.additional_metadata
        if context._workflow_name.endswith(ANY):  # noqa: SLF001
            strayed = jobs.strayed(meta)
            if strayed is not None:
                await send_on(strayed, meta)
                return {"mageflow": "sent on"}
        handled = await deliveries.run(context.task_run_id, meta, context)
        if handled.disposal is Disposal.FAILED:
            raise handled.error or RuntimeError("the task has failed")
        return {"mageflow": handled.disposal.value}

    return job


# --- what holds for native tasks ------------------------------------------------------------------
def take_limits(made: CreateWorkflowVersionRequest, native: CreateWorkflowVersionRequest) -> None:
    """Have the same hold for jobs that Hatchet heeds before it runs a task. What depends on a run's
    input cannot: jobs have none."""
    (own,), (other,) = made.tasks, native.tasks
    own.concurrency.extend(each for each in other.concurrency if not _asks(each.expression))
    own.rate_limits.extend(each for each in other.rate_limits if not _asks(str(each)))
    for name, label in other.worker_labels.items():
        own.worker_labels[name].CopyFrom(label)
    for name, units in other.slot_requests.items():
        own.slot_requests[name] = units
    if "default" not in other.slot_requests:
        own.slot_requests.pop("default", None)
    made.default_priority = native.default_priority
    if native.HasField("sticky"):
        made.sticky = native.sticky


def _has_limits(native: CreateWorkflowVersionRequest) -> bool:
    task = native.tasks[0]
    slots = dict(task.slot_requests)
    said = (task.concurrency, task.rate_limits, task.worker_labels, native.HasField("sticky"))
    return any(said) or slots != {"default": 1}


def _asks(expression: str) -> bool:
    return "input." in expression or "input[" in expression
