"""A worker: serves backends' jobs with a runner, until it is stopped and has left."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from os import getpid

from mageflow_core.backends.protocol import TaskManager
from mageflow_core.errors import StoreUnavailable
from mageflow_core.failpoints import hit
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.threads import Threads
from mageflow_core.runtime.upkeep import Upkeep
from mageflow_core.stores.protocol import Store, WorkerInfo

log = logging.getLogger("mageflow.worker")

THREADS_END = 1.0  # seconds
LEAVE = 5.0  # seconds that a store gets to answer; it finds out by itself that the lease is over
UNWIND = 1.0  # seconds that stopped bodies get at least, also where they have no grace


def new_worker_id() -> str:
    """Made in the process that works: host, process, and what tells two of one process apart."""
    host = socket.gethostname().split(".")[0]
    return f"{host}-{getpid()}-{secrets.token_hex(4)}"


class Worker:
    """Runs until it is stopped; what it has not finished by then is put back."""

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - it is what it is called everywhere
        store: Store,
        runner: Runner,
        threads: Threads,
        backends: Mapping[str, TaskManager],
        sends: frozenset[str],
        tasks: Callable[[], frozenset[str]],
        slots: int,
        grace: float,
        started_at: float,
    ) -> None:
        self.id = id
        self._store = store
        self._runner = runner
        self._threads = threads
        self._backends = dict(backends)
        self._sends = sends
        self._tasks = tasks
        self._slots = slots
        self._promised = self._grace = grace
        self._started_at = started_at
        self._host = socket.gethostname()
        self._stop = asyncio.Event()
        self._hurried = asyncio.Event()

    # --- asked by the renewal, on any thread ----------------------------------------------------
    def info(self) -> WorkerInfo:
        bodies = list(self._runner.bodies.values())
        return WorkerInfo(
            id=self.id,
            tasks=self._tasks(),
            slots=self._slots,
            backends=frozenset() if self._stop.is_set() else self._sends,
            host=self._host,
            pid=getpid(),
            started_at=self._started_at,
            running=sum(body.claim is not None for body in bodies),
        )

    def idle_since(self) -> float | None:
        return self._runner.last_given if len(self._runner.bodies) < self._slots else None

    # --------------------------------------------------------------------------------------------
    def stop(self, grace: float | None = None) -> None:
        """grace: seconds for bodies to end in, where it is to be another than was set. May be
        called again, with less."""
        if grace is not None:
            self._grace = grace
        self._stop.set()
        self._hurried.set()

    async def run(self, upkeep: Upkeep) -> None:
        """Serve until `stop()`, then give bodies their grace, stop them, and leave. upkeep: keeps
        the leases of this worker, and is closed before it leaves."""
        serving: list[asyncio.Task[None]] = []
        helping = [
            asyncio.create_task(self._stop_bodies(serving)),
            asyncio.create_task(self._runner.doubts.run()),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                # After their grace bodies are told to stop, and then have time to unwind: a backend
                # that stopped them before that would cancel them a second time.
                grace = self._promised + max(self._promised, UNWIND)
                for backend in self._backends.values():
                    served = backend.serve(slots=self._slots, stop=self._stop, grace=grace)
                    serving.append(group.create_task(served))
        finally:
            for helper in helping:
                helper.cancel()
            await asyncio.gather(*helping, return_exceptions=True)
            # Those that still run have had their grace; the others need a moment to end.
            stuck = await asyncio.to_thread(self._threads.close, THREADS_END)
            if stuck:
                log.warning("sync bodies still run in threads %s", ", ".join(stuck))
            try:
                await upkeep.close()
            finally:
                await self._leave()

    async def _leave(self) -> None:
        hit("worker.leaving")
        try:
            async with asyncio.timeout(LEAVE):
                await self._store.leave(self.id, crashed=False)
        except (StoreUnavailable, TimeoutError) as error:
            why = str(error) or "The store does not answer."
            log.warning("%s What %s had runs on when its lease ends.", why, self.id)
        hit("worker.left")

    async def _stop_bodies(self, serving: list[asyncio.Task[None]]) -> None:
        now = asyncio.get_running_loop().time
        await self._stop.wait()
        stopped_at = now()
        await self._pass_until(lambda: stopped_at + self._grace)
        self._runner.stop_all()
        told_at = now()
        # Backends count the grace that they were promised; somebody may have less patience.
        await self._pass_until(
            lambda: told_at + max(self._grace, UNWIND) if self._grace < self._promised else None
        )
        for backend in serving:
            backend.cancel()

    async def _pass_until(self, time: Callable[[], float | None]) -> None:
        """Wait for a time that another call of `stop` may change; `None`: until there is one."""
        now = asyncio.get_running_loop().time
        while (until := time()) is None or until > now():
            self._hurried.clear()
            left = None if until is None else until - now()
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._hurried.wait()
