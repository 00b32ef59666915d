"""One server over time: connections to it come and go."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Any, Protocol

from mageflow_core.errors import StoreUnavailable
from mageflow_core.stores.redis.call import Call
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.link import Link
from mageflow_core.stores.redis.replies import Why
from mageflow_core.stores.redis.scripts import Script

log = logging.getLogger("mageflow.store")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds


class Router(Protocol):
    """What a node tells. Called on the event loop."""

    def route(self, call: Call) -> None:
        """Send this again, to whoever has its slot by now."""
        ...

    def refused(self, node: Node, link: Link, call: Call, error: Exception) -> None:
        """The server has answered with an error."""
        ...

    def lost(self, node: Node) -> None:
        """A connection to it has ended that nobody has closed."""
        ...

    def few_replicas(self, node: Node, count: int) -> None: ...


class Node:
    """Connects at the first call. After trouble it is asked again after a pause, which becomes
    longer until it answers; meanwhile calls wait here."""

    def __init__(
        self,
        address: Address,
        router: Router,
        *,
        replicas: int = 0,
        several: Script | None = None,
    ) -> None:
        self.address = address
        self._router = router
        self._replicas = replicas
        self._several = several
        self._link: Link | None = None
        self._parked: list[Call] = []
        self._timer: asyncio.TimerHandle | None = None
        self._troubles = 0  # since it last answered

    @property
    def idle(self) -> bool:
        return not self._parked and (self._link is None or self._link.idle)

    def send(self, call: Call) -> None:
        if self._link is None:
            if self._timer is not None:
                self._parked.append(call)
                return
            self._link = Link(self.address, self, replicas=self._replicas, several=self._several)
            self._link.start()
        self._link.submit(call)

    def park(self, call: Call, why: str) -> None:
        """Keep it until the server is asked again."""
        call.cause = why
        self._parked.append(call)
        if self._timer is None:
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(self._troubles, 10))
            pause = longest * random.uniform(0.5, 1)  # noqa: S311 - jitter
            self._timer = asyncio.get_running_loop().call_later(pause, self._ask_again)
            if self._troubles == 0:
                log.warning("The Redis server %s cannot answer: %s.", self.address, why)
            self._troubles += 1

    def release(self) -> None:
        """Send the calls that wait here: somebody else has their slots now."""
        if self._timer is not None:
            self._timer.cancel()
            self._ask_again()

    def _ask_again(self) -> None:
        self._timer = None
        calls, self._parked = self._parked, []
        for call in calls:
            if not call.future.done():
                self._router.route(call)

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._parked.clear()
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    # --- told by the link -------------------------------------------------------------------------
    def answered(self, link: Link, call: Call, reply: Any) -> None:
        if isinstance(reply, Exception):
            if not call.future.done():
                self._router.refused(self, link, call, reply)
            return
        if self._troubles:
            self._troubles = 0
            log.info("The Redis server %s answers again.", self.address)
        if not call.future.done():
            call.future.set_result(reply)

    def ended(self, link: Link, calls: list[Call], why: Why) -> None:
        if link is self._link:
            self._link = None
        for call in calls:
            if call.future.done():
                continue
            if not isinstance(why, str):
                again = type(why)(str(why))  # one that is raised in two places mixes tracebacks
                again.__cause__ = why.__cause__
                call.fail(again)
            elif call.once:
                call.fail(StoreUnavailable(f"The Redis server {self.address} is away: {why}."))
            else:
                self.park(call, why)
        self._router.lost(self)

    def few_replicas(self, _link: Link, count: int) -> None:
        self._router.few_replicas(self, count)
