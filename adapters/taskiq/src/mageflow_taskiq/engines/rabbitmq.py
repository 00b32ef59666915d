"""RabbitMQ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aio_pika import DeliveryMode, Message
from taskiq import BrokerMessage
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue, QueueType

from mageflow_core.backends import Capabilities, Job
from mageflow_taskiq.engines.engine import PLAIN, Engine

PRIORITIES = {"high": "9", "normal": "5", "low": "1"}
HIGHEST = 9
AWAY = 1.0  # seconds between attempts to connect again


class RabbitBroker(AioPikaBroker):
    """Queues that are made where they are needed, and are sent to by their names."""

    def __init__(
        self, url: str, *, queue: str, serves: Sequence[str] = (), queue_type: str, qos: int
    ) -> None:
        self.queue = queue
        self._type = QueueType(queue_type)
        self._sent_to: set[str] = set()
        super().__init__(
            url,
            qos=qos,
            exchange=Exchange(name=queue),
            task_queues=[self._described(name) for name in serves or (queue,)],
            dead_letter_queue=Queue(name=f"{queue}.dead", type=self._type),
            timeout=5,
            reconnect_interval=AWAY,
        )

    def _described(self, name: str) -> Queue:
        classic = self._type is QueueType.CLASSIC
        return Queue(name=name, type=self._type, max_priority=HIGHEST if classic else None)

    async def startup(self) -> None:
        await super().startup()
        self._sent_to = {queue.name for queue in self._task_queues}

    async def kick(self, message: BrokerMessage) -> None:
        channel = self.write_channel
        if channel is None:
            raise ConnectionError("the broker has not been started")
        queue = str(message.labels.get("queue_name") or self.queue)
        if queue not in self._sent_to:
            await self._make(queue)
        priority = message.labels.get("priority")
        await channel.default_exchange.publish(
            Message(
                body=message.message,
                headers={"task_id": message.task_id, "task_name": message.task_name},
                delivery_mode=DeliveryMode.PERSISTENT,
                priority=int(priority) if priority is not None else None,
            ),
            routing_key=queue,
        )

    async def _make(self, name: str) -> None:
        """What no worker may have served yet would be thrown away."""
        served = self._task_queues
        self._task_queues = [self._described(name)]
        try:
            await self._declare_queues(self.write_channel)  # type: ignore[arg-type]
        finally:
            self._task_queues = served
        self._sent_to.add(name)


class RabbitEngine(Engine):
    title = "RabbitMQ"

    @property
    def place(self) -> str:
        return self.broker.url or "amqp://localhost:5672"

    @property
    def _queues(self) -> list[Queue]:
        return list(self.broker._task_queues) or [Queue()]  # noqa: SLF001 - it has no other way

    @property
    def caps(self) -> Capabilities:
        return replace(
            PLAIN,
            redelivers=True,
            keeps_jobs=all(queue.durable for queue in self._queues),
            priority=any(queue.max_priority for queue in self._queues),
            reports_waiting=True,
        )

    def labels(self, job: Job) -> Mapping[str, str]:
        said: dict[str, str] = {}
        if job.queue:
            said[self.broker._label_for_routing] = job.queue  # noqa: SLF001
        if job.priority and self.caps.priority:
            said[self.broker._label_for_priority] = PRIORITIES[job.priority]  # noqa: SLF001
        return said

    def limit(self, slots: int) -> None:
        if isinstance(self.broker, RabbitBroker):
            self.broker._qos = slots  # noqa: SLF001 - which is ours

    def warnings(self, slots: int) -> Iterator[str]:
        qos = self.broker._qos  # noqa: SLF001
        if 0 < qos < slots:
            yield f"qos={qos} has a worker run no more tasks than that at once: raise it to {slots}"
        if not 0 < qos <= slots and not isinstance(self.broker, RabbitBroker):
            yield (
                f"qos={qos} has a busy worker hold tasks that others could run, as it runs no more "
                f"than {slots} at once: lower it to that"
            )
        for queue in self._queues:
            if not queue.durable or queue.auto_delete or queue.exclusive:
                yield (
                    f"the queue {queue.name!r} is gone with its server or its workers, and what "
                    "is in it: make it durable, not exclusive, and without auto_delete"
                )

    async def waiting(self) -> int | None:
        connection: Any = self.broker.write_conn
        if connection is None:
            raise ConnectionError("the broker has not been started")
        waiting = 0
        channel = await connection.channel()
        async with channel:
            for queue in self._queues:
                found = await channel.declare_queue(queue.name, passive=True)
                waiting += found.declaration_result.message_count or 0
        return waiting
