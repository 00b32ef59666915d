"""A worker: serves a backend's jobs with a runner, and keeps its leases alive."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable, Iterable
from os import getpid

from mageflow_core.backends.protocol import TaskManager
from mageflow_core.errors import StoreUnavailable
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.threads import Threads
from mageflow_core.stores.protocol import Store, WorkerInfo

log = logging.getLogger("mageflow.worker")

RENEWAL = 5.0  # seconds
THREADS_END = 1.0  # seconds


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
        backends: Iterable[TaskManager],
        tasks: Callable[[], frozenset[str]],
        slots: int,
        grace: float,
    ) -> None:
        self.id = id
        self._store = store
        self._runner = runner
        self._threads = threads
        self._backends = list(backends)
        self._tasks = tasks
        self._slots = slots
        self._grace = grace
        self._stop = asyncio.Event()

    def stop(self, grace: float | None = None) -> None:
        """grace: seconds for bodies to end in, where it is to be another than was set."""
        if grace is not None:
            self._grace = grace
        self._stop.set()

    async def announce(self) -> None:
        """Renew this process's leases, and tell which tasks it knows."""
        await self._store.renew(WorkerInfo(id=self.id, tasks=self._tasks(), slots=self._slots))

    async def run(self) -> None:
        """Serve until `stop()`, then give bodies their grace, stop them, and leave."""
        renewing = asyncio.create_task(self._renew())
        stopping = asyncio.create_task(self._stop_bodies())
        try:
            async with asyncio.TaskGroup() as group:
                for backend in self._backends:
                    # Twice the grace: the second half is for bodies to unwind.
                    group.create_task(
                        backend.serve(slots=self._slots, stop=self._stop, grace=2 * self._grace)
                    )
        finally:
            renewing.cancel()
            stopping.cancel()
            await asyncio.gather(renewing, stopping, return_exceptions=True)
            # Those that still run have had their grace; the others need a moment to end.
            stuck = await asyncio.to_thread(self._threads.close, THREADS_END)
            if stuck:
                log.warning("sync bodies still run in threads %s", ", ".join(stuck))
            try:
                await self._store.leave(self.id, crashed=False)
            except StoreUnavailable:
                log.warning(
                    "the store does not answer: what %s had runs on when its lease ends", self.id
                )

    async def _stop_bodies(self) -> None:
        await self._stop.wait()
        await asyncio.sleep(self._grace)
        self._runner.stop_all()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(RENEWAL)
            try:
                await self.announce()
                if len(self._runner.bodies) < self._slots:
                    await self._store.idle(self._runner.last_given)
            except StoreUnavailable:
                log.warning("could not renew the leases of %s", self.id)
            except Exception:  # without it all that it runs would count as lost
                log.exception("could not renew the leases of %s", self.id)
