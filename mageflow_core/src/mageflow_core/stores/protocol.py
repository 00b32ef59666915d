"""What a store does for the layers above, and what it guarantees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

from mageflow_core.clock import Clock
from mageflow_core.failure import ErrorInfo
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Event,
    Job,
    Policy,
    Refusal,
    Report,
    Signal,
    Status,
    Steer,
    Steered,
    Verdict,
)
from mageflow_core.signatures.signature import Signature

Until = Literal["ended", "settled"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run to store. message: JSON text; `None` leaves it pending. content: a hash of what is
    run and with what, compared where a run of this id is there already."""

    id: str
    signature: Signature[Any]
    message: str | None
    content: str | None = None
    start_key: str | None = None
    ttl: float | None = None


@dataclass(frozen=True, slots=True)
class Created:
    """fresh: it was not there before. conflict: it was, with other content."""

    fresh: bool
    conflict: bool = False


@dataclass(slots=True, kw_only=True)
class Input:
    """What a node is given to run with; all values are JSON texts.

    previous: the result before it, `None` where there is none. dependencies: results by name.
    arguments: bound on the containers around it, outermost first. error, report: for callbacks.
    """

    message: str
    previous: str | None = None
    dependencies: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[Mapping[str, Any], ...] = ()
    error: ErrorInfo | None = None
    report_of: str | None = None


@dataclass(slots=True, kw_only=True)
class Work:
    """A granted claim."""

    key: str
    claim: str
    fence: int
    attempt: int  # of this generation, from 1
    generation: int
    depth: int
    signature: Signature[Any]
    labels: Mapping[str, str]
    input: Input


LEASE_LOST = "the lease of the worker is lost"


