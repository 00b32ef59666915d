"""The reconciler: moves on what has become due."""

from __future__ import annotations

import asyncio
import logging

from mageflow_core.clock import Clock
from mageflow_core.failpoints import hit
from mageflow_core.runtime.insisting import PAUSE, insist
from mageflow_core.stores.protocol import Store

log = logging.getLogger("mageflow.reconciler")


class Reconciler:
    """Sleeps until the next thing is due, by the clock that it and its store were given."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._wake = asyncio.Event()

    def on_due(self, _time: float) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self._wake.clear()
            try:
                hit("reconciler.firing")
                due = await insist(self._store.work, "moving on what is due")
                hit("reconciler.fired")
            except Exception:  # without it no retry, delay or lost lease is ever seen to
                log.exception("what is due could not be moved on; trying again in %g s", PAUSE)
                await asyncio.sleep(PAUSE)
                continue
            if due is None or due > self._clock.now():
                await self._clock.wait(due, self._wake)
            else:
                await asyncio.sleep(0)  # more is due now, but not at everybody else's cost
