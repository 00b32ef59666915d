"""A clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Set as AbstractSet
from typing import Protocol

TURNS = 20  # of the event loop: who has just been woken gets them to say what it does next
RESTLESS = 100_000  # turns without a delivery's end: what never comes to rest is a bug


class Watched(Protocol):
    """What the clock asks of an open app before it moves."""

    @property
    def in_flight(self) -> AbstractSet[int]:
        """The deliveries that a runner has in hand now."""
        ...

    @property
    def handing_over(self) -> bool:
        """Whether jobs are on their way to the backend."""
        ...

    @property
    def quiet(self) -> bool:
        """No body runs, and no job is on its way to one."""
        ...

    @property
    def awaited(self) -> bool:
        """Whether somebody waits for a run or node, and nothing has woken them yet."""
        ...


class VirtualClock:
    """Drives MageFlow's own timers: delays, back-off, deadlines, TTLs, idle timeouts.

    It stands still while anything runs. It jumps to the next timer by itself only when no body
    is running, no job is on its way, and somebody waits for a run. The sleeps and timeouts of
    bodies, and `timeout=` of those who wait, are real.

    A body that itself waits for another run is a running body: the clock stands still for it.
    """

    def __init__(self, start: float | None = None) -> None:
        self._now = time.time() if start is None else start
        self._site: Watched | None = None
        self._wake: asyncio.Event | None = None
        self._due: float | None = None
        self._resting = False  # the core waits for its next timer, and has seen all there is
        self._advancing = False
        self._ended: asyncio.Future[None] | None = None

    def now(self) -> float:
        """Seconds since the epoch, as the core sees them."""
        return self._now

    async def advance(self, seconds: float, *, patience: float = 1.0) -> None:
        """Let time pass. What becomes due on the way is done at its own time, in order, and what
        follows from it is waited for before time goes on.

        patience: real seconds that a body gets which begins meanwhile; one that takes longer, or
            that ran before the call, goes on beside the clock.

        Must be awaited on the event loop that the app is open in.
        """
        if not seconds >= 0:
            raise ValueError(f"advance({seconds!r}): time does not go back")
        target = self._now + seconds
        site = self._site
        if site is None:
            self._now = target
            return
        self._advancing = True
        try:
            beside = set(site.in_flight)
            await self.come_to_rest(beside, patience)
            while self._due is not None and self._due <= target:
                self._move(self._due)
                await self.come_to_rest(beside, patience)
            self._move(target)
        finally:
            self._advancing = False
            self.stir()

    def _move(self, to: float) -> None:
        self._now = max(self._now, to)
        self.stir()

    # --- called by the test app -----------------------------------------------------------------
    def watch(self, site: Watched | None) -> None:
        self._site = site
        self._wake = self._due = None
        self._resting = False

    def stir(self) -> None:
        """Something has changed that the clock may go by: it looks again."""
        if self._wake is not None:
            self._wake.set()

    def delivery_ended(self) -> None:
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)
        if self._site is not None and not self._site.in_flight:
            self.stir()

    async def come_to_rest(self, beside: set[int], patience: float) -> None:
        """Return when nothing moves any more but the deliveries `beside`; those that take longer
        than `patience` real seconds are added to them."""
        calm = restless = 0
        while calm < TURNS and (site := self._site) is not None:
            restless += 1
            if restless > RESTLESS:
                raise RuntimeError("the app does not come to rest: its timers fire for ever")
            if site.in_flight - beside:
                calm = restless = 0
                if not await self._some_end(patience):
                    beside |= site.in_flight
            else:
                moving = site.handing_over or not self._resting or self._is_woken()
                calm = 0 if moving else calm + 1
                await asyncio.sleep(0)

    async def _some_end(self, patience: float) -> bool:
        self._ended = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(patience):
                await self._ended
        except TimeoutError:
            return False
        finally:
            self._ended = None
        return True

    # --- called by the core ---------------------------------------------------------------------
    async def wait(self, until: float | None, wake: asyncio.Event) -> None:
        """See `mageflow_core.clock.Clock`."""
        self._due, self._wake = until, wake
        if until is not None and (until <= self._now or await self._stays_calm()):
            self._now = max(self._now, until)
            return
        self._resting = True
        try:
            await wake.wait()  # no polling: whatever lets time go on stirs the clock
        finally:
            self._resting = False

    async def _stays_calm(self) -> bool:
        for _ in range(TURNS):
            site = self._site
            # There is no need to look further: the end of what runs, and who waits, stir the clock.
            if site is None or site.in_flight or not site.awaited:
                return False
            await asyncio.sleep(0)
        still = not (self._advancing or self._is_woken())
        return still and site is not None and site.quiet and site.awaited

    def _is_woken(self) -> bool:
        return self._wake is not None and self._wake.is_set()
