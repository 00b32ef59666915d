"""Broken in who gets work, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mageflow_core import GraphSignature, SwarmSignature
from mageflow_core.machine import ClaimRequest, Draft, Job, Report, Status, Verdict
from mageflow_core.stores import reading
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.agenda import Entry
from mageflow_core.stores.memory.outbox import Entry as Unsent
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.protocol import Claimed, Created, NewRun


class ForgetsFences(MemoryStore):
    """Takes an outcome from anybody, as that of the claim that counts."""

    async def report(self, run_id: str, message: Report) -> str | None:
        state = self.runs.get(run_id)
        node = state.node(message.path) if state is not None else None
        if node is not None and node.claim is not None:
            message = message._replace(claim=node.claim.id, fence=node.claim.fence)
        return await super().report(run_id, message)


class ClaimsTwice(MemoryStore):
    """Grants what runs already once more."""

    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        claimed = await super().claim(run_id, request)
        state = self.runs.get(run_id)
        node = state.node(request.path) if state is not None else None
        if claimed.work is None and state and node and node.claim is not None:
            draft = Draft(state, self.clock.now(), self.policy)
            return Claimed(Verdict.RUN, "", reading.work_of(draft, node))
        return claimed


class ForgetsClaims(MemoryStore):
    """Answers a claim that is asked again as if another had asked."""

    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        state = self.runs.get(run_id)
        node = state.node(request.path) if state is not None else None
        if node is not None and node.claim is not None and node.claim.id == request.id:
            return Claimed(Verdict.SKIP, "it is active")
        return await super().claim(run_id, request)


class ReportsTwice(MemoryStore):
    """Applies an outcome each time that it is said."""

    async def report(self, run_id: str, message: Report) -> str | None:
        state = self.runs.get(run_id)
        node = state.node(message.path) if state is not None else None
        if state and node and node.status is Status.DONE and node.last_claim == message.claim:
            node.value = getattr(message.outcome, "value", node.value)
        return await super().report(run_id, message)


class DropsParked(MemoryStore):
    """Says that it keeps what a mark holds back, and does not."""

    def _apply(self, run_id: str, state: RunState, draft: Draft) -> None:
        draft.effects.parked.clear()
        super()._apply(run_id, state, draft)


class LosesTheOutbox(MemoryStore):
    """Sends each job once, whatever becomes of it."""

    def _resend(self, entry: Unsent, *, waited: bool) -> None:
        """It is lost."""


class NeverConfirms(MemoryStore):
    """Sends jobs again and again although they wait in a backend."""

    async def sent(self, jobs: Sequence[Job]) -> None:
        """Nobody has heard of it."""


class CallsBackTwice(MemoryStore):
    """Sends callbacks twice."""

    def _fill_outbox(self, run_id: str, jobs: dict[str, Job | None], now: float) -> list[Job]:
        sendable = super()._fill_outbox(run_id, jobs, now)
        return sendable + [job._replace(send=99) for job in sendable if "/!" in job.key]


class IgnoresLimits(MemoryStore):
    """Begins all items of a swarm at once."""

    async def create(self, new: NewRun) -> Created:
        if isinstance(new.signature, SwarmSignature | GraphSignature):
            new = replace(new, signature=replace(new.signature, max_concurrency=None))
        return await super().create(new)


class IsEarly(MemoryStore):
    """Sends what is delayed half a second before its time."""

    def _set_timer(self, entry: Entry, time: float | None) -> None:
        run_id, (kind, path) = entry
        node = self.runs[run_id].node(path) if run_id in self.runs else None
        if kind == "due" and time is not None and node is not None:
            node.due = time = time - 0.5
        super()._set_timer(entry, time)


JOBS: dict[type[MemoryStore], tuple[str, ...]] = {
    ForgetsFences: ("S-REPORT-03", "S-REPORT-04", "S-RETRY-02"),
    ClaimsTwice: ("S-CLAIM-03", "S-CLAIM-04", "S-SHARE-02"),
    ForgetsClaims: ("S-CLAIM-02",),
    ReportsTwice: ("S-REPORT-02",),
    DropsParked: ("S-PARK-01", "S-PARK-02", "S-PARK-03", "S-PARK-04", "S-CALLBACK-05"),
    LosesTheOutbox: ("S-OUTBOX-02", "S-OUTBOX-03", "S-OUTBOX-05", "S-OUTBOX-06"),
    NeverConfirms: ("S-OUTBOX-03", "S-OUTBOX-04"),
    CallsBackTwice: ("S-CALLBACK-01", "S-CALLBACK-02"),
    IgnoresLimits: ("S-SWARM-01", "S-SWARM-02", "S-SWARM-09", "S-SHARE-02"),
    IsEarly: ("S-TIME-01", "S-REPORT-06", "S-CLAIM-09"),
}
