"""The seam to a task manager. An adapter implements `TaskManager` and calls a `Runner`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, NamedTuple, Protocol, Self

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.envelope import unpack
from mageflow_core.machine import Job
from mageflow_core.signatures.options import Retry

Role = Literal["client", "worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSpec:
    """A task as it is registered. aliases: further names that its jobs may have. retry, timeout: of
    a native task, when it is tried again, and how many seconds an attempt may take, where a flow
    says nothing else. native: options that only this backend knows."""

    name: str
    fn: Callable[..., Any]
    is_async: bool
    aliases: tuple[str, ...] = ()
    queue: str | None = None
    retry: Retry | None = None
    timeout: float | None = None
    native: Mapping[str, Any] = field(default_factory=dict)


class RetryAsked(Exception):
    """Of a native task's body that has asked its engine for another attempt, which is then the
    core's to make. Derive from it, and name the class in the `retry` of the task's spec: that says
    whether there is one. delay: seconds until then, in place of what `retry` says."""

    def __init__(self, message: str, *, delay: float) -> None:
        super().__init__(message)
        self.delay = max(0.0, delay)


class Disposal(StrEnum):
    """What an adapter does with a delivery that the runner has returned."""

    DONE = "done"  # acknowledge
    SKIPPED = "skipped"  # acknowledge: it was over, or somebody else's
    FAILED = "failed"  # acknowledge, and show as failed, never to be retried by the backend
    RELEASE = "release"  # give it to another worker, or drop it; the core sends it again in time


class Handled(NamedTuple):
    """error: the exception of a failed body, for the backend's own dashboards."""

    disposal: Disposal
    error: BaseException | None = None


class Delivery(NamedTuple):
    """One delivery of a job. native: the backend's own context of it. namespace: the one that it
    was sent in, where jobs of several may come.

    ended: called, on the event loop, as soon as the body has ended, with what the runner will
    return when the store knows it too. From then on the job needs nobody: an adapter whose engine
    has one job at a time may acknowledge it and take the next. Not called where no body ran, or
    one was stopped by cancelling the call; may be called more than once.
    """

    job: Job
    native: Any = None
    namespace: str | None = None
    ended: Callable[[Handled], object] | None = None

    @classmethod
    def of(cls, meta: Mapping[str, object], native: Any = None) -> Self:
        """From what `pack` has made of a job. Raises `CorruptJob`: acknowledge what is that."""
        job, namespace = unpack(meta)
        return cls(job, native, namespace)


class Runner(Protocol):
    """Given by the core to the adapter."""

    async def run(self, delivery: Delivery) -> Handled:
        """Run a delivered job, if it may run. To be called on the event loop that the app was
        opened on, once per delivery, as often as deliveries come: a duplicate is found out.

        Cancelling the call stops the body and puts its node back; nothing else is raised.
        """
        ...


class Host(Protocol):
    """Given by the core to an adapter whose engine has worker processes of its own."""

    async def begin(self, *, slots: int | None = None) -> None:
        """Be a worker of the app in this process, on this event loop, until `end`: what is
        registered may be delivered to its runner from now on. slots: how many jobs it runs at
        once, where the engine decides that, in place of the setting. Raises what opening the app
        does, and `SettingsError` where the store is not shared."""
        ...

    async def end(self, grace: float | None = None) -> None:
        """Stop the bodies that still run after their grace, and leave. grace: seconds, where the
        engine has given them time already, in place of the setting. Twice is once; while the first
        call lasts, another one may give less grace, and then returns at once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a backend says of its engine now. detail: what answers and where, or why not, for
    people. waiting: jobs that no worker has taken, where it can tell."""

    reachable: bool
    detail: str
    waiting: int | None = None


class TaskManager(Protocol):
    """Takes jobs, and some time after, at least once with luck, has them run by some worker.

    Not expected of it: order, once-ness, retries, delays, results, knowing what became of a job.
    Derive from it: what has a body here is what holds where nothing else is said. An instance
    belongs to one app; it may be opened again, on another event loop, after it was closed.
    """

    name: str
    caps: Capabilities

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        """Connects to nothing yet. Raises `SettingsError`; see `Settings.of`."""
        ...

    @classmethod
    def wrap(cls, native: Any, settings: Any) -> Self | None:  # noqa: ARG003
        """Around somebody's existing client, which is left as it is; `None` where this object is
        no client of this backend's engine."""
        return None

    @property
    def native(self) -> Any:
        """The engine's own client, for all that is not the core's to do."""
        return None

    def host(self, host: Host) -> None:
        """Called once, before `open`, where the engine's own command may start worker processes:
        such a process is to call the host."""
        del host  # all of them are started by the core

    # --- tasks ----------------------------------------------------------------------------------
    def natives(self) -> Iterable[TaskSpec]:
        """Tasks that the client has natively, under portable names. Asked again and again; called
        natively they go on as if this were not there."""
        return ()

    def adopt(self, native: Any) -> TaskSpec | None:  # noqa: ARG002
        """The same for one object; `None` where it is no task of this client."""
        return None

    def decorator(self, options: Mapping[str, Any]) -> Callable[..., Any] | None:  # noqa: ARG002
        """What makes a native task of a function, with options that MageFlow does not know; `None`
        where the client does not know them either."""
        return None

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        """Before `serve`; afterwards only where `caps.late_registration`."""
        ...

    # --- work -----------------------------------------------------------------------------------
    async def open(self, role: Role) -> None:
        """Connect. Raises `BackendUnavailable`."""
        ...

    async def close(self) -> None:
        """Twice is once."""
        ...

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        """Hand over jobs; for each an error, or `None` once the backend has it. A job may have
        been sent although there is an error. Does not raise."""
        ...

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        """Run jobs until `stop` is set; then take no more, and give those that run `grace`
        seconds before they are stopped. Cancelling the call stops them at once.

        Where `caps.own_processes` it is also called in a process where nothing is open: it then
        starts the processes that call the host, sees that they run, and returns when they have
        ended. Raises `BackendError` where they end by themselves."""
        ...

    async def health(self) -> Health:
        """Ask the engine; does not raise, and gives up after a few seconds."""
        return Health(reachable=True, detail="in this process")
