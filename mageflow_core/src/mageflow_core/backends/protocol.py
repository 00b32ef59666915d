"""The seam to a task manager. An adapter implements `TaskManager` and calls a `Runner`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol, Self

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.machine import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task as it is registered. native: options that only this backend knows."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    queue: str | None = None
    native: Mapping[str, Any] = field(default_factory=dict)


class Delivery(NamedTuple):
    """One delivery of a job. native: the backend's own context of it."""

    job: Job
    native: Any = None


class Disposal(StrEnum):
    """What an adapter does with a delivery that the runner has returned."""

    DONE = "done"  # acknowledge
    SKIPPED = "skipped"  # acknowledge: it was over, or somebody else's
    FAILED = "failed"  # acknowledge, and show as failed, never to be retried by the backend
    RELEASE = "release"  # do not acknowledge; the core sends it again in any case


class Handled(NamedTuple):
    """error: the exception of a failed body, for the backend's own dashboards."""

    disposal: Disposal
    error: BaseException | None = None


class Runner(Protocol):
    """Given by the core to the adapter."""

    async def run(self, delivery: Delivery) -> Handled:
        """Run a delivered job, if it may run. To be called on the event loop that the app was
        opened on, once per delivery, as often as deliveries come: a duplicate is found out.

        Cancelling the call stops the body and puts its node back; nothing else is raised.
        """
        ...


class TaskManager(Protocol):
    """Takes jobs, and some time after, at least once with luck, has them run by some worker.

    Not expected of it: order, once-ness, retries, delays, results, knowing what became of a job.
    """

    name: str
    caps: Capabilities

    @classmethod
    def from_settings(cls, settings: Any) -> Self: ...

    async def open(self, role: Literal["client", "worker"]) -> None:
        """Connect. Raises `BackendUnavailable`."""
        ...

    async def close(self) -> None: ...

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        """Before `serve`; afterwards only where `caps.late_registration`."""
        ...

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        """Hand over jobs; for each an error, or `None` once the backend has it. A job may have
        been sent although there is an error. Does not raise."""
        ...

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        """Run jobs until `stop` is set; then take no more, and give those that run `grace`
        seconds before they are stopped. Cancelling the call stops them at once."""
        ...
