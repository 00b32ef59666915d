"""A Celery app that MageFlow works with beside whoever owns it."""

from __future__ import annotations

import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from typing import Any

from celery import Celery, bootsteps, signals
from celery._state import get_current_app
from celery.exceptions import TaskPredicate

from mageflow_celery.brokers import POOLS_REFUSED, Broker, general_warnings
from mageflow_celery.discretion import be_discreet
from mageflow_celery.home import Home
from mageflow_celery.jobs import Jobs, Strategies, find_jobs_in
from mageflow_celery.lanes import Lane, Lanes
from mageflow_celery.leash import Leash
from mageflow_celery.publisher import Outgoing
from mageflow_celery.reconnecting import outlive_lost_connections
from mageflow_core.backends import JOB, Deliveries, Delivery, Disposal, Handled, Host, Job
from mageflow_core.errors import ConfigurationError

log = logging.getLogger("mageflow.celery")

MARK = "_mageflow"
SEND = 10.0  # seconds for one lot of jobs
CLOSE = 2.0
SHOWN = {Disposal.SKIPPED: "skipped", Disposal.RELEASE: "given back"}


class Attached:
    """Replaces nothing of the app's: its registry finds jobs, its workers have one step more, and
    each process that runs its tasks hosts the app of MageFlow, as soon as it is there.

    serves: the queues of a worker that was told none; `None` for the app's own.
    """

    def __init__(self, app: Celery, broker: Broker, *, serves: tuple[str, ...] | None) -> None:
        """Takes the place of an app that was around this one before. Raises `ConfigurationError`
        where that one is open."""
        before: Attached | None = getattr(app, MARK, None)
        if before is not None and before.deliveries.runner is not None:
            raise ConfigurationError(
                f"an app is open around this Celery app, {app.main!r}, already: one Celery app has "
                "one app, or each of two has a Celery app of its own with a queue of its own"
            )
        self.app = app
        self.broker = broker
        self.serves = serves
        self.host: Host | None = None
        self.sending = Lanes(app, broker, SEND)
        self.deliveries: Deliveries = Deliveries(self._send_again)
        # What runs at the end of a worker has as long as that takes, where Celery's own command
        # has started it; `None`: as the app's settings say.
        self.grace: float | None = math.inf
        self.hurry: Leash | None = None
        self._leave: Leash | None = None
        self._home: Home | None = None
        find_jobs_in(app, Jobs(app, self._perform))
        app.steps["consumer"].add(Listening)
        setattr(app, MARK, self)
        _listen()
        be_discreet()

    # --- in processes that run tasks ------------------------------------------------------------
    @property
    def home(self) -> Home | None:
        """Of this process."""
        home = self._home
        return home if home is not None and home.pid == os.getpid() else None

    def be_host(self, slots: int) -> Home | None:
        """From now on, in this process; returns at once."""
        if self.host is None or self.home is not None:
            return self.home
        for leash in (self._leave, self.hurry):
            if leash is not None:
                leash.hold()
        self.deliveries = Deliveries(self._send_again)  # another one may be a parent's
        self._home = Home(
            self.host,
            self.deliveries,
            slots=slots,
            grace=self.grace,
            leave=self._leave,
            hurry=self.hurry,
            close=lambda: self.sending.close(CLOSE),
        )
        return self._home

    def _perform(self, request: Any) -> str | None:
        """What the task of a job does, in whatever thread Celery runs it. Gives what this delivery
        came to, where that is not what its task did: of one that ends with Celery's `Ignore`
        monitors never see an end, and Celery copies the whole traceback of each."""
        home = self.home or self.be_host(slots=1)
        if home is None:
            return "nobody is there to run it"
        try:
            handled = home.run(request.headers or {}, request)
        except CancelledError:
            return "stopped"
        error = outcome_of(handled)
        if error is not None:
            raise error
        return SHOWN.get(handled.disposal)

    async def _send_again(self, delivery: Delivery, headers: Mapping[str, str]) -> None:
        (error,) = await self.send([self.outgoing(delivery.job, headers)])
        if error is not None:
            raise error

    def outgoing(self, job: Job, headers: Mapping[str, str]) -> Outgoing:
        return Outgoing(JOB + job.task, job.id, headers, job.queue, self.broker.priority(job))

    async def send(self, messages: list[Outgoing]) -> list[Exception | None]:
        def send(lane: Lane) -> list[Exception | None]:
            return lane.send(messages)

        return await self.sending.call(send, SEND)

    # --- in a worker's main process -------------------------------------------------------------
    def begin(self) -> None:
        """A worker is about to start."""
        if self._leave is not None:
            self._leave.close()
        self._leave = Leash()
        queues = self.app.amqp.queues
        if self.serves is not None and queues._consume_from is None:  # noqa: SLF001 - as with -Q
            queues.select(list(self.serves))

    def leave(self) -> None:
        """The worker stops. Tells all its processes; called in a signal handler."""
        if self._leave is not None:
            self._leave.let_go()

    def end(self, *, grace: float | None = None) -> None:
        """This process ends."""
        home = self.home
        if home is not None:
            home.end(grace=grace)
            self._home = None

    def warnings(self) -> Iterator[str]:
        yield from self.broker.warnings()
        yield from general_warnings(self.app, own=self.broker.own)


