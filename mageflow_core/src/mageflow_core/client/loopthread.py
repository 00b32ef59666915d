"""One event loop on a thread of its own, for people without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from mageflow_core.errors import InsideEventLoop

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for sync callers. Started at first use."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None
        self._lock = threading.Lock()

    def run(
        self, coroutine: Coroutine[Any, Any, T], on: asyncio.AbstractEventLoop | None = None
    ) -> T:
        """The coroutine's result; run on a loop of somebody else's if there is one. Raises
        `InsideEventLoop` where the caller has a loop."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            coroutine.close()
            raise InsideEventLoop
        future = asyncio.run_coroutine_threadsafe(coroutine, on or self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C, for one: nobody waits for it any more
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(
                    target=lambda: asyncio.run(self._serve(started)),
                    name="mageflow-loop",
                    daemon=True,
                )
                self._thread.start()
                self._loop = started.result()
            return self._loop

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        self._stop = asyncio.Event()
        started.set_result(asyncio.get_running_loop())
        await self._stop.wait()

    def close(self) -> None:
        """End the thread; what still runs on it is cancelled."""
        with self._lock:
            loop, self._loop = self._loop, None
            if loop is not None and self._stop is not None and self._thread is not None:
                loop.call_soon_threadsafe(self._stop.set)
                self._thread.join()
