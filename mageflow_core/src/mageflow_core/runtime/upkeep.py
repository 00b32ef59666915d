"""What goes on beside the bodies: the reconciler, and the renewal of leases.

Where a store can be used from two event loops, it goes on in a thread with a loop of its own, so
that a body that blocks the app's loop costs no lease, and delays nothing of what is due.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from typing import NamedTuple, Protocol

from mageflow_core.clock import Clock
from mageflow_core.machine import Job, Signal
from mageflow_core.runtime.reconciler import Reconciler
from mageflow_core.runtime.renewal import Member, Renewal
from mageflow_core.stores.protocol import Listener, Store

log = logging.getLogger("mageflow.upkeep")

PAUSE = 1.0  # seconds before a thread that has died is started again
JOIN = 10.0  # seconds


class Upkeep(Protocol):
    """Opened and closed on the app's event loop."""

    async def open(self) -> None:
        """Returns when the worker, where there is one, is known to the store. Raises what keeps
        it from that, `StoreUnavailable` for one."""
        ...

    def on_due(self, time: float) -> None:
        """Wake the reconciler."""
        ...

    def announce(self) -> None:
        """Have the worker say at once what has changed of it. From any thread."""
        ...

    async def close(self) -> None:
        """Leases are not renewed any more. May be called twice."""
        ...

    def abandon(self) -> None:
        """Close from outside of the app's loop, which is closed."""
        ...


class LoopUpkeep:
    """Tasks on the app's own loop. member: the worker of this process, if it has one."""

    def __init__(
        self, store: Store, listener: Listener, clock: Clock, member: Member | None, lease: float
    ) -> None:
        self._reconciler = Reconciler(store, clock)
        self._renewal = Renewal(store, member, lease, listener) if member is not None else None
        self._loop = asyncio.get_running_loop()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        running = {"reconciler": self._reconciler.run()}
        if self._renewal is not None:
            await self._renewal.begin()
            running["renewal"] = self._renewal.run()
        for name, coroutine in running.items():
            task = self._loop.create_task(coroutine, name=f"mageflow {name}", context=Context())
            self._tasks.append(task)

    def on_due(self, time: float) -> None:
        self._reconciler.on_due(time)

    def announce(self) -> None:
        if self._renewal is not None:
            _call(self._loop, self._renewal.announce)

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    def abandon(self) -> None:
        self._tasks = []


class Running(NamedTuple):
    """What runs on the thread now. All that others may do with it is to call it on its loop."""

    loop: asyncio.AbstractEventLoop
    task: asyncio.Task[None]
    reconciler: Reconciler
    renewal: Renewal


class ThreadUpkeep:
    """A daemon thread with an event loop of its own, and the store's twin there. It is started
    again if it dies, and ends by itself when the app's loop is closed."""

    def __init__(
        self, store: Store, listener: Listener, clock: Clock, member: Member, lease: float
    ) -> None:
        self._store = store
        self._listener = listener
        self._clock = clock
        self._member = member
        self._lease = lease
        self._app_loop = asyncio.get_running_loop()
        self._thread: threading.Thread | None = None
        self._ready: Future[None] = Future()
        self._ready.set_running_or_notify_cancel()  # who waits for it cannot cancel it
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._running: Running | None = None
        self._error: Exception | None = None

    async def open(self) -> None:
        self._thread = threading.Thread(target=self._main, name="mageflow-upkeep", daemon=True)
        self._thread.start()
        await asyncio.wrap_future(self._ready)

    def on_due(self, time: float) -> None:
        running = self._running
        if running is not None:
            _call(running.loop, running.reconciler.on_due, time)

    def announce(self) -> None:
        running = self._running
        if running is not None:
            _call(running.loop, running.renewal.announce)

    async def close(self) -> None:
        self._stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, JOIN)
            if self._thread.is_alive():
                log.warning("the upkeep thread does not end: the store holds it up")
        error, self._error = self._error, None
        if error is not None:
            raise error

    def abandon(self) -> None:
        self._stop()
        if self._thread is not None:
            self._thread.join(JOIN)

    def _stop(self) -> None:
        with self._lock:
            if self._closing.is_set():
                return
            self._closing.set()
            if self._running is not None:
                _call(self._running.loop, self._running.task.cancel)

    # --- on the thread --------------------------------------------------------------------------
    def _main(self) -> None:
        while not self._closing.is_set():
            try:
                asyncio.run(self._keep())
            except BaseException as error:  # without it every lease would be lost
                if not self._ready.done():
                    self._ready.set_exception(error)
                    return
                if self._closing.is_set():
                    self._error = error if isinstance(error, Exception) else None
                    return
                log.critical(
                    "the upkeep of this process has died; it is started again in %g s. Without it "
                    "no lease is renewed: if this goes on, what runs here will run elsewhere.",
                    PAUSE,
                    exc_info=error,
                )
                self._closing.wait(PAUSE)

    async def _keep(self) -> None:
        twin = self._store.twin()
        assert twin is not None, "a store that had a twin has none any more"
        reconciler = Reconciler(twin, self._clock)
        listener = Carrier(self._app_loop, self._listener, reconciler)
        renewal = Renewal(twin, self._member, self._lease, listener)
        task = asyncio.current_task()
        assert task is not None
        with self._lock:
            if self._closing.is_set():
                return
            self._running = Running(asyncio.get_running_loop(), task, reconciler, renewal)
        await twin.open(listener)
        try:
            await renewal.begin()
            if not self._ready.done():
                self._ready.set_result(None)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(each.run()) for each in (renewal, reconciler)]
                while not self._app_loop.is_closed():  # noqa: ASYNC110 - nobody tells of it
                    await asyncio.sleep(renewal.every)
                self._closing.set()  # with that loop all bodies have ended
                for each in tasks:
                    each.cancel()
            await twin.leave(self._member.info().id, crashed=False)
        finally:
            await twin.close()


class Carrier:
    """The listener of a twin: tells the app on the app's loop what it is told on another one."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, listener: Listener, reconciler: Reconciler
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._reconciler = reconciler

    def on_jobs(self, jobs: Sequence[Job]) -> None:
        _call(self._loop, self._listener.on_jobs, jobs)

    def on_signal(self, run_id: str, signal: Signal) -> None:
        _call(self._loop, self._listener.on_signal, run_id, signal)

    def on_due(self, time: float) -> None:
        self._reconciler.on_due(time)

    def on_silence(self) -> None:
        _call(self._loop, self._listener.on_silence)


def _call(
    loop: asyncio.AbstractEventLoop, function: Callable[..., object], *arguments: object
) -> None:
    with suppress(RuntimeError):  # that loop is closed: there is nobody to be told
        loop.call_soon_threadsafe(function, *arguments)
