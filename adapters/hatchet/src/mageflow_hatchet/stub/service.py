"""The emulated engine's gRPC, as far as Hatchet's client uses it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any

import grpc
import grpc.aio
from hatchet_sdk.contracts.dispatcher_pb2 import (
    WORKFLOW_RUN_EVENT_TYPE_FINISHED,
    ActionEventResponse,
    ActionType,
    AssignedAction,
    GetVersionResponse,
    HeartbeatResponse,
    RefreshTimeoutResponse,
    StepActionEventType,
    StepRunResult,
    UpsertWorkerLabelsResponse,
    WorkerRegisterResponse,
    WorkerUnsubscribeResponse,
    WorkflowRunEvent,
)
from hatchet_sdk.contracts.dispatcher_pb2_grpc import (  # type: ignore[attr-defined]
    DispatcherServicer,  # which the types of that module leave out
    add_DispatcherServicer_to_server,
)
from hatchet_sdk.contracts.v1.workflows_pb2 import (
    CancelTasksResponse,
    CreateWorkflowVersionResponse,
    GetRunDetailsResponse,
    RunStatus,
    TaskRunDetail,
)
from hatchet_sdk.contracts.v1.workflows_pb2_grpc import (
    AdminServiceServicer,
    add_AdminServiceServicer_to_server,
)
from hatchet_sdk.contracts.workflows_pb2 import (
    BulkTriggerWorkflowResponse,
    TriggerWorkflowResponse,
    WorkflowVersion,
)
from hatchet_sdk.contracts.workflows_pb2_grpc import (
    WorkflowServiceServicer,
    add_WorkflowServiceServicer_to_server,
)

from mageflow_hatchet.stub.engine import Engine, Refused
from mageflow_hatchet.stub.record import COMPLETED, ENDED, Run

VERSION = "v0.104.7"  # that it is like
TENANT = "707d0855-80ab-4e1f-a156-f1c4546cbf52"
LARGEST = 4 * 1024 * 1024  # bytes of a message

Context = Any  # gRPC's, which has no types
Method = Callable[[Any, Any, Context], Awaitable[Any]]


def answering(method: Method) -> Method:
    @wraps(method)
    async def answer(self: Any, request: Any, context: Context) -> Any:
        try:
            return await method(self, request, context)
        except Refused as refused:
            await context.abort(grpc.StatusCode[refused.code], str(refused))

    return answer


class Dispatcher(DispatcherServicer):  # type: ignore[misc]
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @answering
    async def GetVersion(self, _request: Any, _context: Context) -> GetVersionResponse:
        return GetVersionResponse(version=VERSION)

    @answering
    async def Register(self, request: Any, _context: Context) -> WorkerRegisterResponse:
        slots = dict(request.slot_config)
        worker = self._engine.register(request.worker_name, request.actions, slots)
        return WorkerRegisterResponse(
            tenant_id=TENANT, worker_id=worker.id, worker_name=worker.name
        )

    async def ListenV2(self, request: Any, context: Context) -> AsyncIterator[AssignedAction]:
        try:
            stream = self._engine.listen(request.worker_id)
        except Refused as refused:
            await context.abort(grpc.StatusCode[refused.code], str(refused))
        try:
            while (given := await stream.get()) is not None:
                run, canceled = given
                yield assigned(run, canceled=canceled)
        finally:
            self._engine.unheard(request.worker_id, stream)

    @answering
    async def Heartbeat(self, request: Any, _context: Context) -> HeartbeatResponse:
        self._engine.beat(request.worker_id)
        return HeartbeatResponse()

    @answering
    async def Unsubscribe(self, request: Any, _context: Context) -> WorkerUnsubscribeResponse:
        self._engine.leave(request.worker_id)
        return WorkerUnsubscribeResponse(tenant_id=TENANT, worker_id=request.worker_id)

    @answering
    async def UpsertWorkerLabels(self, request: Any, _context: Context) -> Any:
        self._engine.worker(request.worker_id)
        return UpsertWorkerLabelsResponse(tenant_id=TENANT, worker_id=request.worker_id)

    @answering
    async def SendStepActionEvent(self, request: Any, _context: Context) -> ActionEventResponse:
        kind = StepActionEventType.Name(request.event_type).removeprefix("STEP_EVENT_TYPE_")
        self._engine.told(
            request.task_run_external_id,
            request.retry_count,
            kind,
            request.event_payload,
            request.should_not_retry,
        )
        return ActionEventResponse(tenant_id=TENANT, worker_id=request.worker_id)

    @answering
    async def RefreshTimeout(self, request: Any, _context: Context) -> RefreshTimeoutResponse:
        self._engine.extend(request.task_run_external_id, request.increment_timeout_by)
        return RefreshTimeoutResponse()

    async def SubscribeToWorkflowRuns(
        self, requests: AsyncIterator[Any], _context: Context
    ) -> AsyncIterator[WorkflowRunEvent]:
        ends: asyncio.Queue[Run] = asyncio.Queue()
        waiting: set[asyncio.Task[None]] = set()

        async def wait(run_id: str) -> None:
            try:
                ends.put_nowait(await self._engine.ended(run_id))
            except Refused:
                return

        async def hear() -> None:
            async for request in requests:
                task = asyncio.create_task(wait(request.workflow_run_id))
                waiting.add(task)
                task.add_done_callback(waiting.discard)

        hearing = asyncio.create_task(hear())
        try:
            while True:
                yield finished(await ends.get())
        finally:
            for task in (hearing, *waiting):
                task.cancel()


class Workflows(WorkflowServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @answering
    async def TriggerWorkflow(self, request: Any, _context: Context) -> TriggerWorkflowResponse:
        (run_id,) = self._engine.trigger([request])
        return TriggerWorkflowResponse(workflow_run_id=run_id)

    @answering
    async def BulkTriggerWorkflow(self, request: Any, _context: Context) -> Any:
        run_ids = self._engine.trigger(request.workflows)
        return BulkTriggerWorkflowResponse(workflow_run_ids=run_ids)

    @answering
    async def ScheduleWorkflow(self, request: Any, _context: Context) -> WorkflowVersion:
        if request.name not in self._engine.workflows:
            raise Refused("NOT_FOUND", "workflow not found")
        for due in request.schedules:
            self._engine.trigger([request], due.ToDatetime().timestamp())
        return WorkflowVersion()


class Admin(AdminServiceServicer):
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @answering
    async def PutWorkflow(self, request: Any, _context: Context) -> CreateWorkflowVersionResponse:
        self._engine.put(request)
        return CreateWorkflowVersionResponse(id=request.name, workflow_id=request.name)

    @answering
    async def CancelTasks(self, request: Any, _context: Context) -> CancelTasksResponse:
        canceled = self._engine.cancel(request.external_ids)
        return CancelTasksResponse(cancelled_tasks=canceled)

    @answering
    async def GetRunDetails(self, request: Any, _context: Context) -> GetRunDetailsResponse:
        run = self._engine.find(request.external_id)
        if run is None:
            raise Refused("NOT_FOUND", f"no run {request.external_id}")
        status = RunStatus.Value(run.status)
        detail = TaskRunDetail(
            external_id=run.id,
            status=status,
            error=run.error or None,
            output=run.output.encode() or None,
            readable_id=run.step,
        )
        return GetRunDetailsResponse(
            input=run.input.encode(),
            status=status,
            task_runs={run.step: detail},
            done=run.status in ENDED,
            additional_metadata=run.metadata.encode(),
        )


def assigned(run: Run, *, canceled: bool) -> AssignedAction:
    payload = {"input": json.loads(run.input), "parents": {}, "triggered_by": "manual"}
    return AssignedAction(
        tenant_id=TENANT,
        workflow_run_id=run.id,
        job_id=run.workflow,
        job_name=run.workflow,
        job_run_id=run.id,
        task_id=run.step,
        task_run_external_id=run.id,
        action_id=run.action,
        action_type=ActionType.CANCEL_STEP_RUN if canceled else ActionType.START_STEP_RUN,
        action_payload=json.dumps(payload),
        task_name=run.step,
        retry_count=run.retry_count,
        additional_metadata=run.metadata,
        parent_workflow_run_id=run.parent or None,
        priority=run.priority,
        workflow_id=run.workflow,
    )


def finished(run: Run) -> WorkflowRunEvent:
    result = StepRunResult(
        task_run_external_id=run.id,
        task_name=run.step,
        job_run_id=run.id,
        error=run.error or ("canceled" if run.status not in ("FAILED", COMPLETED) else None),
        output=run.output or None,
    )
    return WorkflowRunEvent(
        workflow_run_id=run.id, event_type=WORKFLOW_RUN_EVENT_TYPE_FINISHED, results=[result]
    )


def serving(engine: Engine) -> grpc.aio.Server:
    options = [
        ("grpc.max_receive_message_length", LARGEST),
        ("grpc.max_send_message_length", LARGEST),
        ("grpc.so_reuseport", 0),
        ("grpc.http2.max_ping_strikes", 0),  # clients ping more often than servers like by default
        ("grpc.keepalive_permit_without_calls", 1),
    ]
    server = grpc.aio.server(options=options)
    services: list[tuple[Any, object]] = [
        (add_DispatcherServicer_to_server, Dispatcher(engine)),
        (add_WorkflowServiceServicer_to_server, Workflows(engine)),
        (add_AdminServiceServicer_to_server, Admin(engine)),
    ]
    for add, service in services:
        add(service, server)
    return server
