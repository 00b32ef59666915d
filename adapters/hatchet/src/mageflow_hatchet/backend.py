"""Hatchet as a backend."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import secrets
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import grpc.aio
from hatchet_sdk import Hatchet
from hatchet_sdk.contracts.v1.workflows_pb2 import CreateWorkflowVersionRequest
from hatchet_sdk.runnables.workflow import BaseWorkflow

from mageflow_core.backends import (
    Capabilities,
    Deliveries,
    Delivery,
    Health,
    Host,
    Job,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
)
from mageflow_core.errors import BackendUnavailable
from mageflow_core.settings import Settings
from mageflow_hatchet.attached import Attached
from mageflow_hatchet.discretion import be_discreet
from mageflow_hatchet.engine import Engine
from mageflow_hatchet.jobs import OURS, Jobs, metadata
from mageflow_hatchet.listening import Listening
from mageflow_hatchet.natives import Natives
from mageflow_hatchet.running import JobRunner, actions_of, slots_of
from mageflow_hatchet.settings import HatchetSettings

log = logging.getLogger("mageflow.hatchet")

START = 10.0  # seconds that the engine gets to answer when the app is opened
SEND = 10.0  # for one lot of jobs
ASK = 3.0  # for how it is
LEAVE = 2.0  # for what is given back when it is closed


class HatchetBackend(TaskManager):
    """Runs jobs on Hatchet, through a client that somebody has, or one that the settings make.

    A job is a run of a workflow of its own, named by the queue and the task, without input. What
    it is of, its metadata say. Runs that somebody else has triggered are run as if this were not
    there.
    """

    name = "hatchet"
    caps = Capabilities(gives_back=True, keeps_jobs=True)

    def __init__(
        self, hatchet: Hatchet, said: HatchetSettings, settings: Settings, *, own: bool
    ) -> None:
        self._hatchet = hatchet
        self._said = said
        self._namespace = settings.namespace
        self._own = own
        self._queue = said.queue or settings.namespace
        self._deliveries = Deliveries(self._send_again)
        self._jobs = Jobs(hatchet, self._deliveries, self._queue, self._send)
        self._engine: Engine | None = None
        self._version = ""
        self._attached = Attached(hatchet, self._jobs, self._deliveries)
        self._attached.tasks = self._served
        self._natives = Natives(hatchet, OURS)
        be_discreet(quiet=own)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        said = settings.of(cls.name, HatchetSettings)
        return cls(Hatchet(config=said.config()), said, settings, own=True)

    @classmethod
    def wrap(cls, native: Any, settings: Settings) -> Self | None:
        if not isinstance(native, Hatchet):
            return None
        return cls(native, settings.of(cls.name, HatchetSettings), settings, own=False)

    @property
    def native(self) -> Hatchet:
        return self._hatchet

    def host(self, host: Host) -> None:
        self._attached.host = host

    # --- tasks ----------------------------------------------------------------------------------
    def natives(self) -> Iterable[TaskSpec]:
        return self._natives

    def decorator(self, options: Mapping[str, Any]) -> Callable[..., Any] | None:
        known = inspect.signature(Hatchet.task).parameters
        said = {name: value for name, value in options.items() if value is not None}
        made: Callable[..., Any] | None = None
        if known.keys() >= said.keys():
            made = self._hatchet.task(**said)
        return made

    def adopt(self, native: Any) -> TaskSpec | None:
        return self._natives.find(native)

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        self._deliveries.runner = runner
        self._jobs.describe(spec, self._natives.native(spec.name))

    # --- work -----------------------------------------------------------------------------------
    async def open(self, role: Role) -> None:
        engine = Engine(self._hatchet.config)
        try:
            self._version = await engine.version(START)
            if role == "worker" and not self._attached.hosting:
                async with asyncio.timeout(START):
                    await engine.put(self._definitions())
        except Exception as error:
            await engine.close()
            raise self._unavailable(error) from error
        self._engine = engine

    async def close(self) -> None:
        engine = self._engine
        if engine is None:
            return
        self._deliveries.runner = None
        try:
            await self._deliveries.settle(LEAVE)
        finally:
            self._engine = None
            await engine.close()

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        if self._engine is None:
            return [BackendUnavailable("Hatchet is closed: open the app first")] * len(jobs)
        said = [(job, metadata(job, self._namespace)) for job in jobs]
        found: Sequence[BaseException | None]
        try:
            async with asyncio.timeout(SEND):
                found = await self._sent(self._engine, said)
        except Exception as error:  # noqa: BLE001 - of whatever library the client uses
            found = [error] * len(jobs)
        return [None if error is None else self._unavailable(error, SEND) for error in found]

    async def _sent(
        self, engine: Engine, jobs: Sequence[tuple[Job, Mapping[str, Any]]]
    ) -> Sequence[BaseException | None]:
        requests = [self._jobs.request(job, meta) for job, meta in jobs]
        sample = {request.name: job for request, (job, _) in zip(requests, jobs, strict=True)}

        def definition(workflow: str) -> CreateWorkflowVersionRequest:
            job = sample[workflow]
            return self._jobs.definition(self._jobs.place(job), job.queue)

        return await engine.trigger(requests, definition)

    async def _send_again(self, delivery: Delivery, meta: Mapping[str, Any]) -> None:
        await self._send(delivery.job, meta)

    async def _send(self, job: Job, meta: Mapping[str, Any]) -> None:
        if self._engine is None:
            raise BackendUnavailable("Hatchet is closed: open the app first")
        async with asyncio.timeout(SEND):
            (error,) = await self._sent(self._engine, [(job, meta)])
        if error is not None:
            raise error

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        engine = self._engine
        assert engine is not None, "it is open where it serves"
        if self._attached.hosting:  # Hatchet's own worker has what there is run
            await self._deliveries.serve(stop, grace)
            return
        registry = actions_of([*self._served(), *self._natives.served])
        runner = JobRunner(self._hatchet.config, registry, slots=slots, version=self._version)
        listening = Listening(
            engine,
            name=f"{self._namespace}-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}",
            actions=list(registry),
            slots=slots_of(registry.values(), slots),
            labels=self._hatchet.config.worker_preset_labels,
            take=runner.run,
        )
        hearing = asyncio.create_task(listening.run())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({hearing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                hearing.result()
            await self._pause(listening)
            await runner.finish(grace)
            with self._deliveries.refusing():  # the engine may have assigned some meanwhile
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
                await runner.finish(LEAVE)
        finally:
            stopping.cancel()
            await runner.end()
            hearing.cancel()
            await asyncio.gather(hearing, stopping, return_exceptions=True)
            await listening.leave()

    def _definitions(self) -> list[CreateWorkflowVersionRequest]:
        """What the engine has to have of this worker, before anybody can trigger it."""
        native = [each.to_proto() for each in self._natives.served]
        return [*self._jobs.definitions(), *native]

    def _served(self) -> list[BaseWorkflow[Any]]:
        """The workflows of jobs that this worker runs."""
        queues = self._said.serves or (self._queue,)
        return [each for queue in queues for each in self._jobs.of_queue(queue)]

    async def _pause(self, listening: Listening) -> None:
        """Have the engine assign nothing more; what runs here is this worker's still."""
        if listening.worker_id is None:
            return
        try:
            async with asyncio.timeout(LEAVE):
                await self._hatchet.workers.aio_pause(listening.worker_id)
        except Exception as error:  # noqa: BLE001 - of whatever library the client uses
            log.info("the REST API was not told that this worker ends: %s", type(error).__name__)
            await listening.leave()

    async def health(self) -> Health:
        engine = self._engine
        if engine is None:
            return Health(reachable=False, detail="Hatchet is closed: open the app first")
        try:
            version = await engine.version(ASK)
        except Exception as error:  # noqa: BLE001 - of whatever library the client uses
            return Health(reachable=False, detail=str(self._unavailable(error, ASK)))
        return Health(reachable=True, detail=f"{self._place}, {version}")

    @property
    def _place(self) -> str:
        return f"Hatchet at {self._hatchet.config.host_port}"

    def _unavailable(self, error: BaseException, within: float = START) -> BackendUnavailable:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, grpc.aio.AioRpcError):  # which says more than is for people
            error = ConnectionError(f"{error.code().name}: {error.details()}")
        return BackendUnavailable.at(self._place, error, within)