class Claimed(NamedTuple):
    verdict: Verdict
    why: str = ""
    work: Work | None = None

    @property
    def too_early(self) -> bool:
        """Whether it is only until this worker renews its lease that it may claim nothing."""
        return self.verdict is Verdict.RELEASE and self.why == LEASE_LOST


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node as people see it. Times are seconds since the epoch.

    children: how many it has; done, failed, canceled count those that have ended so; failures
    are the positions of the first failed ones.
    """

    key: str
    kind: str
    status: Status
    task: str | None
    name: str | None
    role: str
    labels: Mapping[str, str]
    attempt: int
    generation: int
    crashes: int
    depth: int
    children: int = 0
    begun: int = 0
    done: int = 0
    failed: int = 0
    canceled: int = 0
    failures: tuple[int, ...] = ()
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    due_at: float | None = None
    worker: str | None = None
    error: ErrorInfo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run as people see it; `root` is its first node. alias_of: the key that this stored run
    became part of another under."""

    id: str
    root: NodeView
    signature: Signature[Any]
    message: str
    created_at: float
    started_at: float | None
    settled_at: float | None
    deadline: float | None
    start_key: str | None
    alias_of: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Runs that match all that is said. since, until: when they were made, in seconds since the
    epoch. after: the cursor of the page before."""

    status: Status | None = None
    task: str | None = None
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None
    after: str | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. next: the cursor for the page after this one, `None` at the end."""

    runs: tuple[RunView, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerInfo:
    """A live worker process and what it can do. backends: those that it sends jobs to and serves.
    running: bodies that run in it now. seen_at: when it last said so, by the store's time."""

    id: str
    tasks: frozenset[str]
    slots: int
    backends: frozenset[str] = frozenset()
    host: str = ""
    pid: int = 0
    started_at: float = 0.0
    running: int = 0
    seen_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a store has looked at in itself. text: what was found; advice: what to do
    about it, unless it is ok."""

    subject: str
    state: Literal["ok", "warning", "problem"]
    text: str
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """What a store is told besides its URL. Times are in seconds.

    namespace: part of all keys; two namespaces never see each other.
    patience: how long one call waits for a store that does not answer.
    lease: how long a worker that says nothing counts as alive.
    wait_replicas: replicas that must have a step before it is answered.
    """

    policy: Policy
    clock: Clock
    namespace: str = "mageflow"
    patience: float = 30.0
    lease: float = 30.0
    wait_replicas: int = 0


class Listener(Protocol):
    """What a store tells the process that opened it. Called on its event loop, must not block."""

    def on_jobs(self, jobs: Sequence[Job]) -> None:
        """These jobs are in the outbox and are this process's to send, once."""
        ...

    def on_signal(self, run_id: str, signal: Signal) -> None:
        """Bodies of this run at or below the signal's path are to stop."""
        ...

    def on_due(self, time: float) -> None:
        """Something becomes due at `time`, earlier than what the last `work` has said."""
        ...

    def on_silence(self) -> None:
        """Signals may have been missed: ask of each running body whether its claim still holds."""
        ...


class Store(Protocol):
    """Holds runs and applies each step atomically: all of it is kept, or none.

    Guarantees: what a call has answered is kept as long as the store itself is (`durable` says
    how long that is); steps of one run are applied one after the other; every changing call can
    be asked again with its id and is answered as the first time. Not guaranteed: any order
    between runs.

    Every method may wait for the store and raises `StoreUnavailable` where it does not answer;
    methods that take a key raise `RunNotFound` where nothing has it.
    """

    durable: ClassVar[str]
    shared: ClassVar[bool]  # whether other processes see it

    @classmethod
    def from_url(cls, url: str, /, options: StoreOptions) -> Self:
        """Opens nothing. Raises `SettingsError` for a URL that it cannot use."""
        ...

    def twin(self) -> Store | None:
        """Another handle on what this one holds, for another event loop of this process, with the
        same leases; `None` where a store lives on one loop alone."""
        ...

    async def open(self, listener: Listener) -> None: ...
    async def close(self) -> None: ...

    # --- runs: called by clients ----------------------------------------------------------------
    async def create(self, new: NewRun) -> Created: ...
    async def start(self, run_id: str, message: str, start_id: str) -> str | None:
        """Start a stored run; gives why not, if it cannot be."""
        ...

    async def reserve(self, run_id: str, by: str) -> bool:
        """Keep a stored run for a place in the run `by`, which is about to be created."""
        ...

    async def alias(self, run_id: str, key: str) -> None:
        """The reserved run is the node `key` from now on."""
        ...

    async def add(self, run_id: str, request: Add) -> tuple[int, ...] | Refusal: ...
    async def close_swarm(self, run_id: str, path: str) -> Refusal | None: ...
    async def steer(self, run_id: str, request: Steer) -> Steered: ...

    # --- reading --------------------------------------------------------------------------------
    async def view(self, run_id: str) -> RunView: ...
    async def node(self, key: str) -> NodeView: ...
    async def children(self, key: str, first: int, count: int) -> Sequence[NodeView]:
        """Children by position, callbacks and continuations after them."""
        ...

    async def signature(self, key: str) -> Signature[Any]: ...
    async def value(self, key: str) -> str | None:
        """The JSON text of a node's result; `None` while it has none."""
        ...

    async def values(self, key: str, first: int, count: int) -> Sequence[str]:
        """Results of a swarm's items by position, "null" where there is none."""
        ...

    async def history(self, run_id: str) -> Sequence[Event]: ...
    async def find(self, query: Query) -> Page: ...
    async def counts(self) -> Mapping[Status, int]:
        """How many runs there are of each status."""
        ...

    async def wait(self, key: str, until: Until) -> NodeView:
        """Return when the node has ended, or its run is settled. Costs nothing meanwhile."""
        ...

    async def outcome(self, key: str) -> tuple[NodeView, str | None]:
        """Return when the node has ended, with its result as `value` gives it if it is done."""
        ...

    async def workers(self) -> Sequence[WorkerInfo]:
        """Those that are alive, by their ids."""
        ...

    async def examine(self) -> Sequence[Finding]:
        """What it can and cannot promise as it is set up, with what to do about it."""
        ...

    # --- work: called by workers ------------------------------------------------------------------
    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed: ...
    async def report(self, run_id: str, message: Report) -> str | None:
        """Apply an outcome; gives why it was refused, if it was."""
        ...

    async def sent(self, jobs: Sequence[Job]) -> None:
        """The backend has taken these jobs."""
        ...

    async def unknown(self, key: str) -> None:
        """A worker was given this node and does not know its task."""
        ...

    async def holds(self, key: str, claim: str) -> bool:
        """Whether this claim still counts, and nothing has told its body to stop."""
        ...

    async def pass_on(self, jobs: Sequence[Job]) -> None:
        """This process cannot send these: have others do it that have opened their backends."""
        ...

    async def renew(self, worker: WorkerInfo) -> bool:
        """The worker lives. False: its leases had been lost; what it had claimed runs again, and
        its outcomes will be refused."""
        ...

    async def leave(self, worker: str, *, crashed: bool) -> None:
        """The worker is gone; what it had claimed runs again."""
        ...

    async def idle(self, since: float) -> None:
        """This worker has had a free slot and been given nothing since then: send waiting jobs
        again that are overdue."""
        ...

    # --- time: called by the reconciler -----------------------------------------------------------
    def now(self) -> float: ...
    async def work(self) -> float | None:
        """Move on what is due, a bounded amount of it; gives when to come again."""
        ...
