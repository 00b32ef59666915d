"""A Redis store for those without an event loop: it has one that turns while it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from itertools import count
from typing import Any, TypeVar
from unittest.mock import patch

import redis
from simulation import ManualClock

from comparing.company import accompany
from comparing.limits import Limits
from comparing.lua import DUMP, steps
from comparing.reference import CHANCE, FIRST_NUMBER
from mageflow_conformance.waiting import eventually
from mageflow_core.machine import ClaimRequest, Job, Policy, Signal
from mageflow_core.machine.policy import RESERVATION
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import Claimed, StoreOptions
from mageflow_core.stores.redis import RedisStore, keys
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.leases import Leases
from mageflow_core.stores.redis.plan import milliseconds

T = TypeVar("T")
Contents = dict[str, Any]  # by key: text, set, list, or mapping with texts or scores

NAMESPACE = "ns"
NEVER = float("inf")


class Chances:
    """In place of the module `random`."""

    def random(self) -> float:
        return CHANCE

    def uniform(self, low: float, high: float) -> float:
        return low + CHANCE * (high - low)


class Beside:
    """Empties the server. Time stands still there until `set_time`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        url: str,
        policy: Policy,
        clock: ManualClock,
        limits: Limits,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._time: float | None = None
        self._client = redis.Redis.from_url(url)
        self._client.flushall()
        self._dump = self._client.register_script(DUMP)
        self._steps: Any = None
        self._known: set[int] = set()
        numbers = count(FIRST_NUMBER, -1)
        self._patches: list[Any] = [
            patch("mageflow_core.stores.redis.upkeep.random", Chances()),
            patch("mageflow_core.stores.redis.confirming.WITHIN", 0.0),
            patch.object(Leases, "new_number", lambda _self: next(numbers)),
        ]
        for each in self._patches:
            each.start()
        self.jobs: list[Job] = []
        options = StoreOptions(policy=policy, clock=clock, namespace=NAMESPACE, lease=limits.lease)
        self.store = RedisStore(Address.parse(url), options, steps=steps(400, 65536))
        self.keeper = self.store.twin()  # renews leases and serves timers, as in a worker process
        self._handles = (self.store, self.keeper)
        for handle in self._handles:
            for owner, name, instead in (
                (handle.server, "now", clock.now),
                (handle._upkeep, "send_unsent", nothing),  # in memory no reply is lost
            ):
                each = patch.object(owner, name, instead)
                each.start()
                self._patches.append(each)
            self.run(handle.open(self))
            if limits.company:
                accompany(handle.server, self._client)
        if limits.inbox:
            self.run(self._have_inbox())

    def close(self) -> None:
        for handle in self._handles:
            self.run(handle.close())
        self._client.close()
        for each in self._patches:
            each.stop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loop.run_until_complete(coroutine)

    async def _have_inbox(self) -> None:
        self.store.inbox.open()
        await eventually(lambda: self.store.inbox.stands)

    # --- what the store tells ---------------------------------------------------------------------
    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def on_signal(self, run_id: str, signal: Signal) -> None: ...
    def on_due(self, time: float) -> None: ...
    def on_silence(self) -> None: ...

    # --- around it --------------------------------------------------------------------------------
    def prepare(self, width: int, inline: int) -> None:
        """Before each call: the time, and the limits that tests have set."""
        if self._time != self._clock.time:
            self._time = self._clock.time
            self._client.set("clock", round(self._time * 1000))
        wanted = steps(width, inline)
        if wanted is not self._steps:
            self._steps = wanted
            for handle in self._handles:
                handle._steps = handle.server._steps = wanted
            if id(wanted) not in self._known:  # one that is not known is sent again: late
                self._known.add(id(wanted))
                for script in wanted:
                    self._client.script_load(script.text)

    def changes(self) -> int:
        """How often a key was changed."""
        counted: int = self._client.info("persistence")["rdb_changes_since_last_save"]
        return counted

    def dump(self) -> Contents:
        """All that is in the database."""
        return {_text(key): _value(_text(kind), value) for key, kind, value in self._dump()}

    # --- calls that are not those of a store ------------------------------------------------------
    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        """What the next renewal would do is done at once, as in memory."""
        claimed = await self.store.claim(run_id, request)
        sent, self.store._leases.claimed_of = self.store._leases.claimed_of, 0
        if sent:
            await self.keeper._upkeep.send_overdue(sent)
        return claimed

    async def sent(self, jobs: Sequence[Job]) -> None:
        await self.store.sent(jobs)
        flushing = self.store._confirmations._flushing
        if flushing is not None:
            await flushing

    async def lose(self, key: str, number: int, worker: str, *, crashed: bool) -> None:
        """Of this one claim, under a lease that holds for others."""
        leases = self.store.server.keys.run(split_key(key)[0]).partition("r:")[0] + "leases"
        member = f"{number} {worker}"
        until = self._client.zscore(leases, member)
        self._client.zadd(leases, {member: 0})
        await self.keeper._upkeep._lose_one(key, str(number), worker, crashed=crashed)
        self._client.zadd(leases, {member: until or 0.0})

    async def fire(self, run_id: str, kind: str, path: str, *, known: bool) -> None:
        """A timer comes up, whether or not it was ever set."""
        server = self.store.server
        entry = f"{kind} {run_id}{path}"
        due = server.keys.run(run_id).partition("r:")[0] + "due"
        self._client.zadd(due, {entry: round(self._clock.time * 1000)})
        reservation = milliseconds(RESERVATION) or 0
        rows = await server.step("fire", run_id, kind, path, int(known), reservation)
        self.keeper._upkeep.tell_jobs(run_id, rows or ())

    async def work(self, buckets: Sequence[int]) -> float | None:
        """All that is due in these buckets, whoever else sees to them, and in no others."""
        upkeep = self.keeper._upkeep
        upkeep._mine = frozenset(range(keys.BUCKETS))
        upkeep._next = dict.fromkeys(range(keys.BUCKETS), NEVER) | dict.fromkeys(buckets, 0.0)
        return await self.keeper.work()


async def nothing(_run_id: str) -> None: ...


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _value(kind: str, value: Any) -> Any:
    assert not kind.startswith("expiring"), f"{value} will be gone by itself"
    if kind == "string":
        return _text(value)
    texts = list(map(_text, value))
    if kind == "set":
        return set(texts)
    if kind == "list":
        return texts
    found = dict(zip(texts[::2], texts[1::2], strict=True))
    return found if kind == "hash" else {name: float(score) for name, score in found.items()}


async def _nothing(_run_id: str) -> None: ...
