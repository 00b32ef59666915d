"""A process whose purpose is to work."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mageflow_core.errors import BackendError, ConfigurationError, SettingsError
from mageflow_core.runtime.worker import UNWIND
from mageflow_core.stores.loader import load_store
from mageflow_core.urls import safe_url

if TYPE_CHECKING:
    from mageflow_core.backends.protocol import TaskManager
    from mageflow_core.client.app import Mageflow
    from mageflow_core.client.site import Site

log = logging.getLogger("mageflow.worker")

OPEN_ALREADY = "this app is open already, and does not work: call serve() before all else"


async def serve(app: Mageflow, stop: asyncio.Event | None) -> None:
    """See `Mageflow.serve`."""
    check_serves(app)
    app.serves = True
    try:
        if stop is not None:
            await Serving(app, stop).run()
            return
        serving = Serving(app, asyncio.Event())
        with _signals(serving.on_signal):
            await serving.run()
    finally:
        app.serves = False
        app.elsewhere = frozenset()


def check_serves(app: Mageflow) -> None:
    """Raises `SettingsError` where a worker would have nothing to do."""
    settings = app.settings
    if not settings.worker:
        raise SettingsError("worker is false, so there is nothing to serve with: leave it out")
    store: Any = load_store(settings.store)
    if not store.shared:
        raise SettingsError(
            f"store is {safe_url(settings.store)!r}, which no other process sees: nothing would "
            "ever come for a worker alone. Name a store that processes share"
        )


class Serving:
    """One worker, from its opening to its end.

    Backends whose engines have processes of their own start them before anything is open here: no
    connection, thread or event loop is to be in two processes. What they need is tried before that.
    """

    def __init__(self, app: Mageflow, stop: asyncio.Event) -> None:
        self._app = app
        self._stop = stop
        self._site: Site | None = None
        self._elsewhere: dict[str, asyncio.Task[None]] = {}  # by the name of the backend

    def on_signal(self) -> None:
        if self._stop.is_set():
            log.warning("stopping at once")
            if self._site is not None:
                self._site.worker.stop(grace=0)
            for serving in self._elsewhere.values():
                serving.cancel()
        self._stop.set()

    async def run(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        grace: float | None = 0.0  # who breaks this off does not want to wait
        try:
            elsewhere = self._app.backends.of_own_processes()
            if not elsewhere or await self._can_begin(stopping):
                self._begin_elsewhere(elsewhere)
                await self._work_here(stopping)
            grace = None
        finally:
            stopping.cancel()
            if grace is not None:
                for serving in self._elsewhere.values():
                    serving.cancel()
            ended = await asyncio.gather(*self._elsewhere.values(), return_exceptions=True)
            if self._is_open() or (self._elsewhere and self._app.is_open):
                await self._app.close(grace=grace)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _work_here(self, stopping: asyncio.Task[Any]) -> None:
        if self._app.serves or not self._elsewhere:
            site = await self._opened(stopping)
            if site is not None:
                await self._work(site, stopping)
        else:
            await self._wait(stopping)

    # --- in processes of the engines ------------------------------------------------------------
    async def _can_begin(self, stopping: asyncio.Task[Any]) -> bool:
        """Whether store and engines were reached before it was to stop. Raises why not."""
        if self._app.is_open:
            raise ConfigurationError(OPEN_ALREADY)
        self._app.serves = False
        opened = await self._until_stopped(self._app.opened(), stopping)
        await self._app.close()
        return opened is not None

    def _begin_elsewhere(self, backends: dict[str, TaskManager]) -> None:
        settings = self._app.settings
        grace = settings.shutdown_grace + max(settings.shutdown_grace, UNWIND)
        for name, backend in backends.items():
            serving = backend.serve(slots=settings.slots, stop=self._stop, grace=grace)
            self._elsewhere[name] = asyncio.create_task(serving)
        if backends:
            self._app.serves = frozenset(settings.backends) - backends.keys()
            self._app.elsewhere = frozenset(backends)
            log.info("%s works, in processes of its own", ", ".join(backends))

    # --- in this one ----------------------------------------------------------------------------
    async def _opened(self, stopping: asyncio.Task[Any]) -> Site | None:
        """`None` where it is to stop before it is open, as where the store does not answer."""
        site: Site | None = await self._until_stopped(
            self._app._opened_site(),  # noqa: SLF001 - a part of the app
            stopping,
        )
        if site is None:
            return None
        if site.working is None:
            raise ConfigurationError(OPEN_ALREADY)
        self._site = site
        return site

    async def _until_stopped(
        self, opening: Coroutine[Any, Any, Any], stopping: asyncio.Task[Any]
    ) -> Any:
        """What it returns, or `None` where it is to stop before that."""
        doing = asyncio.create_task(opening)
        try:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not doing.done():
                doing.cancel()
                await asyncio.gather(doing, return_exceptions=True)
        return None if doing.cancelled() else doing.result()

    async def _work(self, site: Site, stopping: asyncio.Task[Any]) -> None:
        working = site.working
        assert working is not None, "that was seen to when it was opened"
        log.info("worker %s works", site.worker.id)
        await self._wait(stopping, working)
        if stopping.done():
            log.info("worker %s stops; a second signal stops its tasks at once", site.worker.id)
        elif (
            working.done()
            and self._is_open()
            and not working.cancelled()
            and working.exception() is None
        ):
            raise BackendError(f"backend {self._app.settings.backend!r} stopped serving by itself")

    async def _wait(self, *others: asyncio.Task[Any]) -> None:
        """Until one of these is over, or what serves in other processes is."""
        serving = self._elsewhere.items()
        await asyncio.wait(
            {*others, *self._elsewhere.values()}, return_when=asyncio.FIRST_COMPLETED
        )
        for name, each in serving:
            if each.done() and not self._stop.is_set() and each.exception() is None:
                raise BackendError(f"backend {name!r} stopped serving by itself")

    def _is_open(self) -> bool:
        return self._site is not None and self._app._site is self._site  # noqa: SLF001


@contextmanager
def _signals(handler: Callable[[], None]) -> Iterator[None]:
    """Have SIGTERM and SIGINT call the handler, on the loop, and put back what was there."""
    if threading.current_thread() is not threading.main_thread():
        raise ConfigurationError("signals come to the main thread only: give serve() a stop event")
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            previous = signal.getsignal(number)
            try:
                loop.add_signal_handler(number, handler)
            except NotImplementedError:  # on Windows, where Ctrl-C cancels the task that serves
                continue
            before[number] = previous
        yield
    finally:
        for number, previous in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, previous)
