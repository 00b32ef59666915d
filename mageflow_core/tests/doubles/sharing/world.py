"""What all handles of one shared store see."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mageflow_core.machine import Job, Signal
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.waiters import Waiters
from mageflow_core.stores.protocol import StoreOptions, WorkerInfo

if TYPE_CHECKING:
    from sharing.store import SharedStore


class World:
    """One step at a time, whatever thread asks for it. Signals go to all handles that a worker
    renews its lease with, unless the world is `deaf`.

    calls: who has called what: method and thread. before: called before a method is.
    """

    all: ClassVar[dict[str, World]] = {}

    def __init__(self, options: StoreOptions) -> None:
        self.lock = threading.RLock()
        self.options = options
        self.core: Any = MemoryStore(policy=options.policy, clock=options.clock)
        self.core.waiters = Waking(self)
        self.core._listeners.append(self)
        self.handles: list[SharedStore] = []
        self.calls: Counter[tuple[str, str]] = Counter()
        self.before: dict[str, Callable[[SharedStore], None]] = {}
        self.passed_on: list[Job] = []
        self.renewed_at: dict[str, float] = {}
        self.infos: list[WorkerInfo] = []
        self.lost: set[str] = set()
        self.deaf = False
        self._current: SharedStore | None = None

    @classmethod
    def at(cls, url: str, options: StoreOptions) -> World:
        return cls.all.setdefault(url, cls(options))

    def step(
        self, handle: SharedStore, name: str, method: Callable[..., Awaitable[Any]], *given: Any
    ) -> Any:
        with self.lock:
            self.calls[name, threading.current_thread().name] += 1
            if name in self.before:
                self.before[name](handle)
            outer, self._current = self._current, handle
            try:
                method(*given).__await__().__next__()
            except StopIteration as done:
                return done.value
            finally:
                self._current = outer
            raise RuntimeError(f"{name} has waited inside a step")

    # --- leases ---------------------------------------------------------------------------------
    async def renew(self, info: WorkerInfo) -> bool:
        late = time.monotonic() - self.renewed_at.get(info.id, time.monotonic())
        if late > self.options.lease and info.id not in self.lost:
            await self._expire(info.id, crashed=False)
        held = info.id not in self.lost
        self.lost.discard(info.id)
        self.renewed_at[info.id] = time.monotonic()
        self.infos.append(info)
        await self.core.renew(info)
        return held

    async def leave(self, worker: str, crashed: bool) -> None:
        self.renewed_at.pop(worker, None)
        await self.core.leave(worker, crashed=crashed)

    async def work(self) -> float | None:
        for worker, renewed_at in list(self.renewed_at.items()):
            if time.monotonic() - renewed_at > self.options.lease:
                await self._expire(worker, crashed=True)
        due = await self.core.work()
        look_again = self.options.clock.now() + self.options.lease / 4
        return look_again if due is None else float(min(due, look_again))

    async def _expire(self, worker: str, *, crashed: bool) -> None:
        self.lost.add(worker)
        await self.leave(worker, crashed)

    async def pass_on(self, by: SharedStore, jobs: Sequence[Job]) -> None:
        self.passed_on += jobs
        for job in jobs:
            for handle in self.handles:
                worker = self.core.live.get(handle.worker)
                able = worker is not None and job.backend in worker.backends
                if handle.process is not by.process and able:
                    handle.tell("on_jobs", [job])
                    break

    # --- the listener of the core ---------------------------------------------------------------
    def on_jobs(self, jobs: Sequence[Job]) -> None:
        assert self._current is not None
        if self._current.listener is not None:
            self._current.listener.on_jobs(jobs)

    def on_signal(self, run_id: str, signal: Signal) -> None:
        for handle in self.handles if not self.deaf else ():
            if handle.worker:
                handle.tell("on_signal", run_id, signal)

    def on_due(self, time: float) -> None:
        for handle in self.handles:
            handle.tell("on_due", time)

    def on_silence(self) -> None:
        for handle in self.handles:
            handle.tell("on_silence")


class Waking(Waiters):
    """Wakes those who wait on other event loops."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def wake(self, run_id: str, ended: Sequence[str], *, settled: bool) -> None:
        for handle in self._world.handles:
            handle.wake()
