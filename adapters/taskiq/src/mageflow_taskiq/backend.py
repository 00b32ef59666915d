"""Taskiq as a backend."""

from __future__ import annotations

import asyncio
import logging
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, Self

from taskiq import AsyncBroker, InMemoryBroker, TaskiqMessage
from taskiq.abc.middleware import TaskiqMiddleware
from taskiq.brokers.shared_broker import AsyncSharedBroker
from taskiq.utils import maybe_awaitable

from mageflow_core.backends import (
    Capabilities,
    Health,
    Host,
    Job,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
)
from mageflow_core.errors import BackendUnavailable, ConfigurationError
from mageflow_core.settings import Settings, safe_url
from mageflow_taskiq.attached import Attached
from mageflow_taskiq.deliveries import message_of
from mageflow_taskiq.engines import engine_of, make_broker
from mageflow_taskiq.natives import Natives
from mageflow_taskiq.receiver import MageReceiver
from mageflow_taskiq.settings import TaskiqSettings

log = logging.getLogger("mageflow.taskiq")

START = 10.0  # seconds that an engine gets to answer when the app is opened
SEND = 10.0  # for one lot of jobs
ASK = 3.0  # for how it is
LEAVE = 2.0  # for what is given back when it is closed
PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds before listening again


class TaskiqBackend(TaskManager):
    """Runs jobs on a broker of taskiq's: one that somebody has, or one that the settings name.

    A job is a message of its own, `mageflow:` and the task's name, without arguments. What it is
    of, the labels say. Messages that somebody else has sent are run as if this were not there.
    """

    name = "taskiq"

    def __init__(self, broker: AsyncBroker, settings: Settings) -> None:
        self._engine = engine_of(broker)
        self._attached = Attached(broker, self._engine)
        self._broker = broker
        self._natives = Natives(broker)
        self._namespace = settings.namespace
        self._slots = settings.slots
        self._open = False
        self._receiver: MageReceiver | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(make_broker(settings.of(cls.name, TaskiqSettings), settings), settings)

    @classmethod
    def wrap(cls, native: Any, settings: Settings) -> Self | None:
        """Raises `ConfigurationError` for brokers that reach no other process."""
        if not isinstance(native, AsyncBroker):
            return None
        if isinstance(native, InMemoryBroker):
            raise ConfigurationError(
                "InMemoryBroker runs tasks in the process that sends them and forgets them, so "
                "that no worker would ever see one: give a broker that has a server, or leave it "
                "out, as in tests, where MageFlow's own backend asyncio does the same"
            )
        if isinstance(native, AsyncSharedBroker):
            raise ConfigurationError(
                "AsyncSharedBroker sends and receives nothing: give the broker that it works with; "
                "shared tasks are found there"
            )
        return cls(native, settings)

    @property
    def caps(self) -> Capabilities:  # type: ignore[override]
        return self._engine.caps

    @property
    def native(self) -> AsyncBroker:
        return self._broker

    def host(self, host: Host) -> None:
        self._attached.host = host

    # --- tasks ----------------------------------------------------------------------------------
    def natives(self) -> Iterable[TaskSpec]:
        return self._natives

    def adopt(self, native: Any) -> TaskSpec | None:
        return self._natives.find(native)

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        self._attached.deliveries.runner = runner
        self._attached.enter(spec.name)

    # --- work -----------------------------------------------------------------------------------
    async def open(self, role: Role) -> None:
        if role == "worker":
            self._warn()
            self._broker.is_worker_process = True
        try:
            async with asyncio.timeout(START):
                await self._attached.acquire()
                await self._engine.greet()
        except Exception as error:
            await self._release()
            raise self._unavailable(error) from error
        self._open = True

    def _warn(self) -> None:
        for text in self._engine.warnings(self._slots):
            log.warning("%s", text)
            warnings.warn(text, RuntimeWarning, stacklevel=2)

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
        try:
            async with asyncio.timeout(LEAVE):
                await self._attached.release()
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            log.warning("%s was not closed in order: %s", self._place, error)
        if not self._attached.hosting:
            self._broker.is_worker_process = False

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        if not self._open:
            return [BackendUnavailable("taskiq is closed: open the app first")] * len(jobs)
        found: Sequence[BaseException | None]
        try:
            async with asyncio.timeout(SEND):
                found = await self._sent([self._message(job) for job in jobs])
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            found = [error] * len(jobs)
        return [None if error is None else self._unavailable(error) for error in found]

    def _message(self, job: Job) -> TaskiqMessage:
        return message_of(job, self._namespace, self._engine.labels(job))

    async def _sent(self, messages: list[TaskiqMessage]) -> Sequence[BaseException | None]:
        """As taskiq's own kicker does it, and all of them together."""
        before = [each for each in self._broker.middlewares if _has(each, "pre_send")]
        after = [each for each in reversed(self._broker.middlewares) if _has(each, "post_send")]
        for middleware in before:
            messages = [await maybe_awaitable(middleware.pre_send(each)) for each in messages]
        dumps = self._broker.formatter.dumps
        found = await self._engine.send([dumps(message) for message in messages])
        for middleware in after:
            for message, error in zip(messages, found, strict=True):
                if error is None:
                    await maybe_awaitable(middleware.post_send(message))
        return found

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        if self._attached.hosting:  # taskiq's own receiver has what there is run
            await self._attached.deliveries.serve(stop, grace)
            return
        self._engine.limit(slots)
        receiver = MageReceiver(self._broker, self._attached.deliveries, slots=slots)
        try:
            await self._listen(receiver, stop)
            await receiver.finish(grace)
        finally:
            await receiver.cancel()

    async def _listen(self, receiver: MageReceiver, stop: asyncio.Event) -> None:
        """Until it is to stop, whatever becomes of the engine meanwhile."""
        fails = 0
        while not stop.is_set():
            begun = time.monotonic()
            try:
                if fails:
                    await self._engine.mend()
                await receiver.listen_until(stop)
            except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
                fails = 0 if time.monotonic() - begun > PAUSES[-1] else fails
                log.warning("%s; listening again soon", self._unavailable(error))
            if not stop.is_set():
                pause = PAUSES[min(fails, len(PAUSES) - 1)]
                fails += 1
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)

    async def health(self) -> Health:
        try:
            async with asyncio.timeout(ASK):
                waiting = await self._engine.waiting()
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            return Health(reachable=False, detail=str(self._unavailable(error, ASK)))
        return Health(reachable=True, detail=self._place, waiting=waiting)

    @property
    def _place(self) -> str:
        return f"{self._engine.title} at {safe_url(self._engine.place)}"

    def _unavailable(self, error: BaseException, within: float = START) -> BackendUnavailable:
        return BackendUnavailable.at(self._place, error, within)


def _has(middleware: TaskiqMiddleware, hook: str) -> bool:
    return getattr(type(middleware), hook) is not getattr(TaskiqMiddleware, hook)
