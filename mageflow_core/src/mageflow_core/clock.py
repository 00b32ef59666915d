"""Time, as a part that can be replaced."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Protocol


class Clock(Protocol):
    """Drives the core's timers: delays, back-off, deadlines, TTLs; not the bodies' own."""

    def now(self) -> float:
        """Seconds since the epoch; never goes back within a process."""
        ...

    async def wait(self, until: float | None, wake: asyncio.Event) -> None:
        """Return when `until` has come (`None`: never) or `wake` is set, whichever is first."""
        ...


class SystemClock:
    """Real time. Counts on from its start by the monotonic clock, so that a step of the system's
    clock moves no timer."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def now(self) -> float:
        return self._offset + time.monotonic()

    async def wait(self, until: float | None, wake: asyncio.Event) -> None:
        if until is None:
            await wake.wait()
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, until - self.now())):
                await wake.wait()
