"""One attempt of a task's body, and how it is stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from enum import StrEnum
from typing import Any

from mageflow_core.failpoints import hit
from mageflow_core.names import is_below, key_of
from mageflow_core.runtime.threads import Call, Returned, Threads


class Stop(StrEnum):
    """Why a body is told to stop."""

    INTERRUPT = "interrupt"
    CANCEL = "cancel"
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"


class Body:
    """Registered before its node is claimed, so that no signal can slip in between.

    claim: the id of its claim, once that is granted. over: how it ended is known. doubted: whether
    its claim is to be asked for, as signals may have been missed. leave: gives its place among
    threads to another.
    """

    __slots__ = (
        "_call",
        "_task",
        "claim",
        "doubted",
        "leave",
        "on_timeout",
        "over",
        "path",
        "raises",
        "run_id",
        "stopped",
    )

    def __init__(self, run_id: str, path: str) -> None:
        self.run_id = run_id
        self.path = path
        self.claim: str | None = None
        self.doubted = False
        self.over = False
        self.stopped: Stop | None = None
        self.raises = False
        self.leave: Callable[[], None] | None = None
        self.on_timeout: Callable[[], None] | None = None
        self._task: asyncio.Task[Any] | None = None
        self._call: Call | None = None

    @property
    def key(self) -> str:
        return key_of(self.run_id, self.path)

    def can_stop(self) -> bool:
        """Whether it runs, and was not told to stop before."""
        return not self.over and self.stopped is None

    def concerns(self, run_id: str, top: str, *, callbacks: bool) -> bool:
        return run_id == self.run_id and is_below(self.path, top, callbacks=callbacks)

    def stop(self, why: Stop) -> None:
        """Tell the body to stop, once; it may take its time, and may return all the same."""
        if self.stopped is not None:
            return
        self.stopped = why
        self._reach()

    def _reach(self) -> None:
        if self._task is not None:
            self._task.cancel()
        elif self._call is not None:
            if self.raises:
                self._call.interrupt()
            if self.stopped is Stop.TIMEOUT and self.on_timeout is not None:
                self.on_timeout()

    @property
    def thread_runs(self) -> bool:
        return self._call is not None and not self._call.future.done()

    async def run_async(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """The coroutine's result; as a task of its own, so that stopping it stops nothing else."""
        self._task = asyncio.get_running_loop().create_task(_contained(coroutine))
        if self.stopped is not None:
            self._task.cancel()
        try:
            return await self._task
        finally:
            coroutine.close()  # where it was stopped before it had begun

    def start_thread(
        self, threads: Threads, function: Callable[[], Any], *, raises: bool
    ) -> asyncio.Future[Returned]:
        """Call the function in a thread; the future is its own, and nobody else's to cancel."""
        self.raises = raises

        def begin() -> Any:
            hit("runner.begun")
            return function()

        self._call = threads.call(begin)
        if self.stopped is not None:
            self._reach()
        return self._call.future

    async def thread_returned(self) -> None:
        if self._call is not None and not self._call.future.done():
            await asyncio.wait([self._call.future])

    def leave_room(self) -> None:
        """Once, when no thread runs the body any more, or now."""
        leave, self.leave = self.leave, None
        if leave is None:
            return
        if self._call is None or self._call.future.done():
            leave()
        else:
            self._call.future.add_done_callback(lambda _: leave())


async def _contained(coroutine: Coroutine[Any, Any, Any]) -> Any:
    try:
        hit("runner.begun")
        return await coroutine
    except (Exception, asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException as error:
        raise exit_of(error) from error


def exit_of(error: BaseException) -> BodyExit:
    """A body that wants to exit the process fails instead: asyncio would take it at its word."""
    return BodyExit(f"{type(error).__name__}: {error}; raise an Exception instead")


class BodyExit(Exception):
    """The body tried to end the process (sys.exit() or the like); raise an error instead."""
