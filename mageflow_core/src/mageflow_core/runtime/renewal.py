"""The renewal of a worker's leases: how the others know that it lives."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from typing import Protocol

from mageflow_core.errors import StoreUnavailable
from mageflow_core.failpoints import hit
from mageflow_core.stores.protocol import Listener, Store, WorkerInfo

log = logging.getLogger("mageflow.worker")

RENEWAL = 5.0  # seconds
RENEWALS = 6  # in the time of one lease, at least


class Member(Protocol):
    """Who lives. Asked on the thread that renews, which may not be the one that it works on."""

    def info(self) -> WorkerInfo: ...

    def idle_since(self) -> float | None:
        """Since when it has had a free slot and was given nothing; `None` where no slot is free."""
        ...


class Renewal:
    """Renews, with a store's handle for the event loop that it runs on. Where leases were lost
    the listener hears of silence: what is running here may run elsewhere too."""

    def __init__(self, store: Store, member: Member, lease: float, listener: Listener) -> None:
        self._store = store
        self._member = member
        self._listener = listener
        self.every = min(RENEWAL, lease / RENEWALS)
        self._renewed_at = time.monotonic()
        self._wake = asyncio.Event()

    async def begin(self) -> None:
        """The first one. Raises `StoreUnavailable`."""
        await self._renew()

    def announce(self) -> None:
        """Do the next one at once: there is something new to tell."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.every):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._renew()
                since = self._member.idle_since()
                if since is not None:
                    await self._store.idle(since)
            except StoreUnavailable:
                log.warning("could not renew the leases of %s", self._member.info().id)
            except Exception:  # without it all that it runs would count as lost
                log.exception("could not renew the leases of %s", self._member.info().id)

    async def _renew(self) -> None:
        info = self._member.info()
        hit("renewal.renewing")
        held = await self._store.renew(info)
        hit("renewal.renewed")
        before, self._renewed_at = self._renewed_at, time.monotonic()
        if not held:
            log.warning(
                "the leases of %s were lost: nothing had renewed them for %.1f s. Most likely this "
                "process was frozen, or a task held the GIL for longer than a lease (see the "
                "setting `lease`), or the store was away. What was running here may run elsewhere.",
                info.id,
                self._renewed_at - before,
            )
            self._listener.on_silence()
