"""The engine, as this process talks to it on one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import grpc.aio
from hatchet_sdk import ClientConfig
from hatchet_sdk.connection import new_conn
from hatchet_sdk.contracts.dispatcher_pb2 import GetVersionRequest
from hatchet_sdk.contracts.dispatcher_pb2_grpc import DispatcherStub
from hatchet_sdk.contracts.v1.shared.trigger_pb2 import TriggerWorkflowRequest
from hatchet_sdk.contracts.v1.workflows_pb2 import CreateWorkflowVersionRequest
from hatchet_sdk.contracts.v1.workflows_pb2_grpc import AdminServiceStub
from hatchet_sdk.contracts.workflows_pb2 import BulkTriggerWorkflowRequest, ScheduleWorkflowRequest
from hatchet_sdk.contracts.workflows_pb2_grpc import WorkflowServiceStub
from hatchet_sdk.utils.api_auth import create_authorization_header

AT_ONCE = 1000  # runs, of which the engine takes no more in one request
AT_A_TIME = 8  # questions
SURE = 300.0  # seconds that a workflow is taken to be there: somebody may delete it

Workflows = Callable[[str], CreateWorkflowVersionRequest]


class Engine:
    """Made, used and closed on one event loop. Hatchet's own clients have a thread for each call,
    and link what is sent in a running task to that; nothing here does."""

    def __init__(self, config: ClientConfig) -> None:
        self._channel = new_conn(config, aio=True)
        self._workflows: Any = WorkflowServiceStub(self._channel)
        self._admin: Any = AdminServiceStub(self._channel)
        self.dispatcher: Any = DispatcherStub(self._channel)
        self._places = asyncio.Semaphore(AT_A_TIME)
        self._known: dict[str, float] = {}  # workflow → when the engine had it
        self.auth = create_authorization_header(config.token)

    async def close(self) -> None:
        await self._channel.close()

    async def version(self, within: float) -> str:
        """Raises what gRPC does, and `TimeoutError`."""
        async with asyncio.timeout(within):
            said = await self.dispatcher.GetVersion(GetVersionRequest(), metadata=self.auth)
        return str(said.version)

    async def trigger(
        self, requests: Sequence[TriggerWorkflowRequest], workflow: Workflows
    ) -> list[BaseException | None]:
        """Have these runs made; for each what was wrong, or `None`. workflow: the definition of a
        workflow that the engine does not know yet, by its name."""
        found: list[BaseException | None] = []
        for start in range(0, len(requests), AT_ONCE):
            chunk = requests[start : start + AT_ONCE]
            try:
                await self._trigger(chunk, workflow)
            except Exception as error:  # noqa: BLE001 - handed on
                found += [error] * len(chunk)
            else:
                found += [None] * len(chunk)
        return found

    async def _trigger(
        self, requests: Sequence[TriggerWorkflowRequest], workflow: Workflows
    ) -> None:
        names = {each.name for each in requests}
        await self._ensure(names, workflow)
        bulk = BulkTriggerWorkflowRequest(workflows=requests)
        try:
            await self._workflows.BulkTriggerWorkflow(bulk, metadata=self.auth)
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            for name in names:  # somebody may have deleted one
                self._known.pop(name, None)
            await self._ensure(names, workflow)
            await self._workflows.BulkTriggerWorkflow(bulk, metadata=self.auth)

    async def _ensure(self, names: Iterable[str], workflow: Workflows) -> None:
        """Register those that the engine does not have. It may drop runs of others and say nothing;
        and what a worker has registered is not to be replaced by what is known here."""
        since = time.monotonic() - SURE
        unsure = [name for name in names if self._known.get(name, since) <= since]
        if not unsure:
            return
        async with asyncio.TaskGroup() as group:
            asking = [(name, group.create_task(self._has(name))) for name in unsure]
        await self.put([workflow(name) for name, has in asking if not has.result()])
        self._known.update(dict.fromkeys(unsure, time.monotonic()))

    async def _has(self, name: str) -> bool:
        """By scheduling no run of it at all, which is the only question that there is."""
        async with self._places:
            try:
                request = ScheduleWorkflowRequest(name=name, input="{}")
                await self._workflows.ScheduleWorkflow(request, metadata=self.auth)
            except grpc.aio.AioRpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    return False
                raise
            return True

    async def put(self, workflows: Sequence[CreateWorkflowVersionRequest]) -> None:
        """Register workflows; one that is as it was stays the same version."""

        async def put(workflow: CreateWorkflowVersionRequest) -> None:
            async with self._places:
                await self._admin.PutWorkflow(workflow, metadata=self.auth)

        async with asyncio.TaskGroup() as group:
            for workflow in workflows:
                group.create_task(put(workflow))
        now = time.monotonic()
        self._known.update((workflow.name, now) for workflow in workflows)
