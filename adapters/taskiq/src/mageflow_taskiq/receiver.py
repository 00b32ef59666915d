"""Taskiq's receiver, for a worker that MageFlow starts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from taskiq import AckableMessage, AsyncBroker, Context, TaskiqMessage, TaskiqResult
from taskiq.acks import AckController
from taskiq.exceptions import NoResultError
from taskiq.receiver import Receiver
from taskiq.utils import maybe_awaitable

from mageflow_core.backends import JOB
from mageflow_taskiq.deliveries import TaskiqDeliveries, outcome_of

LAST = 5.0  # seconds that listening may take to end


class MageReceiver(Receiver):
    """Runs up to `slots` tasks, MageFlow's and native ones, and takes no more than that."""

    def __init__(self, broker: AsyncBroker, deliveries: TaskiqDeliveries, *, slots: int) -> None:
        super().__init__(
            broker,
            max_async_tasks=slots,
            max_prefetch=0,
            run_startup=False,
            wait_tasks_timeout=0,  # see `finish`
        )
        self._deliveries = deliveries
        self._slots = slots
        self._callbacks: set[asyncio.Task[Any]] = set()
        if hasattr(broker, "room"):
            broker.room = self.room

    def room(self) -> int:
        return self._slots - len(self._callbacks)

    async def callback(
        self,
        message: bytes | AckableMessage,
        raise_err: bool = False,  # noqa: FBT001, FBT002 - taskiq's signature
    ) -> None:
        current = asyncio.current_task()
        assert current is not None, "a coroutine of asyncio"
        self._callbacks.add(current)
        try:
            await super().callback(message, raise_err)
        finally:
            self._callbacks.discard(current)

    async def run_task(
        self,
        target: Callable[..., Any],
        message: TaskiqMessage,
        ack_controller: AckController | None = None,
    ) -> TaskiqResult[Any]:
        """As taskiq does, but for jobs: where they are cancelled no result is made of it."""
        if not message.task_name.startswith(JOB):
            return await super().run_task(target, message, ack_controller)
        context = Context(message, self.broker, ack_controller)
        begun = asyncio.get_running_loop().time()
        error = outcome_of(await self._deliveries.run_of(context))
        failed = error is not None and not isinstance(error, NoResultError)
        result: TaskiqResult[Any] = TaskiqResult(
            is_err=failed,
            return_value=None,
            execution_time=round(asyncio.get_running_loop().time() - begun, 2),
            error=error,
            labels=message.labels,
        )
        if error is not None and failed:
            for middleware in reversed(self.broker.middlewares):
                await maybe_awaitable(middleware.on_error(message, result, error))
        return result

    async def listen_until(self, stop: asyncio.Event) -> None:
        """As `listen`, but returns soon when it is to stop: a broker's library may lose the
        cancellation of a read, and then ends no earlier than its connection."""
        listening = asyncio.create_task(self.listen(stop))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({listening, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait([listening], timeout=LAST)
        finally:
            stopping.cancel()
            listening.cancel()  # of one that has ended, nothing
            listening.add_done_callback(lambda task: task.cancelled() or task.exception())
        if listening.done():
            listening.result()

    async def finish(self, grace: float) -> None:
        """Let what still runs end, for so many seconds."""
        await asyncio.sleep(0)  # what was just begun has its place in the list
        if self._callbacks:
            await asyncio.wait(self._callbacks, timeout=grace)

    async def cancel(self) -> None:
        """Stop all that still runs."""
        await asyncio.sleep(0)
        for callback in self._callbacks:
            callback.cancel()
        await asyncio.gather(*self._callbacks, return_exceptions=True)
