"""How the conformance suite gets at Taskiq, on each engine that the settings can name.

Loaded by `mageflow-conformance` alone, which is not needed to run flows.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from taskiq import AsyncBroker

from mageflow_conformance.backends import ServerHarness
from mageflow_conformance.backends.harness import SECRET
from mageflow_conformance.servers import NatsServer, RabbitServer, RedisServer
from mageflow_core.backends import portable
from mageflow_taskiq.settings import Kind

REDELIVERY = 3.0  # seconds
Record = Callable[[int, int], object]


class TaskiqNatives:
    """A task of taskiq's on a broker that is as taskiq's own documentation makes it."""

    def __init__(self, broker: AsyncBroker, record: Record) -> None:
        @broker.task(task_name="suite:native_add")
        async def native_add(a: int, b: int = 1) -> int:
            record(a, b)
            return a + b

        self.client = broker
        self.task = native_add
        self.name = portable(native_add.task_name)
        self._started = False

    async def call(self, a: int, b: int) -> None:
        if not self._started:
            await self.client.startup()
            self._started = True
        await self.task.kiq(a, b)

    async def close(self) -> None:
        if self._started:
            self._started = False
            await self.client.shutdown()


class TaskiqHarness(ServerHarness):
    """warned_of: what the adapter says of how the engine is used here, which is what is to be
    tried."""

    backend = "taskiq"
    kind: ClassVar[Kind]
    packages: ClassVar[tuple[str, ...]] = ("taskiq",)
    modules: ClassVar[tuple[str, ...]] = ("taskiq", "taskiq.receiver")
    context = "taskiq.context:Context"
    serves: ClassVar[str | None] = "serves"
    warned_of: ClassVar[str | None] = None

    def __init__(self, url: str = "") -> None:
        super().__init__(url)
        if self.warned_of is not None:  # as an error, in processes of the suite
            warnings.filterwarnings("ignore", self.warned_of, RuntimeWarning)

    # --- apps -----------------------------------------------------------------------------------
    def settings(self, namespace: str) -> dict[str, Any]:
        queue = f"{namespace}.jobs"
        said: dict[str, Any] = {"broker": self.kind, "url": self.url, "queue": queue}
        if self.redelivery is not None:
            said["redeliver_after"] = self.redelivery
        return {self.backend: said}

    def unreachable(self, port: int) -> dict[str, Any]:
        scheme = self.url.partition("://")[0]
        url = f"{scheme}://suite:{SECRET}@127.0.0.1:{port}"
        return {self.backend: {"broker": self.kind, "url": url}}

    def natives(self, namespace: str, record: Any) -> TaskiqNatives:
        return TaskiqNatives(self._broker(f"{namespace}.native"), record)

    def _broker(self, queue: str) -> AsyncBroker:
        raise NotImplementedError

    def command(self, module: str) -> list[str]:
        options = ["--workers", "1", "--shutdown-timeout", "5"]
        return [sys.executable, "-m", "taskiq", "worker", *options, f"{module}:client"]


class _Redis(TaskiqHarness):
    server_class = RedisServer
    server_options: ClassVar[Mapping[str, Any]] = {"persistence": "aof"}
    packages = ("taskiq", "taskiq-redis", "redis")
    modules = (*TaskiqHarness.modules, "taskiq_redis")


class RedisStreamHarness(_Redis):
    name = "taskiq-redis-stream"
    kind = "redis-stream"
    redelivery = REDELIVERY
    warned_of = "idle_timeout=.* is in milliseconds"

    def _broker(self, queue: str) -> AsyncBroker:
        from taskiq_redis import RedisStreamBroker  # noqa: PLC0415

        # Of one that takes more than it can run at once the adapter warns, and rightly so. With
        # a timeout `asyncio.wait_for` is around each command, which loses cancellations in Python
        # 3.11: a worker of taskiq's own that has nothing to do would never end.
        return RedisStreamBroker(self.url, queue_name=queue, xread_count=1, socket_timeout=None)


class RedisListHarness(_Redis):
    name = "taskiq-redis-list"
    kind = "redis-list"

    warned_of = "the list .* of Redis forgets"

    def _broker(self, queue: str) -> AsyncBroker:
        from taskiq_redis import ListQueueBroker  # noqa: PLC0415

        return ListQueueBroker(self.url, queue_name=queue)


class RabbitHarness(TaskiqHarness):
    name = "taskiq-rabbitmq"
    kind = "rabbitmq"
    server_class = RabbitServer
    packages = ("taskiq", "taskiq-aio-pika", "aio-pika")
    modules = (*TaskiqHarness.modules, "taskiq_aio_pika")

    def _broker(self, queue: str) -> AsyncBroker:
        from taskiq_aio_pika import AioPikaBroker, Exchange, Queue  # noqa: PLC0415

        return AioPikaBroker(
            self.url,
            qos=100,
            exchange=Exchange(name=queue),
            task_queues=[Queue(name=queue)],
            dead_letter_queue=Queue(name=f"{queue}.dead"),
        )


class NatsHarness(TaskiqHarness):
    name = "taskiq-nats"
    kind = "nats"
    redelivery = REDELIVERY
    server_class = NatsServer
    serves = None
    packages = ("taskiq", "taskiq-nats", "nats-py")
    modules = (*TaskiqHarness.modules, "taskiq_nats")

    def _broker(self, queue: str) -> AsyncBroker:
        from taskiq_nats import PullBasedJetStreamBroker  # noqa: PLC0415

        name = queue.replace(".", "_")
        return PullBasedJetStreamBroker(self.url, subject=queue, stream_name=name, durable=name)
