"""Jobs on their way from a message to the runner, and what becomes of the message."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, NamedTuple

from celery.exceptions import TaskPredicate

from mageflow_core.backends import Delivery, Disposal, Handled, Job, Runner
from mageflow_core.errors import CorruptJob

log = logging.getLogger("mageflow.celery")

PREFIX = "mageflow:"  # no portable name has a colon
RETURNS = "mf-returned"
FIRST_PAUSE = 0.1  # seconds until a job is given back; twice as long each time
LONGEST_PAUSE = 5.0
MOST_RETURNS = 720  # an hour's; then it is left to the core, which knows whether it is still due


class Delivered(NamedTuple):
    """What a body runs of. context: Celery's `Task.request` of the job."""

    context: Any
    attempt: int


delivered: ContextVar[Delivered | None] = ContextVar("mageflow_celery_delivered", default=None)

# Sends a job once more, with these headers.
SendAgain = Callable[[Job, Mapping[str, str]], Awaitable[None]]


def outcome_of(handled: Handled) -> Exception | None:
    """What Celery is to take for the error of a job; never one that tells Celery to do something
    else than to fail."""
    if handled.disposal is not Disposal.FAILED:
        return None
    error = handled.error
    if isinstance(error, Exception) and not isinstance(error, (TaskPredicate, MemoryError)):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}" if error else "the task has failed")


class Deliveries:
    """Of one process, on its event loop. runner: of the app that is open there; without one jobs
    are given back."""

    def __init__(self, send_again: SendAgain) -> None:
        self.runner: Runner | None = None
        self.running: set[asyncio.Task[object]] = set()
        self._send_again = send_again
        self._returning: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()

    async def run(self, headers: Mapping[str, str], context: Any) -> Handled:
        """Have a job run. Celery acknowledges its message when this has returned; where the call
        is cancelled the core sends the job again."""
        try:
            delivery = Delivery.of(headers, context)
        except CorruptJob as error:
            log.error("message %s was thrown away: %s", getattr(context, "id", "?"), error)  # noqa: TRY400
            return Handled(Disposal.SKIPPED)
        current = asyncio.current_task()
        assert current is not None, "a coroutine of asyncio"
        self.running.add(current)
        token = delivered.set(Delivered(context, delivery.job.attempt))
        try:
            if self.runner is None:
                handled = Handled(Disposal.RELEASE)
            else:
                handled = await self.runner.run(delivery)
        finally:
            delivered.reset(token)
            self.running.discard(current)
        if handled.disposal is Disposal.RELEASE:
            returning = asyncio.create_task(self._give_back(delivery.job, headers))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)
        return handled

    async def _give_back(self, job: Job, headers: Mapping[str, str]) -> None:
        """To the end of the queue, after a pause: as likely as not it comes here again.

        It is acknowledged meanwhile, as Celery would run nothing else in its place until then: a
        copy that is lost with this process is sent again by the core.
        """
        returns = int(headers.get(RETURNS) or 0) + 1
        with suppress(TimeoutError):
            # By chance: an engine that takes turns would give it to the same one every time.
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(returns, 10)) * random.random()  # noqa: S311
            await asyncio.wait_for(self._hurry.wait(), pause)
        if returns > MOST_RETURNS:
            return
        try:
            await self._send_again(job, {**headers, RETURNS: str(returns)})
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            log.warning("job %s could not be given back: %s", job.key, error)

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
