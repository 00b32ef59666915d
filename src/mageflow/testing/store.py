"""The memory store, observed: it keeps records, and loses what a fault says is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mageflow.testing.records import Attempt, Records
from mageflow_core.errors import RunNotFound
from mageflow_core.machine import ClaimRequest, Report
from mageflow_core.names import key_of
from mageflow_core.stores.memory.store import MemoryStore
from mageflow_core.stores.protocol import Claimed, Created, NewRun, NodeView, Until

if TYPE_CHECKING:
    from mageflow.testing.clock import VirtualClock
    from mageflow.testing.faults import Faults


class ObservedStore(MemoryStore):
    """Everything that happens passes here, whatever started it."""

    clock: VirtualClock

    def __init__(
        self, *, records: Records, faults: Faults, clock: VirtualClock, **rest: Any
    ) -> None:
        super().__init__(clock=clock, **rest)
        self._records = records
        self._faults = faults

    async def create(self, new: NewRun) -> Created:
        created = await super().create(new)
        if created.fresh and new.message is not None:
            self._records.started(new.id, new.signature, new.message, self.now())
        return created

    async def start(self, run_id: str, message: str, start_id: str) -> str | None:
        refused = await super().start(run_id, message, start_id)
        if refused is None:
            signature = self.runs[run_id].run.signature
            self._records.started(run_id, signature, message, self.now())
        return refused

    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        claimed = await super().claim(run_id, request)
        if claimed.work is not None:
            attempt = self._records.began(claimed.work, self.now())
            fault = self._faults.take("crash", attempt.task)
            attempt.crash = fault.at if fault is not None else None
        return claimed

    async def report(self, run_id: str, message: Report) -> str | None:
        attempt = self._records.of_claim(message.claim)
        if attempt is None or attempt.outcome != "running":
            return await super().report(run_id, message)
        if attempt.crash is not None:
            await self._die(attempt, key_of(run_id, message.path))
            return None
        refused = await super().report(run_id, message)
        attempt.end(message.outcome)
        return refused

    async def _die(self, attempt: Attempt, key: str) -> None:
        attempt.outcome = "crashed"
        try:
            await self.lose(key, crashed=True)
        except RunNotFound:
            return  # it was removed meanwhile, and nobody minds

    async def wait(self, key: str, until: Until) -> NodeView:
        self.clock.stir()  # which looks in a later turn, when the one who waits is counted
        return await super().wait(key, until)
