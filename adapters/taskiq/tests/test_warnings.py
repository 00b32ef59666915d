"""What of an existing broker would lose, double or hold up work is told when a worker starts."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from taskiq import AckableMessage, AsyncBroker, BrokerMessage
from taskiq_aio_pika import AioPikaBroker, Queue
from taskiq_nats import NatsBroker, PullBasedJetStreamBroker
from taskiq_redis import ListQueueBroker, PubSubBroker, RedisStreamBroker

from mageflow_conformance.backends.bench import Bench
from mageflow_taskiq import StreamBroker
from mageflow_taskiq.engines import engine_of


class Unheard(AsyncBroker):
    """Somebody's own."""

    async def kick(self, message: BrokerMessage) -> None: ...

    async def listen(self) -> AsyncGenerator[bytes | AckableMessage, None]:
        yield b""


URL = "redis://127.0.0.1:9/0"
QUORUM = Queue(name="q")
BROKERS: list[tuple[Any, list[str]]] = [
    (lambda: StreamBroker(URL), []),
    (lambda: RedisStreamBroker(URL, xread_count=1), []),
    (lambda: RedisStreamBroker(URL), ["xread_count=100"]),
    (lambda: RedisStreamBroker(URL, xread_count=None), ["xread_count=None"]),
    (lambda: StreamBroker(URL, maxlen=1000), ["maxlen=1000"]),
    (lambda: StreamBroker(URL, idle_timeout=5000), ["idle_timeout=5000"]),
    (lambda: ListQueueBroker(URL), ["the list 'taskiq' of Redis forgets"]),
    (lambda: PubSubBroker(URL), ["PubSubBroker gives each task to all workers"]),
    (lambda: AioPikaBroker(qos=10, task_queues=[QUORUM]), []),
    (lambda: AioPikaBroker(qos=50, task_queues=[QUORUM]), ["qos=50 has a busy worker hold tasks"]),
    (lambda: AioPikaBroker(qos=5, task_queues=[QUORUM]), ["qos=5"]),
    (
        lambda: AioPikaBroker(task_queues=[Queue(name="q", durable=False)]),
        ["the queue 'q' is gone with its server"],
    ),
    (lambda: PullBasedJetStreamBroker("nats://127.0.0.1:9"), []),
    (lambda: NatsBroker("nats://127.0.0.1:9"), ["NatsBroker gives a task to those"]),
    (Unheard, ["Unheard is a broker that MageFlow knows nothing of"]),
]


@pytest.mark.parametrize(("make", "told"), BROKERS)
def test_each_is_named_with_the_setting_to_change(make: Any, told: list[str]) -> None:
    broker: AsyncBroker = make()
    said = list(engine_of(broker).warnings(slots=10))
    assert len(said) == len(told), said
    for text, start in zip(said, told, strict=True):
        assert start in text


async def test_it_is_told_to_who_starts_a_worker_and_to_nobody_else(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a list, whose client hears nothing of it
    bench.said = {**bench.said, "broker": "redis-list"}
    await bench.client()
    assert caplog.records == []
    # When a worker starts, then both its log and Python's warnings have it
    with (
        pytest.warns(RuntimeWarning, match="sends its own again, after half a minute"),
        caplog.at_level(logging.WARNING, "mageflow.taskiq"),
    ):
        await bench.worker(bench.app())
    assert "what one that is killed had goes" in caplog.text
