"""What becomes of jobs that an engine gives to a process, on adapters whose engines call them."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from mageflow_core.backends.protocol import Delivery, Disposal, Handled, Runner
from mageflow_core.errors import CorruptJob
from mageflow_core.machine import Job

log = logging.getLogger("mageflow.backends")

RETURNS = "mf-returned"
FIRST_PAUSE = 0.1  # seconds until a job is given back; twice as long each time
LONGEST_PAUSE = 5.0
MOST_RETURNS = 720  # an hour's; then it is left to the core, which knows whether it is still due


class Delivered(NamedTuple):
    """What a body runs of. native: the engine's own context of the job. loop: that of the app,
    for bodies that run in a thread."""

    job: Job
    native: Any
    loop: asyncio.AbstractEventLoop


_delivered: ContextVar[Delivered | None] = ContextVar("mageflow_delivered", default=None)


def delivered() -> Delivered | None:
    """The delivery that the calling body runs of, where `Deliveries` had it run."""
    return _delivered.get()


class Deliveries:
    """Of one process, on its event loop: has jobs run, acknowledges what is over, and gives back
    what is for another worker.

    runner: of the app that is open here; without one all are given back. running: those that run.

    send_again: sends a job once more, with the metadata that it is given. acknowledge: tells the
    engine, by its own context of a job, that it is over; left out where it takes a job for that
    when `run` returns. What either raises is logged.
    """

    def __init__(
        self,
        send_again: Callable[[Delivery, Mapping[str, str]], Awaitable[None]],
        acknowledge: Callable[[Any], Awaitable[None]] | None = None,
    ) -> None:
        self.runner: Runner | None = None
        self.running: set[asyncio.Task[object]] = set()
        self._send_again = send_again
        self._acknowledges = acknowledge
        self._returning: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()

    async def run(
        self,
        message: str,
        meta: Mapping[str, str],
        native: Any,
        ended: Callable[[Handled], object] | None = None,
    ) -> Handled:
        """Have a job run. message: its id, for the log. meta: what it carries beside others'.
        ended: see `Delivery`.

        Where this call is cancelled nothing is acknowledged: the engine may give the job to
        others, and the core sends it again. What is thrown away, as it is no job, is *skipped*.
        """
        try:
            delivery = Delivery.of(meta, native)
        except CorruptJob as error:
            log.error("message %s was thrown away: %s", message, error)  # noqa: TRY400
            await self._acknowledge(message, native)
            return Handled(Disposal.SKIPPED)
        current = asyncio.current_task()
        assert current is not None, "a coroutine of asyncio"
        self.running.add(current)
        token = _delivered.set(Delivered(delivery.job, native, asyncio.get_running_loop()))
        try:
            if self.runner is None:
                handled = Handled(Disposal.RELEASE)
            else:
                handled = await self.runner.run(delivery._replace(ended=ended))
        finally:
            _delivered.reset(token)
            self.running.discard(current)
        if handled.disposal is Disposal.RELEASE:
            returning = asyncio.create_task(self._give_back(message, delivery, meta))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)
        else:
            await self._acknowledge(message, native)
        return handled

    async def _give_back(self, message: str, delivery: Delivery, meta: Mapping[str, str]) -> None:
        """To the end of the queue, after a pause: as likely as not it comes here again.

        Where the engine takes it for over meanwhile, a copy that is lost with this process is sent
        again by the core.
        """
        returns = int(meta.get(RETURNS) or 0) + 1
        with suppress(TimeoutError):
            # By chance: an engine that takes turns would give it to the same one every time.
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(returns, 10)) * random.random()  # noqa: S311
            await asyncio.wait_for(self._hurry.wait(), pause)
        if returns <= MOST_RETURNS:
            try:
                await self._send_again(delivery, {**meta, RETURNS: str(returns)})
            except Exception as error:  # noqa: BLE001 - of whatever library the engine has
                log.warning("message %s could not be given back: %s", message, error)
                return
        await self._acknowledge(message, delivery.native)

    async def _acknowledge(self, message: str, native: Any) -> None:
        if self._acknowledges is not None:
            try:
                await self._acknowledges(native)
            except Exception as error:  # noqa: BLE001 - likewise
                log.warning(
                    "message %s could not be acknowledged, and comes again: %s", message, error
                )

    async def serve(self, stop: asyncio.Event, grace: float | None) -> None:
        """What a worker does for jobs that come to it by themselves: wait, and end. grace: `None`
        for as long as they take."""
        try:
            await stop.wait()
            if self.running:
                await asyncio.wait(self.running, timeout=grace)
        finally:
            for job in self.running:
                job.cancel()
            await asyncio.gather(*self.running, return_exceptions=True)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Meanwhile, what comes is given back."""
        runner, self.runner = self.runner, None
        try:
            yield
        finally:
            self.runner = runner

    async def settle(self, within: float) -> None:
        """Give back at once what is to be given back."""
        self._hurry.set()
        try:
            if self._returning:
                await asyncio.wait(self._returning, timeout=within)
        finally:
            for returning in self._returning:
                returning.cancel()
            await asyncio.gather(*self._returning, return_exceptions=True)
            self._hurry.clear()
