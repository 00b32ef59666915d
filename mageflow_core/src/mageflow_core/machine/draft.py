"""One step's view of a run: reads fall through to what is stored, writes stay here.

A store makes a draft of a run, lets one function of the machine work on it, and applies what
the draft has gathered in one go, or nothing of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mageflow_core.machine.policy import STEP_WIDTH, Policy
from mageflow_core.machine.records import Event, Job, Mark, Node, Path, Run
from mageflow_core.signatures.signature import Signature

# What can become due: a node's own time (delay, retry, crash); a container that goes on
# beginning children; a parent to be told of an ended child; parked nodes to be sent again;
# the end of a cancel's grace; an idle open swarm; the run's deadline and removal; a node
# that no worker knows the task of; a reservation of a stored run.
TimerKind = Literal[
    "due", "sweep", "tell", "unpark", "grace", "idle", "deadline", "expire", "unknown", "reserved"
]
Timer = tuple[TimerKind, Path]


class Stored(Protocol):
    """What a store has of a run, for reading."""

    @property
    def run(self) -> Run: ...
    def node(self, path: Path) -> Node | None: ...
    def added_item(self, path: Path, number: int) -> Signature[Any]: ...
    def added_before(self, path: Path, add_id: str) -> tuple[int, int] | None: ...
    def parked_at(self, path: Path, limit: int) -> Sequence[Path]: ...


@dataclass(frozen=True, slots=True)
class Signal:
    """Bodies at or below `path` are to stop; callbacks below are spared by a cancel."""

    path: Path
    mark: Mark


@dataclass(slots=True)
class Added:
    """Items for a swarm, under the id that their caller gave the call."""

    path: Path
    id: str
    first: int
    items: tuple[Signature[Any], ...]


class Effects:
    """What is to happen together with the changed records."""

    __slots__ = (
        "added", "claims", "ended", "events", "jobs", "parked", "removed", "settled", "signals",
        "timers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.jobs: dict[Path, Job | None] = {}  # None: no longer to be sent
        self.timers: dict[Timer, float | None] = {}  # None: no longer due
        self.claims: dict[Path, str | None] = {}  # by which worker
        self.parked: dict[Path, Path | None] = {}  # at which marked node
        self.signals: list[Signal] = []
        self.ended: list[Path] = []
        self.events: list[Event] = []
        self.added: list[Added] = []
        self.settled = False
        self.removed = False


class Draft:
    """A run while one step changes it. `now` is the store's time, in seconds."""

    __slots__ = (
        "_run", "_stored_node", "effects", "looked", "nodes", "now", "policy", "stored", "todo",
    )  # fmt: skip

    def __init__(self, stored: Stored, now: float, policy: Policy) -> None:
        self.stored = stored
        self.now = now
        self.policy = policy
        self._stored_node = stored.node
        self.nodes: dict[Path, Node] = {}
        self.effects = Effects()
        # Ended children whose parents are to be told, and containers that are to go on. Worked
        # off in a loop, not by recursion: a chain of empty swarms is as deep as it is long.
        self.todo: deque[tuple[Literal["tell", "sweep"], Path]] = deque()
        # Records that were looked at and left as they are: they bound a step as well.
        self.looked = 0
        self._run: Run | None = None

    # --- records ------------------------------------------------------------------------------
    @property
    def run(self) -> Run:
        return self._run or self.stored.run

    def edit_run(self) -> Run:
        if self._run is None:
            self._run = self.stored.run.copy()
        return self._run

    @property
    def changed_run(self) -> Run | None:
        return self._run

    def node(self, path: Path) -> Node | None:
        return self.nodes.get(path) or self._stored_node(path)

    def get(self, path: Path) -> Node:
        """A node that is known to exist."""
        node = self.nodes.get(path) or self._stored_node(path)
        assert node is not None, f"{self.run.id}{path} is not stored"
        return node

    def edit(self, path: Path) -> Node:
        node = self.nodes.get(path)
        if node is None:
            stored = self._stored_node(path)
            assert stored is not None, f"{self.run.id}{path} is not stored"
            node = self.nodes[path] = stored.copy()
        return node

    def add(self, node: Node) -> Node:
        self.nodes[node.path] = node
        return node

    def added_item(self, path: Path, number: int) -> Signature[Any]:
        """An item that was added to a swarm, also in this very step."""
        for added in self.effects.added:
            if added.path == path and number >= added.first:
                return added.items[number - added.first]
        return self.stored.added_item(path, number)

    def discard(self) -> None:
        """Take everything back: the step does not apply."""
        self.nodes.clear()
        self.todo.clear()
        self.effects = Effects()
        self._run = None

    @property
    def has_room(self) -> bool:
        return len(self.nodes) + self.looked < STEP_WIDTH

    # --- effects ------------------------------------------------------------------------------
    def send(self, node: Node) -> None:
        """Put a job for this node's current attempt into the outbox."""
        node.sends += 1
        options = node.signature.opts
        self.effects.jobs[node.path] = Job(
            self.run.id + node.path,
            node.attempt,
            node.sends,
            node.signature.task,  # type: ignore[attr-defined] # only tasks are sent
            options.backend or "",
            options.queue,
            options.priority,
        )

    def withdraw(self, path: Path) -> None:
        """Neither a job nor a parked place is left of this node."""
        self.effects.jobs[path] = None
        self.effects.parked[path] = None

    def at(self, kind: TimerKind, path: Path, time: float) -> None:
        self.effects.timers[kind, path] = time

    def never(self, kind: TimerKind, path: Path) -> None:
        self.effects.timers[kind, path] = None

    def log(self, what: str, node: Node, detail: str = "") -> None:
        """A line of history. Items of swarms have their timestamps instead."""
        parent = self.node(node.parent) if node.parent is not None else None
        if parent is None or node.role != "child" or parent.signature.kind != "swarm":
            self.effects.events.append(Event(self.now, what, node.path, node.worker, detail))
