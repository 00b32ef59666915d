"""Jobs on their way from a message to the runner, and what becomes of the message."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar
from typing import NamedTuple

from taskiq import AsyncBroker, Context, TaskiqMessage
from taskiq.exceptions import NoResultError

from mageflow_core.backends import Delivery, Disposal, Handled, Job, Runner, pack
from mageflow_core.errors import CorruptJob

log = logging.getLogger("mageflow.taskiq")

PREFIX = "mageflow:"  # no portable name has a colon
RETURNS = "mf-returned"
FIRST_PAUSE = 0.1  # seconds until a job is given back; twice as long each time
LONGEST_PAUSE = 5.0
MOST_RETURNS = 720  # an hour's; then it is left to the core, which knows whether it is still due
# Acknowledged by hand, whatever a worker was told; and never tried again by taskiq's middlewares.
FIXED = {"ack_type": "manual", "retry_on_error": "False"}


class Delivered(NamedTuple):
    """What a body runs of."""

    context: Context
    loop: asyncio.AbstractEventLoop


delivered: ContextVar[Delivered | None] = ContextVar("mageflow_taskiq_delivered", default=None)


def message_of(job: Job, namespace: str, labels: Mapping[str, str]) -> TaskiqMessage:
    """A job as it travels: all of it is in the labels."""
    return TaskiqMessage(
        task_id=job.id,
        task_name=PREFIX + job.task,
        labels={**FIXED, **labels, **pack(job, namespace)},
        args=[],
        kwargs={},
    )


def outcome_of(handled: Handled) -> BaseException | None:
    """What taskiq is to take for the error of a job: `NoResultError` where this delivery says
    nothing of how it went."""
    if handled.disposal is Disposal.FAILED:
        return handled.error or RuntimeError("the task has failed")
    return None if handled.disposal is Disposal.DONE else NoResultError()


class Deliveries:
    """runner: of the app that is open here; without one jobs are given back."""

    def __init__(self, broker: AsyncBroker) -> None:
        self.runner: Runner | None = None
        self.running: set[asyncio.Task[object]] = set()
        self._broker = broker
        self._returning: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()

    async def run(self, context: Context) -> Handled:
        """Have a job run. Its message is acknowledged, or given back, or, where this call is
        cancelled, left as it is: the engine may give it to others, and the core sends it again."""
        try:
            delivery = Delivery.of(context.message.labels, context)
        except CorruptJob as error:
            log.error("message %s was thrown away: %s", context.message.task_id, error)  # noqa: TRY400
            await _acknowledge(context)
            return Handled(Disposal.SKIPPED)
        current = asyncio.current_task()
        assert current is not None, "a coroutine of asyncio"
        self.running.add(current)
        token = delivered.set(Delivered(context, asyncio.get_running_loop()))
        try:
            if self.runner is None:
                handled = Handled(Disposal.RELEASE)
            else:
                handled = await self.runner.run(delivery)
        finally:
            delivered.reset(token)
            self.running.discard(current)
        if handled.disposal is Disposal.RELEASE:
            returning = asyncio.create_task(self._give_back(context))
            self._returning.add(returning)
            returning.add_done_callback(self._returning.discard)
        else:
            await _acknowledge(context)
        return handled

    async def _give_back(self, context: Context) -> None:
        """To the end of the queue, after a pause: as likely as not it comes here again."""
        message = context.message
        returns = int(message.labels.get(RETURNS) or 0) + 1
        with suppress(TimeoutError):
            # By chance: an engine that takes turns would give it to the same one every time.
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(returns, 10)) * random.random()  # noqa: S311
            await asyncio.wait_for(self._hurry.wait(), pause)
        if returns <= MOST_RETURNS:
            labels = {**message.labels, RETURNS: str(returns)}
            again = message.model_copy(update={"labels": labels, "labels_types": None})
            try:
                await self._broker.kick(self._broker.formatter.dumps(again))
            except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
                log.warning("job %s could not be given back: %s", message.task_id, error)
                return
        await _acknowledge(context)

    async def serve(self, stop: asyncio.Event, grace: float) -> None:
        """What a worker does for jobs that come to it by themselves: wait, and end."""
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


async def _acknowledge(context: Context) -> None:
    if context.is_ackable:
        try:
            await context.ack()
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            log.warning(
                "message %s could not be acknowledged, and comes again: %s",
                context.message.task_id,
                error,
            )
