"""The bench that requirements work on: handles on one store, workers and a backend by hand."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, cast

from mageflow_conformance.stores.backend import Backend
from mageflow_conformance.stores.builders import Sig
from mageflow_conformance.stores.clock import MovedClock
from mageflow_conformance.stores.counting import Counting
from mageflow_conformance.stores.flow import Flow, text_of
from mageflow_conformance.stores.harness import StoreHarness, Times
from mageflow_conformance.waiting import eventually, say
from mageflow_core.machine import Job, Policy, Signal
from mageflow_core.stores.protocol import NewRun, Store, StoreOptions, WorkerInfo

ENOUGH = 10_000  # calls of work() after which a store that has always more to do is called stuck
INEXACT = 0.2  # seconds: how well the store's clock is known to a handle under load
# Seconds that requirements let pass, and that do not pass by accident on a machine held up.
SOON = 1.5
TICK, TICKS = (
    0.01,
    500,
)  # seconds between two looks where time is moved, and how many looks there are
CALM, MOMENT = 3, 0.004  # looks that a shared store gets, and seconds between them
RENEWALS = 4.0  # renewals in the time of a lease


class Handle:
    """One handle on the store, what it was told, and the worker that lives on it."""

    def __init__(self, bench: Bench, raw: Store, worker: str) -> None:
        self.bench = bench
        self.raw = raw
        self.store: Store = cast("Store", Counting(raw, bench))
        self.worker = worker
        self.tasks = frozenset({"work"})
        self.backends = frozenset({"bench"})
        self.jobs: list[Job] = []
        self.signals: list[tuple[str, Signal]] = []
        self.dues: list[float] = []
        self.silences = 0
        self.lives = False
        self.silent = False
        self._renewed = 0.0
        self._unconfirmed: list[Job] = []

    # --- the listener ---------------------------------------------------------------------------
    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        self._unconfirmed += jobs
        self.bench.backend.take_in(jobs)

    def on_signal(self, run_id: str, signal: Signal) -> None:
        self.signals.append((run_id, signal))

    def on_due(self, time: float) -> None:
        self.dues.append(time)

    def on_silence(self) -> None:
        self.silences += 1

    # --- the worker -----------------------------------------------------------------------------
    async def renew(self) -> bool:
        """The worker lives, and knows its tasks."""
        self.lives, self.silent = True, False
        self._renewed = self.store.now()
        return await self.store.renew(
            WorkerInfo(id=self.worker, tasks=self.tasks, slots=10, backends=self.backends)
        )

    async def leave(self, *, crashed: bool) -> None:
        self.lives = False
        await self.store.leave(self.worker, crashed=crashed)

    def falls_silent(self) -> None:
        """It does nothing any more until it renews, as one that was killed or is frozen."""
        self.lives, self.silent = False, True

    async def tend(self) -> None:
        """What its process does beside bodies: renew, and confirm what was sent."""
        if self.lives and self.store.now() - self._renewed > self.bench.lease / RENEWALS:
            await self.renew()
        if self.bench.confirms and self._unconfirmed:
            jobs, self._unconfirmed = self._unconfirmed, []
            await self.store.sent(jobs)


class Bench:
    """One requirement's place: a namespace of its own, a store in it, and everybody around it.

    What the store hands out to be sent lands in `backend`, whichever handle it was handed to, until
    a flow takes it from there; it is confirmed as sent the next time that the bench looks after
    the store, unless `confirms` is off.
    """

    def __init__(
        self,
        harness: StoreHarness,
        *,
        policy: Policy | None = None,
        lease: float = 30.0,
        namespace: str | None = None,
        hastened: bool = False,
        patience: float = 30.0,
    ) -> None:
        self.harness = harness
        self.lease = lease
        self.clock = MovedClock()
        self.namespace = namespace or f"conformance-{secrets.token_hex(6)}"
        self.options = StoreOptions(
            policy=policy or Policy(),
            clock=self.clock,
            namespace=self.namespace,
            lease=lease,
            patience=patience,
        )
        self.hastened = hastened
        self.handles: list[Handle] = []
        self.backend = Backend()
        self.confirms = True
        self.calls = 0
        self._numbers = count(1)
        self._others: list[Bench] = []

    # --- its life -------------------------------------------------------------------------------
    async def open(self) -> None:
        handle = await self._new_handle()
        await handle.renew()

    async def close(self) -> None:
        for other in self._others:
            await other.close()
        for handle in self.handles:
            await handle.store.close()
        await self.harness.clean(self.namespace)

    async def reopen(self) -> None:
        """Close the handles, and open one anew: what the store keeps is all that is left."""
        for handle in self.handles:
            await handle.store.close()
        self.handles.clear()
        self.backend.forget()
        await self.open()

    async def _new_handle(self) -> Handle:
        made = self.harness.make(self.options, hastened=self.hastened)
        return await self.adopt(made)

    async def adopt(self, made: Store) -> Handle:
        """Open a handle that was made otherwise, on this event loop."""
        handle = Handle(self, made, f"worker-{len(self.handles) + 1}-{self.new_id()}")
        await made.open(handle)
        self.handles.append(handle)
        return handle

    # --- handles --------------------------------------------------------------------------------
    @property
    def first(self) -> Handle:
        return self.handles[0]

    @property
    def store(self) -> Store:
        return self.first.store

    @property
    def times(self) -> Times:
        return self.harness.times

    @property
    def moves_time(self) -> bool:
        """Whether the store goes by the clock that it was given, which needs no waiting."""
        return "time" in self.harness.abilities

    @property
    def policy(self) -> Policy:
        return self.options.policy

    async def another(self) -> Handle:
        """A second process: a handle of its own where the store is shared, and else the first one
        with another worker."""
        if self.harness.shared:
            handle = await self._new_handle()
        else:
            handle = Handle(self, self.first.raw, f"worker-{len(self.handles) + 1}-{self.new_id()}")
            self.handles.append(handle)
        await handle.renew()
        return handle

    async def elsewhere(self) -> Bench:
        """The same store under another namespace."""
        other = Bench(self.harness, policy=self.policy, lease=self.lease)
        await other.open()
        self._others.append(other)
        return other

    def new_id(self) -> str:
        return f"{next(self._numbers)}-{secrets.token_hex(3)}"

    # --- time -----------------------------------------------------------------------------------
    async def settle(self) -> None:
        """Return when nothing is due any more now, on any handle."""
        for _ in range(ENOUGH):
            busy = False
            await asyncio.sleep(0)  # a store that never waits would starve all others
            for handle in self._tended():
                await handle.tend()
                again = await handle.store.work()
                busy = busy or (again is not None and again <= self.clock.now())
            if not busy:
                return
        raise AssertionError(f"work() says that more is due after {ENOUGH} calls")

    async def calm(self) -> None:
        """Return when nothing is due, and nothing has come of what was done before.

        A shared store may tell its handles of what they are to look at a moment later.
        """
        await self.settle()
        for _ in range(CALM if self.harness.shared else 0):
            await asyncio.sleep(MOMENT)
            await self.settle()

    def _tended(self) -> list[Handle]:
        acting = [handle for handle in self.handles if not handle.silent]
        stores = {id(handle.raw): handle for handle in reversed(acting)}
        return list(reversed(stores.values()))

    async def eventually(
        self, predicate: Callable[[], Any | Awaitable[Any]], *, within: float = 5.0, about: str = ""
    ) -> Any:
        """What the predicate gives once that is true, while the store is looked after."""

        async def look() -> Any:
            found = predicate()
            if isinstance(found, Awaitable):
                found = await found
            if not found:
                await self.settle()
            return found

        if not self.moves_time:
            return await eventually(look, within=within, about=about)
        end, step = self.clock.now() + within, max(TICK, within / TICKS)
        while not (found := await look()):
            if self.clock.now() > end:
                raise AssertionError(say(about, within, found))
            self.clock.skipped += step
        return found

    async def passes(self, seconds: float) -> None:
        """Return when `seconds` of the store's time are over, and what became due is done."""
        await self.settle()
        end = self.store.now() + seconds
        if self.moves_time:
            self.clock.skipped += seconds
        await self.eventually(
            lambda: self.store.now() >= end, within=seconds + 5.0, about="the store's time"
        )
        await self.calm()

    # --- runs -----------------------------------------------------------------------------------
    async def start(
        self, signature: Sig, message: Any = None, *, text: str | None = None, **how: Any
    ) -> Flow:
        """A new run that has been started; its message as a value, or as JSON text."""
        return await self._create(signature, text if text is not None else text_of(message), how)

    async def create(self, signature: Sig, **how: Any) -> Flow:
        """A new run that has not been started."""
        return await self._create(signature, None, how)

    async def _create(self, signature: Sig, message: str | None, how: dict[str, Any]) -> Flow:
        run_id = how.pop("id", None) or f"run-{self.new_id()}"
        new = NewRun(id=run_id, signature=signature, message=message, **how)
        created = await self.store.create(new)
        assert created.fresh, f"{run_id}: a new run is told to be there already: {created}"
        return Flow(self, run_id)

    def flow(self, run_id: str) -> Flow:
        """A run that is there already."""
        return Flow(self, run_id)

    async def size(self) -> int:
        """How much is stored of runs; the harness must have the ability "size"."""
        return await self.harness.size(self.first.raw, self.namespace)