def outcome_of(handled: Handled) -> Exception | None:
    """What Celery is to take for the error of a job; never one that tells Celery to do something
    else than to fail."""
    if handled.disposal is not Disposal.FAILED:
        return None
    error = handled.error
    if isinstance(error, Exception) and not isinstance(error, (TaskPredicate, MemoryError)):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}" if error else "the task has failed")


class Listening(bootsteps.StartStopStep):  # type: ignore[misc]
    """A step of a worker's consumer: takes jobs of all tasks, and hosts the app where the pool runs
    tasks in this process."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **options: Any) -> None:
        attached = attached_to(consumer.app)
        pool = type(consumer.pool).__module__.rpartition(".")[2]
        if attached is not None:
            if pool in POOLS_REFUSED:
                raise ConfigurationError(
                    f"the pool {pool} replaces what threads and event loops are, and flows cannot "
                    "run in it: start the worker with --pool=threads, or with prefork"
                )
            consumer.strategies = Strategies(consumer)
            outlive_lost_connections(consumer)
            for text in attached.warnings():
                log.warning("%s", text)
                warnings.warn(text, RuntimeWarning, stacklevel=2)
        self._slots = consumer.pool.limit if pool in ("thread", "solo") else None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        attached = attached_to(consumer.app)
        if attached is None:
            return
        attached.broker.quicken(consumer.task_consumer.channel)
        if self._slots is not None:
            attached.be_host(self._slots)


def attached_to(app: Any) -> Attached | None:
    found: Attached | None = getattr(app, MARK, None)
    return found


# --- Celery's signals, which are of all apps of a process -----------------------------------------
def _listen() -> None:
    for signal, receiver in (
        (signals.worker_init, _worker_init),
        (signals.worker_process_init, _process_init),
        (signals.worker_process_shutdown, _process_shutdown),
        (signals.worker_shutting_down, _shutting_down),
        (signals.worker_shutdown, _worker_shutdown),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=f"mageflow {receiver.__name__}")


def _worker_init(sender: Any = None, **_: Any) -> None:
    attached = attached_to(getattr(sender, "app", None))
    if attached is not None:
        attached.begin()


def _process_init(**_: Any) -> None:
    attached = attached_to(get_current_app())
    if attached is not None:
        attached.be_host(slots=1)


def _process_shutdown(**_: Any) -> None:
    attached = attached_to(get_current_app())
    if attached is not None:
        attached.end()


def _shutting_down(**_: Any) -> None:
    attached = attached_to(get_current_app())
    if attached is not None:
        attached.leave()


def _worker_shutdown(sender: Any = None, **_: Any) -> None:
    attached = attached_to(getattr(sender, "app", None))
    if attached is not None:
        attached.leave()
        attached.end()
