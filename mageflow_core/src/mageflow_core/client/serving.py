"""A process whose purpose is to work."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mageflow_core.errors import BackendError, ConfigurationError, SettingsError
from mageflow_core.stores.loader import load_store
from mageflow_core.urls import safe_url

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow
    from mageflow_core.client.site import Site

log = logging.getLogger("mageflow.worker")


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
    """One worker, from its opening to its end."""

    def __init__(self, app: Mageflow, stop: asyncio.Event) -> None:
        self._app = app
        self._stop = stop
        self._site: Site | None = None

    def on_signal(self) -> None:
        if self._stop.is_set() and self._site is not None:
            log.warning("stopping at once")
            self._site.worker.stop(grace=0)
        self._stop.set()

    async def run(self) -> None:
        stopping = asyncio.create_task(self._stop.wait())
        grace: float | None = 0.0  # who breaks this off does not want to wait
        try:
            site = await self._opened(stopping)
            if site is not None:
                await self._work(site, stopping)
            grace = None
        finally:
            stopping.cancel()
            if self._is_open():
                await self._app.close(grace=grace)

    async def _opened(self, stopping: asyncio.Task[Any]) -> Site | None:
        """`None` where it is to stop before it is open, as where the store does not answer."""
        opening = asyncio.create_task(self._app._opened_site())  # noqa: SLF001 - a part of the app
        try:
            await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not opening.done():
                opening.cancel()
                await asyncio.gather(opening, return_exceptions=True)
        if opening.cancelled():
            return None
        site = opening.result()
        if site.working is None:
            raise ConfigurationError(
                "this app is open already, and does not work: call serve() before all else"
            )
        self._site = site
        return site

    async def _work(self, site: Site, stopping: asyncio.Task[Any]) -> None:
        working = site.working
        assert working is not None, "that was seen to when it was opened"
        log.info("worker %s works", site.worker.id)
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if stopping.done():
            log.info("worker %s stops; a second signal stops its tasks at once", site.worker.id)
        elif self._is_open() and not working.cancelled() and working.exception() is None:
            raise BackendError(f"backend {self._app.settings.backend!r} stopped serving by itself")

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
