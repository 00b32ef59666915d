"""What is stored of a run: plain records, without behaviour.

Values (messages, results, the data of errors) are opaque JSON texts here; the machine passes
them on by reference. A *ref* names one within its run: `MESSAGE` is the run's message, anything
else the path of the node whose result is meant.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, NamedTuple

from mageflow_core.failure import Cause
from mageflow_core.names import Role
from mageflow_core.signatures.signature import Signature

Path = str
Ref = str
MESSAGE: Ref = "$"

RECORD_VERSION = 1


class Status(StrEnum):
    PENDING = "pending"
    QUEUED = "queued"
    ACTIVE = "active"
    RETRYING = "retrying"
    DONE = "done"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    # Shown, not stored: what a mark on the node's path makes of its status.
    SUSPENDED = "suspended"
    INTERRUPTED = "interrupted"
    CANCELING = "canceling"

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({Status.DONE, Status.FAILED, Status.CANCELED, Status.SKIPPED})


class Mark(StrEnum):
    """Set on one node, obeyed by all below it; a later one here is the stronger."""

    SUSPEND = "suspend"
    INTERRUPT = "interrupt"
    CANCEL = "cancel"


STRENGTH = {Mark.SUSPEND: 1, Mark.INTERRUPT: 2, Mark.CANCEL: 3}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a node failed. `data` is the JSON text of an `ErrorInfo` where a worker made one; of
    the others the reader makes the text."""

    cause: Cause
    data: str | None = None


class Claim(NamedTuple):
    """Who runs a node. An outcome must name the same `fence` and `id`.

    held: the attempt has ended (timeout), but its thread still runs and keeps its slot.
    """

    id: str
    worker: str
    fence: int
    held: bool = False


@dataclass(slots=True)
class Inner:
    """What a container knows of its children.

    cursor: where beginning goes on: the current step, the next item, the next node to look at.
    begun: children begun and not ended; they hold the slots.
    ready: positions whose turn has come, waiting for a slot.
    telling: done graph nodes whose dependents are still to be told, and how many of each were.
    failures: positions of the first failed children.
    closed, added: of swarms: takes no more items; items added so far.
    continuation: the number of the continuation that stands in this node's place.
    """

    cursor: int = 0
    begun: int = 0
    done: int = 0
    failed: int = 0
    canceled: int = 0
    ready: tuple[int, ...] = ()
    telling: tuple[tuple[int, int], ...] = ()
    failures: tuple[int, ...] = ()
    closed: bool = True
    added: int = 0
    continuation: int = 0

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.canceled


@dataclass(slots=True)
class Node:
    """One signature of a run. Exists once its turn has come, or something was said about it;
    until then its status follows from the container around it.

    message, previous, dependencies: refs of what it gets as input.
    attempt: number of the current attempt, never reset; `attempts_before` of them belong to
        earlier generations. sends: number of jobs made for it, never reset.
    generation: grows when it is reopened. round: the parent's generation that it belongs to.
    slot: it counts among the parent's `begun`. told: graph nodes it depends on that are done.
    result, carried: refs of its result, and of what a chain passes on after it.
    used_previous: the worker took the previous result as this node's message.
    failure, error: the node's own, and the path of what failed, here or below. about: of an error
        callback, the path and failure that it is about, which a retry may have cleared there.
    bodies: running bodies below, callbacks aside; chains do not count theirs.
    ending: set with a cancel mark; what the node ends as when no body is left below.
    """

    path: Path
    parent: Path | None
    position: int
    role: Role
    signature: Signature[Any]
    depth: int
    message: Ref = MESSAGE
    previous: Ref | None = None
    dependencies: tuple[tuple[str, Ref], ...] = ()
    status: Status = Status.PENDING
    mark: Mark | None = None
    ending: Status | None = None
    generation: int = 1
    round: int = 1
    slot: bool = False
    told: int = 0
    attempt: int = 0
    attempts_before: int = 0
    sends: int = 0
    crashes: int = 0
    fence: int = 0
    claim: Claim | None = None
    last_claim: str | None = None
    last_request: str | None = None
    due: float | None = None
    queued_at: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    worker: str | None = None
    value: str | None = None
    result: Ref | None = None
    carried: Ref | None = None
    used_previous: bool = False
    failure: Failure | None = None
    error: Path | None = None
    about: tuple[Path, Failure] | None = None
    bodies: int = 0
    inner: Inner | None = None

    def copy(self) -> Node:
        other = Node(*_values_of_node(self))
        if other.inner is not None:
            other.inner = Inner(*_values_of_inner(other.inner))
        return other


# Much faster than copy.copy() on slots, and these run several times for each task.
_values_of_node = attrgetter(*(f.name for f in fields(Node)))
_values_of_inner = attrgetter(*(f.name for f in fields(Inner)))


class Event(NamedTuple):
    """One line of a run's history."""

    at: float
    what: str
    path: Path
    worker: str | None = None
    detail: str = ""


@dataclass(slots=True)
class Run:
    """A run, its nodes aside.

    callbacks: callbacks due and not ended; the run is settled when its root has ended and this
        is 0. marks: nodes that carry a mark; reopened: retries by hand. Where both are 0,
        a claim need not look at the nodes above.
    """

    id: str
    signature: Signature[Any]
    message: str
    created_at: float
    name: str | None = None
    labels: dict[str, str] = field(default_factory=dict)
    version: int = RECORD_VERSION
    content: str | None = None
    start_key: str | None = None
    ttl: float = 0.0
    start_id: str | None = None
    started_at: float | None = None
    deadline: float | None = None
    settled_at: float | None = None
    callbacks: int = 0
    marks: int = 0
    reopened: int = 0
    reserved_by: str | None = None
    reserved_at: float | None = None
    alias_of: str | None = None

    def copy(self) -> Run:
        return Run(*_values_of_run(self))


_values_of_run = attrgetter(*(f.name for f in fields(Run)))


class Job(NamedTuple):
    """What a backend is handed: ids only. No two sendings share an id."""

    key: str
    attempt: int
    send: int
    task: str
    backend: str
    queue: str | None
    priority: str | None

    @property
    def id(self) -> str:
        return f"{self.key}.{self.attempt}.{self.send}"
