"""Threads of our own for sync bodies, so that a body can be stopped by an exception in its
thread and the exception can reach nothing else."""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from typing import Any

from mageflow_core.errors import Interrupted

Returned = tuple[Any, BaseException | None]  # what a function gave, or raised


class Call:
    """One call of a function in a thread. What it raises is in the future's result: a future
    cannot hold a `StopIteration`, and asyncio would exit for a `SystemExit`."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Returned] = self.loop.create_future()
        self._function = function
        self._context: Context = copy_context()
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._over = False

    def interrupt(self) -> None:
        """Raise `Interrupted` in the body, if it runs. The body's end takes the lock first, so
        an exception that comes too late is not raised at all."""
        with self._lock:
            if self._thread is not None and not self._over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(self._thread), ctypes.py_object(Interrupted)
                )

    def run(self) -> Returned:
        self._thread = threading.get_ident()
        try:
            try:
                value, error = self._context.run(self._function), None
            finally:
                self._end()
        except BaseException as raised:  # noqa: BLE001 - whatever it is belongs to the caller
            value, error = None, raised
        return value, error

    def _end(self) -> None:
        # An exception that was set just before may still be raised in here; it is this body's.
        while True:
            try:
                with self._lock:
                    self._over = True
            except Interrupted:
                continue
            return

    def tell(self, returned: Returned) -> None:
        def settle() -> None:
            if not self.future.done():
                self.future.set_result(returned)

        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody asks any more
            self.loop.call_soon_threadsafe(settle)


class Threads:
    """Up to `limit` daemon threads, made as they are needed and kept.

    room: to be held around a call, from before its node is claimed: a body that waited for a
    thread with its claim would use up its timeout, and could not be stopped.
    """

    def __init__(self, limit: int) -> None:
        self.room = asyncio.Semaphore(limit)
        self._limit = limit
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._free = 0
        self._lock = threading.Lock()

    def call(self, function: Callable[[], Any]) -> Call:
        call = Call(function)
        with self._lock:
            if self._free == 0 and len(self._threads) < self._limit:
                name = f"mageflow-{len(self._threads)}"
                thread = threading.Thread(target=self._work, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
            else:
                self._free -= 1
        self._calls.put(call)
        return call

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            returned = call.run()
            with self._lock:
                self._free += 1
            call.tell(returned)
            del call, returned  # nothing is kept alive while it waits for the next one

    def close(self, timeout: float) -> list[str]:
        """Let the threads end; gives the names of those that still run a body after `timeout`
        seconds in all."""
        for _ in self._threads:
            self._calls.put(None)
        until = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))
        return [thread.name for thread in self._threads if thread.is_alive()]
