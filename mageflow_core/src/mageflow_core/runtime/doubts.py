"""Asking of running bodies whether their claims still hold."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from mageflow_core.errors import RunNotFound, StoreUnavailable
from mageflow_core.runtime.body import Body, Stop
from mageflow_core.runtime.insisting import PAUSE
from mageflow_core.stores.protocol import Store

log = logging.getLogger("mageflow.runner")

AT_ONCE = 10  # calls to the store


class Doubts:
    """Where signals may have been missed, or leases lost, every running body is asked for, and
    stopped if its claim does not hold: what it reports would be refused in any case.

    A body whose claim is on its way is asked for as soon as that is granted.
    """

    def __init__(self, store: Store, bodies: Mapping[str, Body]) -> None:
        self._store = store
        self._bodies = bodies
        self._wake = asyncio.Event()

    def doubt_all(self) -> None:
        for body in self._bodies.values():
            body.doubted = True
        self._wake.set()

    def claimed(self, body: Body) -> None:
        if body.doubted:
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            limit = asyncio.Semaphore(AT_ONCE)
            asked = [self._ask(each, limit) for each in self._bodies.values() if each.doubted]
            if not all(await asyncio.gather(*asked)):
                await asyncio.sleep(PAUSE)
                self._wake.set()

    async def _ask(self, body: Body, limit: asyncio.Semaphore) -> bool:
        """Whether there was an answer, or is no need of one."""
        async with limit:
            claim = body.claim
            if claim is None or not body.can_stop():
                return True
            body.doubted = False
            try:
                holds = await self._store.holds(body.key, claim)
            except StoreUnavailable:
                body.doubted = True
                return False
            except RunNotFound:
                holds = False
            except Exception:  # the others are to be asked for all the same
                log.exception("%s: whether its claim still holds could not be asked", body.key)
                return True
            if body.can_stop() and not holds:
                log.warning("%s is stopped: its claim does not hold any more", body.key)
                body.stop(Stop.INTERRUPT)
            return True
