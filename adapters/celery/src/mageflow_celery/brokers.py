"""What MageFlow knows of the brokers that a Celery app may use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any

from celery import Celery

from mageflow_celery.confirms import Confirms
from mageflow_core.backends import Capabilities, Job

PLAIN = Capabilities(
    late_registration=True, gives_back=True, reports_waiting=True, own_processes=True
)
SHORT = 600  # seconds: a visibility timeout below that is likely to be shorter than some task
POOLS_REFUSED = ("gevent", "eventlet")


class Broker:
    """own: whether the app was made by `make_app`, whose native tasks are nobody's."""

    title = "the broker"

    def __init__(self, app: Celery, *, own: bool) -> None:
        self.app = app
        self.own = own

    @property
    def caps(self) -> Capabilities:
        return PLAIN

    def priority(self, job: Job) -> int | None:  # noqa: ARG002 - see those that have some
        return None

    def transport_options(self, timeout: float) -> dict[str, Any]:  # noqa: ARG002 - likewise
        """Of a connection on which no answer is to be waited for longer than that."""
        return {}

    def quicken(self, channel: Any) -> None:
        """Spare a channel of kombu's what it need not do each time."""

    def together(
        self,
        producer: Any,
        count: int,
        timeout: float,  # noqa: ARG002 - see those that wait for something
    ) -> AbstractContextManager[Any]:
        """What is published within has been taken by the broker when it is left without an error.
        count: of messages. timeout: seconds that the broker may be silent."""
        return producer.batch() if count > 1 else nullcontext()

    def warnings(self) -> Iterator[str]:
        """What would lose or double work, or hold it up, with the setting to change."""
        yield (
            "broker_url names a broker that MageFlow knows nothing of: what it loses is sent again "
            "in a minute or later"
        )


class Redis(Broker):
    """Emulates priorities by lists, of which 0 is the first; a native message that says none is
    in that."""

    title = "Redis"

    @property
    def caps(self) -> Capabilities:
        return replace(PLAIN, priority=self.own)

    def priority(self, job: Job) -> int | None:
        if self.own:
            return {"high": 0, "low": 9}.get(job.priority or "", 3)
        return 9 if job.priority == "low" else None

    def transport_options(self, timeout: float) -> dict[str, Any]:
        return {"socket_timeout": timeout, "socket_connect_timeout": timeout}

    def quicken(self, channel: Any) -> None:
        """For each thing that it asks it makes a client, which takes longer than to ask; all of
        them use the connections of its pool, and so can one."""
        kept: list[Any] = []

        @contextmanager
        def conn_or_acquire(client: Any = None) -> Iterator[Any]:
            if client is None:
                if not kept or kept[0].connection_pool is not channel.pool:
                    kept[:] = [channel._create_client()]  # noqa: SLF001 - as its own method does
                client = kept[0]
            yield client

        channel.conn_or_acquire = conn_or_acquire

    def warnings(self) -> Iterator[str]:
        if self.own:
            return
        options = self.app.conf.broker_transport_options or {}
        patience = options.get("visibility_timeout", 3600)
        if patience < SHORT:
            yield (
                f"visibility_timeout={patience} has Redis hand a task to another worker that takes "
                "longer than that, so that native tasks run twice and jobs of flows come twice: "
                "raise it in broker_transport_options above the longest task"
            )


class RabbitMQ(Broker):
    """Knows priorities where a queue was made with them."""

    title = "RabbitMQ"

    @property
    def _prioritises(self) -> bool:
        conf = self.app.conf
        asked: Any = conf.task_queue_max_priority
        return bool(asked) and conf.task_default_queue_type != "quorum"

    @property
    def caps(self) -> Capabilities:
        return replace(PLAIN, redelivers=True, keeps_jobs=True, priority=self._prioritises)

    def priority(self, job: Job) -> int | None:
        if not self._prioritises:
            return None
        return {"high": 9, "low": 1}.get(job.priority or "", 5)

    @contextmanager
    def together(self, producer: Any, count: int, timeout: float) -> Iterator[None]:  # noqa: ARG002 - it is all the same
        confirms = Confirms.of(producer.channel)
        yield
        confirms.wait(timeout)

    def transport_options(self, timeout: float) -> dict[str, Any]:
        return {
            "confirm_publish": True,
            "read_timeout": timeout,
            "write_timeout": timeout,
        }

    def warnings(self) -> Iterator[str]:
        if self.app.conf.task_default_delivery_mode not in (2, "persistent"):
            yield (
                "task_default_delivery_mode keeps messages in memory only, so that they are lost "
                "with the server: set it to 'persistent'"
            )


def broker_of(app: Celery, *, own: bool) -> Broker:
    url = str(app.conf.broker_write_url or app.conf.broker_url or "amqp://")
    scheme = url.partition("://")[0].partition("+")[0].lower()
    if scheme in ("redis", "rediss", "sentinel", "valkey"):
        return Redis(app, own=own)
    if scheme in ("amqp", "amqps", "pyamqp"):
        return RabbitMQ(app, own=own)
    return Broker(app, own=own)


def general_warnings(app: Celery, *, own: bool) -> Iterator[str]:
    """Of settings that are the same on all brokers."""
    conf = app.conf
    if own:
        return
    if conf.worker_prefetch_multiplier != 1:
        yield (
            f"worker_prefetch_multiplier={conf.worker_prefetch_multiplier} has a busy worker hold "
            "jobs that others could run: set it to 1"
        )
    if conf.task_time_limit or conf.task_soft_time_limit:
        yield (
            "task_time_limit and task_soft_time_limit end jobs of flows, too, which then run "
            "again: give tasks of flows MageFlow's timeout, and these limits to native tasks alone"
        )
