"""Opens handles on one server, and closes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comparing.lua import steps
from simulation import ManualClock, run_now

from handles.ear import Ear
from handles.handle import Handle, Player
from mageflow_conformance.servers import RedisServer
from mageflow_core.clock import SystemClock
from mageflow_core.machine import Policy
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.protocol import StoreOptions
from mageflow_core.stores.redis import RedisStore
from mageflow_core.stores.redis.connecting import Address

NAMESPACE = "ns"
START = 1_700_000_000.0


class Stores:
    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.clock = ManualClock(START)
        self.opened: list[RedisStore] = []

    async def open(self, url: str | None = None, **options: Any) -> Handle:
        """options: of `StoreOptions`."""
        said = StoreOptions(
            **{"policy": Policy(), "clock": SystemClock(), "namespace": NAMESPACE, **options}
        )
        return await self._open(RedisStore(Address.parse(url or self.server.url), said))

    async def open_at(self, *, width: int = 400, **options: Any) -> Handle:
        """At the time of `clock`. width: records that one step may write."""
        self.advance(0)
        said = StoreOptions(policy=Policy(), clock=self.clock, namespace=NAMESPACE)
        made = RedisStore(
            Address.parse(self.server.url), replace(said, **options), steps=steps(width, 65_536)
        )
        return await self._open(self._by_hand(made))

    def in_memory(self, **policy: Any) -> Player:
        """At the time of `clock`, on which nothing goes on by itself."""
        store, ear = MemoryStore(policy=Policy(**policy), clock=self.clock), Ear()
        run_now(store.open(ear))
        return Player(store, ear)

    async def twin(self, handle: Handle) -> Handle:
        """Another handle of the same process."""
        made = handle.store.twin()
        timed = handle.store._options.clock is self.clock
        return await self._open(self._by_hand(made) if timed else made)

    def advance(self, seconds: float) -> None:
        self.clock.time += seconds
        self.server.call("SET", "clock", round(self.clock.time * 1000))

    async def close(self) -> None:
        for store in self.opened:
            await store.close()

    async def _open(self, store: RedisStore) -> Handle:
        self.opened.append(store)
        ear = Ear()
        await store.open(ear)
        return Handle(store, ear)

    def _by_hand(self, store: RedisStore) -> RedisStore:
        setattr(store.server, "now", self.clock.now)  # noqa: B010 - methods are not assigned to
        return store
