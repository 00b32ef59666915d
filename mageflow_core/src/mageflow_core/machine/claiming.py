"""A worker asks to run a node, and may, or learns why not."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from mageflow_core.machine.above import look_above
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import count_bodies
from mageflow_core.machine.records import Claim, Mark, Node, Path, Status


class Verdict(StrEnum):
    """What a worker does with the job."""

    RUN = "run"
    SKIP = "skip"  # over, or somebody else's: the job is done with
    PARK = "park"  # kept until a mark above is removed: the job is done with
    RELEASE = "release"  # not here, not now: the job is not acknowledged


class ClaimRequest(NamedTuple):
    """id: made by the worker for this call alone; asked again, it is answered as before."""

    path: Path
    attempt: int
    id: str
    worker: str


class ClaimAnswer(NamedTuple):
    verdict: Verdict
    why: str = ""
    node: Node | None = None


def claim(draft: Draft, request: ClaimRequest) -> ClaimAnswer:
    node = draft.node(request.path)
    if node is None:
        return ClaimAnswer(Verdict.SKIP, "its turn has not come")
    if node.claim is not None and node.claim.id == request.id and not node.claim.held:
        return ClaimAnswer(Verdict.RUN, "asked again", node)
    if node.status is not Status.QUEUED:
        return ClaimAnswer(Verdict.SKIP, f"it is {node.status.value}")
    if node.attempt != request.attempt:
        return ClaimAnswer(Verdict.SKIP, f"attempt {node.attempt} is due, not {request.attempt}")
    if node.due is not None and node.due > draft.now:
        return ClaimAnswer(Verdict.SKIP, "it is not due yet")
    if node.signature.kind != "task" or node.inner is not None:
        return ClaimAnswer(Verdict.SKIP, "it is a container")
    above = look_above(draft, node)
    if above.forbids:
        draft.withdraw(node.path)
        return ClaimAnswer(Verdict.SKIP, "canceled" if above.mark is Mark.CANCEL else "over")
    if above.mark is not None:
        draft.effects.jobs[node.path] = None
        draft.effects.parked[node.path] = above.marked
        return ClaimAnswer(Verdict.PARK, above.mark.value)
    node = draft.edit(node.path)
    if node.due is not None:  # an older job came when its time had come: before its timer did
        node.due = None
        draft.never("due", node.path)
    node.fence += 1
    node.claim = Claim(request.id, request.worker, node.fence)
    node.status = Status.ACTIVE
    node.started_at = draft.now
    node.worker = request.worker
    draft.withdraw(node.path)
    draft.effects.claims[node.path] = request.worker
    count_bodies(draft, node, 1)
    return ClaimAnswer(Verdict.RUN, "", node)
