"""What a worker hears of the engine."""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Any

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp
from hatchet_sdk.contracts.dispatcher_pb2 import (
    SDKS,
    AssignedAction,
    HeartbeatRequest,
    RuntimeInfo,
    WorkerLabels,
    WorkerListenRequest,
    WorkerRegisterRequest,
    WorkerUnsubscribeRequest,
)
from hatchet_sdk.contracts.dispatcher_pb2 import (
    ActionType as ActionTypeProto,
)
from hatchet_sdk.runnables.action import (
    Action,
    ActionPayload,
    ActionType,
    BatchItemData,
    BatchStartPayload,
)

from mageflow_hatchet.engine import Engine

log = logging.getLogger("mageflow.hatchet")

# Patience is asyncio's everywhere: gRPC's own goes by the time of day, which may be set.
BEAT = 4.0  # seconds; after five the engine sends nothing more, after thirty it looks for others
PATIENCE = 5.0  # for the answer to one
PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds before listening again
REGISTER = 30.0  # for it to know a worker
LEAVE = 2.0  # for the engine to know that a worker leaves
MISSED = 2  # beats without an answer, until the connection is made anew
# The engine has forgotten the worker, or never knew it.
UNKNOWN = (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNKNOWN)


class Listening:
    """Registers as a worker and takes what that is assigned, until it is ended; whatever becomes of
    the engine meanwhile. take: called with each action."""

    def __init__(
        self,
        engine: Engine,
        *,
        name: str,
        actions: Sequence[str],
        slots: Mapping[str, int],
        labels: Mapping[str, str],
        take: Callable[[Action], None],
    ) -> None:
        self.worker_id: str | None = None
        self._engine = engine
        self._name = name
        self._actions = list(actions)
        self._slots = dict(slots)
        self._labels = dict(labels)
        self._take = take
        self._stream: Any = None

    async def run(self) -> None:
        """Until it is cancelled."""
        fails = 0
        while True:
            begun = time.monotonic()
            try:
                await self._listen()
            except grpc.aio.AioRpcError as error:
                if is_unknown(error):
                    self.worker_id = None
                why = f"{error.code().name}: {error.details()}"
            except TimeoutError:
                why = "it does not answer"
            else:
                why = "the stream has ended"
            fails = 0 if time.monotonic() - begun > PAUSES[-1] else fails
            log.warning("the engine cannot be heard (%s); listening again soon", why)
            await asyncio.sleep(PAUSES[min(fails, len(PAUSES) - 1)])
            fails += 1

    async def _listen(self) -> None:
        if self.worker_id is None:
            self.worker_id = await self._register()
        worker_id = self.worker_id
        request = WorkerListenRequest(worker_id=worker_id)
        stream = self._engine.dispatcher.ListenV2(request, metadata=self._engine.auth)
        beating = asyncio.create_task(self._beat(worker_id))
        hearing = asyncio.create_task(self._hear(stream, worker_id))
        try:
            await asyncio.wait({beating, hearing}, return_when=asyncio.FIRST_COMPLETED)
            for task in (beating, hearing):
                if task.done():
                    task.result()
        finally:
            for task in (beating, hearing):
                task.cancel()
            stream.cancel()
            await asyncio.gather(beating, hearing, return_exceptions=True)

    async def _register(self) -> str:
        labels = {name: WorkerLabels(str_value=value) for name, value in self._labels.items()}
        request = WorkerRegisterRequest(
            worker_name=self._name,
            actions=self._actions,
            services=["default"],
            labels=labels,
            slot_config=self._slots,
            runtime_info=RuntimeInfo(
                sdk_version=version("hatchet-sdk"),
                language=SDKS.PYTHON,
                language_version=platform.python_version(),
                os=platform.system().lower(),
            ),
        )
        async with asyncio.timeout(REGISTER):
            said = await self._engine.dispatcher.Register(request, metadata=self._engine.auth)
        return str(said.worker_id)

    async def _hear(self, stream: Any, worker_id: str) -> None:
        async for assigned in stream:
            try:
                action = action_of(assigned, worker_id)
            except ValueError:
                log.exception("action %s cannot be read", assigned.action_id)
                continue
            self._take(action)

    async def _beat(self, worker_id: str) -> None:
        missed = 0
        while True:
            now = Timestamp()
            now.GetCurrentTime()
            beat = HeartbeatRequest(worker_id=worker_id, heartbeat_at=now)
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._engine.dispatcher.Heartbeat(beat, metadata=self._engine.auth)
                missed = 0
            except (grpc.aio.AioRpcError, TimeoutError) as error:
                missed += 1  # the first may be there before the stream is
                if missed >= MISSED or is_unknown(error):
                    raise
            await asyncio.sleep(BEAT if not missed else BEAT / 4)

    async def leave(self) -> None:
        """Have the engine know that this worker is gone; does not raise."""
        if self.worker_id is None:
            return
        request = WorkerUnsubscribeRequest(worker_id=self.worker_id)
        with suppress(grpc.aio.AioRpcError, TimeoutError):
            async with asyncio.timeout(LEAVE):
                await self._engine.dispatcher.Unsubscribe(request, metadata=self._engine.auth)


def is_unknown(error: BaseException) -> bool:
    """Whether the engine does not know the worker."""
    return isinstance(error, grpc.aio.AioRpcError) and error.code() in UNKNOWN


def action_of(assigned: AssignedAction, worker_id: str) -> Action:
    """What Hatchet's own runner takes. Raises `ValueError`."""
    kind = ActionType(ActionTypeProto.Name(assigned.action_type))
    payload, items = ActionPayload(), None
    if assigned.action_payload:
        if kind is ActionType.START_BATCH:
            said = json.loads(assigned.action_payload)
            items = {name: BatchItemData.model_validate(each) for name, each in said.items()}
        else:
            payload = ActionPayload.model_validate_json(assigned.action_payload)
    batch = None
    if assigned.HasField("batchStartPayload"):
        start = assigned.batchStartPayload
        batch = BatchStartPayload(
            expected_size=start.expectedSize,
            trigger_reason=start.triggerReason,
            trigger_time=start.triggerTime.ToDatetime(),
        )
    return Action(
        tenant_id=assigned.tenant_id,
        worker_id=worker_id,
        workflow_run_id=assigned.workflow_run_id,
        job_id=assigned.job_id,
        job_name=assigned.job_name,
        job_run_id=assigned.job_run_id,
        step_id=assigned.task_id,
        step_run_id=assigned.task_run_external_id,
        action_id=assigned.action_id,
        step_name=assigned.task_name,
        action_payload=payload,
        action_type=kind,
        retry_count=assigned.retry_count,
        additional_metadata=_metadata(assigned),
        child_workflow_index=assigned.child_workflow_index,
        child_workflow_key=assigned.child_workflow_key,
        parent_workflow_run_id=assigned.parent_workflow_run_id,
        priority=assigned.priority,
        workflow_version_id=assigned.workflow_version_id,
        workflow_id=assigned.workflow_id,
        durable_task_invocation_count=assigned.durable_task_invocation_count or None,
        triggering_event_external_id=assigned.triggering_event_external_id,
        triggering_event_key=assigned.triggering_event_key,
        batch_items=items,
        batch_id=assigned.batchId if assigned.HasField("batchId") else None,
        batch_key=assigned.batchKey or None,
        batch_start=batch,
    )


def _metadata(assigned: AssignedAction) -> dict[str, Any]:
    try:
        said = json.loads(assigned.additional_metadata or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
