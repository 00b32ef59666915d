"""Celery as a backend."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Self

from celery import Celery

from mageflow_celery.attached import SEND, Attached
from mageflow_celery.brokers import broker_of
from mageflow_celery.lanes import Lane, Lanes
from mageflow_celery.making import make_app
from mageflow_celery.natives import Natives
from mageflow_celery.settings import CelerySettings
from mageflow_celery.working import Working
from mageflow_core.backends import (
    Capabilities,
    Health,
    Host,
    Job,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
    pack,
)
from mageflow_core.errors import BackendUnavailable, ConfigurationError
from mageflow_core.settings import Settings, safe_url

log = logging.getLogger("mageflow.celery")

START = 10.0  # seconds that a broker gets to answer when the app is opened
ASK = 3.0  # for how it is
LEAVE = 2.0  # for what is given back when it is closed


class CeleryBackend(TaskManager):
    """Runs jobs on a Celery app: one that somebody has, or one that the settings make.

    A job is a message of its own, of a task named `mageflow:` and the task's name, without
    arguments. What it is of, its headers say. Messages that somebody else has sent are run as if
    this were not there. Bodies run in processes of Celery's, each of which hosts the app.
    """

    name = "celery"

    def __init__(self, app: Celery, said: CelerySettings, settings: Settings, *, own: bool) -> None:
        self._broker = broker_of(app, own=own)
        # Where nobody has described queues, an app's own are those of the settings.
        self._serves = (said.serves or (app.conf.task_default_queue,)) if own else said.serves
        self._attached = Attached(app, self._broker, serves=self._serves)
        self._asking = Lanes(app, self._broker, ASK)
        self._natives = Natives(app)
        self._app = app
        self._said = said
        self._namespace = settings.namespace
        self._open = False

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        said = settings.of(cls.name, CelerySettings)
        return cls(make_app(said, settings), said, settings, own=True)

    @classmethod
    def wrap(cls, native: Any, settings: Settings) -> Self | None:
        """Raises `ConfigurationError` for apps that run tasks where they are called, or whose
        workers would not take jobs."""
        if not isinstance(native, Celery):
            return None
        if native.conf.task_always_eager:
            raise ConfigurationError(
                "task_always_eager runs tasks where they are called, so that no worker would ever "
                "see one: leave the setting out, or the Celery app, as in tests, where MageFlow's "
                "own backend asyncio does the same"
            )
        if native.conf.task_protocol == 1:
            raise ConfigurationError(
                "task_protocol=1 has messages without headers, in which jobs say what they are of: "
                "leave the setting out"
            )
        if not {"json", "application/json"} & set(native.conf.accept_content):
            raise ConfigurationError(
                "accept_content has its workers refuse JSON, which jobs are written in: add 'json'"
            )
        return cls(native, settings.of(cls.name, CelerySettings), settings, own=False)

    @property
    def caps(self) -> Capabilities:  # type: ignore[override]
        return self._broker.caps

    @property
    def native(self) -> Celery:
        return self._app

    def host(self, host: Host) -> None:
        self._attached.host = host

    # --- tasks ----------------------------------------------------------------------------------
    def natives(self) -> Iterable[TaskSpec]:
        return self._natives

    def adopt(self, native: Any) -> TaskSpec | None:
        return self._natives.find(native)

    def register(self, spec: TaskSpec, runner: Runner) -> None:  # noqa: ARG002 - all are found
        self._attached.deliveries.runner = runner

    # --- work -----------------------------------------------------------------------------------
    async def open(self, role: Role) -> None:  # noqa: ARG002 - a worker warns as it is started
        try:
            await self._attached.sending.call(Lane.connection, START)
        except Exception as error:
            await self._release()
            raise self._unavailable(error) from error
        self._open = True

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        deliveries = self._attached.deliveries
        deliveries.runner = None
        try:
            await deliveries.settle(LEAVE)
        finally:
            await self._release()

    async def _release(self) -> None:
        for lanes in (self._attached.sending, self._asking):
            with suppress(TimeoutError):
                await lanes.close(LEAVE)

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        if not self._open:
            return [BackendUnavailable("Celery is closed: open the app first")] * len(jobs)
        outgoing = [self._attached.outgoing(job, pack(job, self._namespace)) for job in jobs]
        found: Sequence[Exception | None]
        try:
            found = await self._attached.send(outgoing)
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            found = [error] * len(jobs)
        return [None if error is None else self._unavailable(error, SEND) for error in found]

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        home = self._attached.home
        if home is not None:  # Celery gives it what there is
            patient = self._attached.grace is not None
            await self._attached.deliveries.serve(stop, None if patient else grace)
            return
        concurrency = slots
        if self._said.pool == "prefork":
            concurrency = min(slots, self._said.processes or os.cpu_count() or 1)
        working = Working(
            self._attached,
            pool=self._said.pool,
            concurrency=concurrency,
            queues=self._serves,
        )
        await working.run(stop, grace)

    async def health(self) -> Health:
        try:
            waiting = await self._asking.call(lambda lane: lane.waiting(self._queues), ASK)
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            return Health(reachable=False, detail=str(self._unavailable(error, ASK)))
        return Health(reachable=True, detail=self._place, waiting=waiting)

    @property
    def _queues(self) -> tuple[str, ...]:
        if self._serves is not None:
            return self._serves
        return tuple(self._app.amqp.queues.consume_from)

    @property
    def _place(self) -> str:
        url = str(self._app.conf.broker_write_url or self._app.conf.broker_url or "amqp://")
        return f"{self._broker.title} at {safe_url(url)}"

    def _unavailable(self, error: BaseException, within: float = START) -> BackendUnavailable:
        return BackendUnavailable.at(self._place, error, within)
