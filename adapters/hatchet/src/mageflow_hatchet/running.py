"""Hatchet's own runner, on the event loop of the app."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from hatchet_sdk import ClientConfig
from hatchet_sdk.clients.dispatcher.dispatcher import DispatcherClient
from hatchet_sdk.clients.events import EventClient
from hatchet_sdk.contracts.dispatcher_pb2 import STEP_EVENT_TYPE_CANCELLED, STEP_EVENT_TYPE_STARTED
from hatchet_sdk.runnables.action import Action
from hatchet_sdk.runnables.task import Task
from hatchet_sdk.worker.action_listener_process import ActionEvent, QueuedBatchActionEvent
from hatchet_sdk.worker.runner.runner import Runner
from hatchet_sdk.worker.runner.utils.capture_logs import AsyncLogSender

from mageflow_core.backends import is_job

log = logging.getLogger("mageflow.hatchet")

AnyTask = Task[Any, Any]
TELL = 1.0  # seconds that a job takes before the engine is told that it has begun
LAST = 2.0  # seconds for what is still to be told at the end


class Events:
    """What becomes of runs, on its way to the engine; stands where Hatchet's runner has a queue to
    another process.

    That a job has begun is told of those alone that take a while: it is a fifth of what a job costs
    the engine, which knows anyway when it was given to a worker.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._client = DispatcherClient(config)
        self._sending: set[asyncio.Task[Any]] = set()
        self._begun: dict[str, asyncio.TimerHandle] = {}  # by the key of the action

    def put(self, event: Any) -> None:
        loop, action = asyncio.get_running_loop(), event.action
        before = self._begun.pop(action.key, None)
        if before is not None:
            before.cancel()
        if event.type == STEP_EVENT_TYPE_STARTED and is_job(action.additional_metadata):
            self._begun[action.key] = loop.call_later(TELL, self._tell_begun, event)
        else:
            self._put(event)

    def _tell_begun(self, event: ActionEvent) -> None:
        self._begun.pop(event.action.key, None)
        self._put(event)

    def _put(self, event: Any) -> None:
        sending = asyncio.get_running_loop().create_task(self._send(event))
        self._sending.add(sending)
        sending.add_done_callback(self._sending.discard)

    async def _send(self, event: Any) -> None:
        """It tries again for minutes, and does not raise."""
        if isinstance(event, QueuedBatchActionEvent):
            await self._client.aio_send_batch_action_event(event.action, event.type, event.items)
        elif isinstance(event, ActionEvent):
            await self._client.send_step_action_event(
                event.action,
                event.type,
                event.payload,
                event.should_not_retry,
                event.retry_after_ms,
            )

    async def close(self, within: float) -> None:
        for timer in self._begun.values():
            timer.cancel()
        if self._sending:
            await asyncio.wait(self._sending, timeout=within)
        for sending in self._sending:
            sending.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        if self._client.aio_channel is not None:
            await self._client.aio_channel.close()


class JobRunner(Runner):
    """Runs what a worker is assigned, jobs and native tasks. registry: action → task."""

    def __init__(
        self, config: ClientConfig, registry: Mapping[str, AnyTask], *, slots: int, version: str
    ) -> None:
        self.events = Events(config)
        super().__init__(
            self.events,  # type: ignore[arg-type]  # it is put to, and nothing else
            config,
            slots=slots,
            durable_slots=slots,
            handle_kill=False,
            action_registry=dict(registry),
            labels=[],
            lifespan_context=None,
            log_sender=AsyncLogSender(EventClient(config)),
            engine_version=version,
        )

    def step_run_callback(self, action: Action, t: AnyTask) -> Callable[[asyncio.Task[Any]], None]:
        tell = super().step_run_callback(action, t)
        if not is_job(action.additional_metadata):
            return tell

        def told(task: asyncio.Task[Any]) -> None:
            known = action.key in self.cancellations or (
                action.key in self.contexts and self.contexts[action.key].is_cancelled
            )
            if task.cancelled() and not known:
                # It was put back, and is another run in Hatchet: this one is nobody's any more.
                self.events.put(ActionEvent(action, STEP_EVENT_TYPE_CANCELLED, None, False))  # noqa: FBT003
            tell(task)

        return told

    async def finish(self, grace: float) -> None:
        """Let what still runs end, for so many seconds, and what was on its way here when the
        engine was told to assign nothing more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await asyncio.sleep(0)  # what was just begun has its place
                while running := [task for task in self.tasks.values() if not task.done()]:
                    await asyncio.wait(running)

    async def end(self) -> None:
        """Stop all that still runs, and tell what there is to tell."""
        await asyncio.sleep(0)
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self.running_tasks, return_exceptions=True)
        self.thread_pool.shutdown(wait=False)
        with contextlib.suppress(TimeoutError):
            await self.events.close(LAST)


def actions_of(workflows: Sequence[Any]) -> dict[str, AnyTask]:
    """What a worker of these workflows is assigned."""
    return {
        workflow._create_action_name(task): task  # noqa: SLF001 - as Hatchet's worker does it
        for workflow in workflows
        for task in workflow.tasks
    }


def slots_of(tasks: Iterable[AnyTask], slots: int) -> dict[str, int]:
    """How much this worker takes at once, of each kind that any of its tasks wants."""
    kinds = {kind for task in tasks for kind in task._slot_requests}  # noqa: SLF001
    return dict.fromkeys({"default", *kinds}, slots)
