"""The event loop of a process that runs tasks."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from mageflow_celery.leash import Leash
from mageflow_core.backends import Deliveries, Handled, Host

log = logging.getLogger("mageflow.celery")

PAUSES = (0.2, 1.0, 5.0)  # seconds before it tries again to be a worker
UNWIND = 5.0  # seconds that a body gets which Celery stops
SETTLE = 2.0  # for what is to be given back at the end
LAST = 10.0  # for all of the end


class Home:
    """Runs in a thread of its own, from its process's start to its end: leases are renewed, timers
    fire and what is due is sent also while Celery has no task for this process. In it the app is
    hosted, and every job that Celery gives to a thread or to the main thread of this process runs.

    It is made after the process was forked, as no loop lives in two. slots: how many jobs Celery
    runs here at once. grace: see `leave`.
    """

    def __init__(
        self,
        host: Host,
        deliveries: Deliveries,
        *,
        slots: int,
        grace: float | None,
        leave: Leash | None,
        hurry: Leash | None,
        close: Callable[[], Any],
    ) -> None:
        self.pid = os.getpid()
        self.deliveries = deliveries
        self._host = host
        self._slots = slots
        self._grace = grace
        self._leashes = [(leave, self.leave), (hurry, self._hurry)]
        self._close = close
        self._loop: asyncio.AbstractEventLoop
        self._ready = asyncio.Event()  # a worker; or one never more
        self._stopping = asyncio.Event()
        self._over = asyncio.Event()
        self._hosting: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._finishing: asyncio.Task[None] | None = None
        self._hurrying: asyncio.Task[None] | None = None
        made = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(made,), name="mageflow home", daemon=True
        )
        self._thread.start()
        made.wait()

    def _run(self, made: threading.Event) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            made.set()
            runner.run(self._live())

    # --- called on threads of Celery's ----------------------------------------------------------
    def run(self, headers: Mapping[str, str], context: Any) -> Handled:
        """Have a job run, and wait until its body has ended. To tell the store needs no thread of
        Celery's any more, and is made good after a crash of this process, as the claim is lost
        then, whether or not Celery gives the job to another.

        What is raised in the waiting thread meanwhile, as where Celery stops a task, stops the
        body, which is put back. Raises `CancelledError` where it was stopped otherwise.
        """
        ended: SimpleQueue[asyncio.Task[Handled] | Handled] = SimpleQueue()
        running: list[asyncio.Task[Handled]] = []

        def begin() -> None:
            running.append(
                task := self._loop.create_task(self._deliver(headers, context, ended.put))
            )
            task.add_done_callback(ended.put)

        def stop() -> None:
            for task in running:
                task.cancel()

        try:
            self._loop.call_soon_threadsafe(begin)
            found = ended.get()
        except BaseException:
            self._loop.call_soon_threadsafe(stop)
            with suppress(Empty):
                ended.get(timeout=UNWIND)
            raise
        if isinstance(found, Handled):
            return found
        if found.cancelled():
            raise CancelledError
        return found.result()

    def tell_leave(self) -> None:
        with suppress(RuntimeError):  # it is over already
            self._loop.call_soon_threadsafe(self.leave)

    def end(self, *, grace: float | None = None) -> None:
        """Leave, and return when all is closed."""
        with suppress(RuntimeError):  # it is over already
            self._loop.call_soon_threadsafe(self._finish, grace)
        self._thread.join(LAST)
        if self._thread.is_alive():
            log.warning("this process ends before its event loop does")

    # --- on the loop ----------------------------------------------------------------------------
    async def _deliver(
        self, headers: Mapping[str, str], context: Any, ended: Callable[[Handled], object]
    ) -> Handled:
        await self._ready.wait()
        return await self.deliveries.run(context.id, headers, context, ended)

    async def _live(self) -> None:
        for leash, let_go in self._leashes:
            if leash is not None:
                self._loop.add_reader(leash.reading, self._let_go, leash, let_go)
        self._hosting = asyncio.create_task(self._be_host())
        await self._over.wait()

    def _let_go(self, leash: Leash, then: Callable[[], None]) -> None:
        self._loop.remove_reader(leash.reading)
        then()

    async def _be_host(self) -> None:
        fails = 0
        while not self._stopping.is_set():
            try:
                await self._host.begin(slots=self._slots)
            except Exception as error:  # noqa: BLE001 - of whatever the app is made of
                pause = PAUSES[min(fails, len(PAUSES) - 1)]
                fails += 1
                log.error("process %d cannot work, and tries again: %s", self.pid, error)  # noqa: TRY400
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
            else:
                self._ready.set()
                return

    def leave(self) -> None:
        """Take part in nothing new. What runs has as long as this home's `grace`, or, where that
        is `None`, as the app's settings say."""
        if self._leaving is None:
            self._leaving = self._loop.create_task(self._leave(self._grace))

    async def _leave(self, grace: float | None) -> None:
        self._stopping.set()
        if self._hosting is not None:
            # A worker that has only just told of itself would not tell that it leaves.
            await asyncio.wait([self._hosting], timeout=UNWIND)
            self._hosting.cancel()
            await asyncio.gather(self._hosting, return_exceptions=True)
        try:
            await self._host.end(grace)
        except Exception as error:  # noqa: BLE001 - of whatever the app is made of
            log.warning("process %d did not leave in order: %s", self.pid, error)
        finally:
            self._ready.set()  # what comes now is given back

    def _hurry(self) -> None:
        if self._leaving is None:
            self._leaving = self._loop.create_task(self._leave(0))
        elif self._hurrying is None:
            self._hurrying = self._loop.create_task(self._end_at_once())

    async def _end_at_once(self) -> None:
        await self._host.end(0)

    def _finish(self, grace: float | None) -> None:
        if self._finishing is None:
            self._finishing = self._loop.create_task(self._finished(grace))

    async def _finished(self, grace: float | None) -> None:
        if grace is not None:
            self._hurry()
        self.leave()
        assert self._leaving is not None, "it was just set"
        await asyncio.wait([self._leaving])
        await self.deliveries.settle(SETTLE)
        await self._close()
        self._over.set()
