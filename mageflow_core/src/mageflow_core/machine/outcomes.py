"""How an attempt ended: told by its worker, or seen by others when the worker is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from mageflow_core.failure import Cause
from mageflow_core.machine import continuation
from mageflow_core.machine.above import Above, look_above
from mageflow_core.machine.containers import work_off
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import end, release_claim
from mageflow_core.machine.records import Failure, Node, Path, Status
from mageflow_core.signatures.signature import Signature


@dataclass(slots=True, kw_only=True)
class Done:
    """value: the result's JSON text. passes: the next step gets this one's message instead."""

    value: str
    passes: bool = False
    used_previous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Continued:
    """The body returned a signature; see `continuation.replace` for `message_only`."""

    signature: Signature[Any]
    message_only: bool = False
    used_previous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """retry_in: seconds until the next attempt, `None` where there is none. held: the thread
    still runs and keeps its slot; the next attempt waits for `Returned`."""

    failure: Failure
    retry_in: float | None = None
    held: bool = False
    used_previous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """Stopped by an interrupt, a cancel or a shutdown; the attempt is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """The thread of a held claim has returned at last."""


Outcome = Done | Continued | Failed | Released | Returned


class Report(NamedTuple):
    """What a worker says of its claim; `claim` and `fence` must be those it was given."""

    path: Path
    claim: str
    fence: int
    outcome: Outcome


def report(draft: Draft, message: Report) -> str | None:
    """Apply an outcome. Gives why it was refused, or `None`; a repetition is not refused."""
    node = draft.node(message.path)
    if node is None:
        return "no such node"
    if node.claim is None or (node.claim.id, node.claim.fence) != (message.claim, message.fence):
        return None if node.last_claim == message.claim else "the claim is lost"
    outcome = message.outcome
    if node.claim.held != isinstance(outcome, Returned):
        return None  # the timeout was said before
    above = look_above(draft, node)
    node = draft.edit(node.path)
    if above.over:
        drop_claim(draft, node)
        work_off(draft)
        return "a container above has ended"
    apply(draft, node, outcome, above)
    work_off(draft)
    return None


def apply(draft: Draft, node: Node, outcome: Outcome, above: Above) -> None:
    if isinstance(outcome, Done | Continued | Failed):
        node.used_previous = outcome.used_previous
    if isinstance(outcome, Done):
        node.value = outcome.value
        node.result = node.carried = node.path
        if outcome.passes:
            used = node.previous if node.used_previous else None
            node.carried = node.message if used is None else used
        end(draft, node, Status.DONE)
    elif isinstance(outcome, Continued):
        if node.ending is not None:
            end(draft, node, node.ending, failure=node.failure)
        elif above.forbids:
            end(draft, node, Status.CANCELED)
        else:
            continuation.replace(draft, node, outcome.signature, message_only=outcome.message_only)
    elif isinstance(outcome, Failed):
        fail(draft, node, outcome, above)
    elif isinstance(outcome, Released):
        release_claim(draft, node)
        queue_again(draft, node, above)
    else:
        release_claim(draft, node)
        await_retry(draft, node)


def fail(draft: Draft, node: Node, outcome: Failed, above: Above) -> None:
    if node.ending is not None and node.failure is not None:
        end(draft, node, node.ending, failure=node.failure)
    elif outcome.retry_in is None:
        end(draft, node, Status.FAILED, failure=outcome.failure)
    elif above.forbids:
        end(draft, node, Status.CANCELED)
    else:
        assert node.claim is not None
        node.status = Status.RETRYING
        node.attempt += 1
        node.due = draft.now + outcome.retry_in
        node.failure = outcome.failure
        draft.log("retrying", node, outcome.failure.cause.value)
        if outcome.held:
            held = node.claim._replace(held=True)
            release_claim(draft, node)
            node.claim = held
            draft.effects.claims[node.path] = held.worker
        else:
            release_claim(draft, node)
            await_retry(draft, node)


def await_retry(draft: Draft, node: Node) -> None:
    assert node.due is not None
    draft.at("due", node.path, node.due)


def queue_again(draft: Draft, node: Node, above: Above, delay: float = 0.0) -> None:
    """The same attempt once more; parked at once where a mark stands."""
    node.status = Status.QUEUED
    node.queued_at = draft.now
    if node.ending is not None:
        end(draft, node, node.ending, failure=node.failure)
    elif above.forbids:
        end(draft, node, Status.CANCELED)
    elif delay > 0:
        node.due = draft.now + delay
        draft.at("due", node.path, node.due)
    elif above.mark is not None:
        draft.effects.jobs[node.path] = None
        draft.effects.parked[node.path] = above.marked
    else:
        draft.send(node)


@dataclass(frozen=True, slots=True)
class Lost:
    """The lease of the claim's worker is gone. crashed: the process is, too; a lease found lost
    by a process that lives is no crash. chance: in [0, 1), decides the jitter."""

    path: Path
    claim: str
    crashed: bool
    chance: float


def lose(draft: Draft, loss: Lost) -> str | None:
    node = draft.node(loss.path)
    if node is None or node.claim is None or node.claim.id != loss.claim:
        return "the claim is not held"
    above = look_above(draft, node)
    node = draft.edit(node.path)
    if above.over:
        drop_claim(draft, node)
        work_off(draft)
        return "a container above has ended"
    held = node.claim.held if node.claim else False
    release_claim(draft, node)
    node.last_claim = None  # its outcome was never applied, and will be refused
    if held:
        await_retry(draft, node)
        return None
    draft.log("lost", node)
    if loss.crashed:
        node.crashes += 1
    if node.crashes > draft.policy.max_crashes:
        end(draft, node, Status.FAILED, failure=Failure(Cause.WORKER_LOST))
    else:
        delay = draft.policy.crash_delay(node.crashes, loss.chance) if loss.crashed else 0.0
        queue_again(draft, node, above, delay)
    work_off(draft)
    return None


def drop_claim(draft: Draft, node: Node) -> None:
    """Forget a claim that can no longer change anything; what it says is refused."""
    release_claim(draft, node)
    node.last_claim = None
