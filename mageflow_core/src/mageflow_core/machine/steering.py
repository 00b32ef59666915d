"""Suspend, resume, interrupt and cancel: each sets or removes one mark."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mageflow_core.machine.above import look_above
from mageflow_core.machine.containers import work_off
from mageflow_core.machine.draft import Draft, Signal
from mageflow_core.machine.lifecycle import set_mark, stop
from mageflow_core.machine.locating import locate
from mageflow_core.machine.records import STRENGTH, Mark, Node, Path, Status
from mageflow_core.machine.retrying import retry


class Verb(StrEnum):
    SUSPEND = "suspend"
    RESUME = "resume"
    INTERRUPT = "interrupt"
    CANCEL = "cancel"
    RETRY = "retry"


@dataclass(frozen=True, slots=True)
class Steer:
    """id: made by the caller; asked again with it, the call is answered as before."""

    path: Path
    verb: Verb
    id: str


@dataclass(frozen=True, slots=True)
class Steered:
    """applied: the call changed something, or did when it was first made. why: if not."""

    applied: bool
    why: str = ""


def steer(draft: Draft, request: Steer) -> Steered | None:
    """Carry out a request; `None` if the run has no such node. One that does not apply changes
    nothing and says why."""
    node = locate(draft, request.path)
    if node is None:
        return None
    if node.last_request == request.id:
        draft.discard()
        return Steered(applied=True)
    refusal = ACTIONS[request.verb](draft, node)
    if refusal is not None:
        draft.discard()
        return Steered(applied=False, why=refusal)
    node = draft.edit(node.path)
    node.last_request = request.id
    draft.log(request.verb.value, node)
    work_off(draft)
    return Steered(applied=True)


def suspend(draft: Draft, node: Node) -> str | None:
    return put(draft, node, Mark.SUSPEND)


def interrupt(draft: Draft, node: Node) -> str | None:
    refusal = put(draft, node, Mark.INTERRUPT)
    if refusal is None:
        draft.effects.signals.append(Signal(node.path, Mark.INTERRUPT))
    return refusal


def put(draft: Draft, node: Node, mark: Mark) -> str | None:
    refusal = over(draft, node)
    if refusal is None and (node.mark is None or STRENGTH[mark] > STRENGTH[node.mark]):
        set_mark(draft, node, mark)
    return refusal


def resume(draft: Draft, node: Node) -> str | None:
    """Also of an ended node: callbacks of it may be parked there."""
    if node.mark not in (Mark.SUSPEND, Mark.INTERRUPT):
        return "it is neither suspended nor interrupted itself"
    set_mark(draft, node, None)
    return None


def cancel(draft: Draft, node: Node) -> str | None:
    refusal = over(draft, node)
    if refusal is None:
        stop(draft, node, Status.CANCELED)
    return refusal


def over(draft: Draft, node: Node) -> str | None:
    """Why nothing can be steered here, if so."""
    if node.status.ended:
        return f"it has ended: {node.status.value}"
    if node.ending is not None:
        return "it is being canceled"
    if look_above(draft, node).forbids:
        return "a container above it has ended or is being canceled"
    return None


ACTIONS = {
    Verb.SUSPEND: suspend,
    Verb.RESUME: resume,
    Verb.INTERRUPT: interrupt,
    Verb.CANCEL: cancel,
    Verb.RETRY: retry,
}
