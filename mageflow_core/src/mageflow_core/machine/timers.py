"""What happens when a time has come. Each may come late, twice, or when nothing is due."""

from __future__ import annotations

from collections.abc import Callable

from mageflow_core.failure import Cause
from mageflow_core.machine import swarm
from mageflow_core.machine.above import look_above
from mageflow_core.machine.containers import work_off
from mageflow_core.machine.draft import Draft, TimerKind
from mageflow_core.machine.lifecycle import activate, end, stop
from mageflow_core.machine.policy import RESERVATION, STEP_WIDTH
from mageflow_core.machine.records import Failure, Inner, Path, Status


def fire(draft: Draft, kind: TimerKind, path: Path, *, known: bool = True) -> None:
    """known: whether some live worker knows the node's task (asked for `unknown` only)."""
    draft.never(kind, path)
    if kind == "sweep":
        draft.todo.append(("sweep", path))
    elif kind == "tell":
        if draft.get(path).slot:  # else its container was told already
            draft.todo.append(("tell", path))
    elif kind == "unknown":
        unknown(draft, path, known=known)
    else:
        HANDLERS[kind](draft, path)
    if not draft.effects.removed:
        work_off(draft)


def due(draft: Draft, path: Path) -> None:
    """A delay, back-off or pause after a crash is over."""
    node = draft.node(path)
    if node is None or node.status not in (Status.QUEUED, Status.RETRYING) or node.due is None:
        return
    if node.claim is not None:  # held: what comes next waits for its thread
        return
    if node.due > draft.now:
        draft.at("due", path, node.due)
        return
    if look_above(draft, node).forbids:
        return
    node = draft.edit(path)
    if node.status is Status.RETRYING:
        node.status = Status.QUEUED
        node.queued_at = draft.now
    activate(draft, node)


def unpark(draft: Draft, path: Path) -> None:
    """Send parked nodes again; whether they may run is for their claims to find out."""
    width = STEP_WIDTH // 2
    waiting = draft.stored.parked_at(path, width + 1)
    for parked in waiting[:width]:
        draft.effects.parked[parked] = None
        node = draft.node(parked)
        if (
            node is not None
            and node.status is Status.QUEUED
            and not look_above(draft, node).forbids
        ):
            draft.send(draft.edit(parked))
    if len(waiting) > width:
        draft.at("unpark", path, draft.now)


def grace(draft: Draft, path: Path) -> None:
    """Bodies below a canceled node had their time; what they still say is refused. Below what has
    ended meanwhile it has ended too."""
    node = draft.node(path)
    if (
        node is not None
        and node.ending is not None
        and not node.status.ended
        and not look_above(draft, node).over
    ):
        node = draft.edit(path)
        assert node.ending is not None
        end(draft, node, node.ending, failure=node.failure)
        node.last_claim = None


def idle(draft: Draft, path: Path) -> None:
    node = draft.node(path)
    if node is None or node.status is not Status.ACTIVE or node.inner is None:
        return
    if node.inner.begun == 0 and node.inner.cursor == swarm.total(node):
        inner = draft.edit(path).inner
        assert isinstance(inner, Inner)
        inner.closed = True
        draft.todo.append(("sweep", path))


def deadline(draft: Draft, path: Path) -> None:
    root = draft.get(path)
    time = draft.run.deadline
    if time is None or root.status.ended or root.ending is not None:
        return
    if time > draft.now:
        draft.at("deadline", path, time)
    else:
        stop(draft, draft.edit(path), Status.FAILED, Failure(Cause.DEADLINE))


def expire(draft: Draft, path: Path) -> None:
    """Remove a settled run, or one that was never started. What runs is never removed."""
    run = draft.run
    if run.settled_at is not None:
        time = run.settled_at + run.ttl
    elif run.started_at is not None:
        return
    elif run.reserved_by is not None and run.alias_of is None:
        time = draft.now + RESERVATION
    else:
        time = run.created_at + draft.policy.pending_ttl
    if time > draft.now:
        draft.at("expire", path, time)
    else:
        draft.effects.removed = True


def unknown(draft: Draft, path: Path, *, known: bool) -> None:
    node = draft.node(path)
    if node is None or node.status is not Status.QUEUED or node.due is not None:
        return
    if look_above(draft, node).forbids:
        return
    node = draft.edit(path)
    time = (node.queued_at or draft.now) + draft.policy.unknown_task_timeout
    if known:
        draft.send(node)
    elif time > draft.now:  # it was given to a worker that knew it, and lost, in between
        draft.at("unknown", path, time)
    else:
        draft.withdraw(path)
        end(draft, node, Status.FAILED, failure=Failure(Cause.UNKNOWN_TASK))


def reserved(draft: Draft, _path: Path) -> None:
    """The run that was to take this one's place in its signature never came."""
    run = draft.run
    if run.reserved_by is None or run.reserved_at is None or run.alias_of is not None:
        return
    time = run.reserved_at + RESERVATION
    if time > draft.now:
        draft.at("reserved", "", time)
    else:
        run = draft.edit_run()
        run.reserved_by = run.reserved_at = None


HANDLERS: dict[TimerKind, Callable[[Draft, Path], None]] = {
    "due": due,
    "unpark": unpark,
    "grace": grace,
    "idle": idle,
    "deadline": deadline,
    "expire": expire,
    "reserved": reserved,
}
