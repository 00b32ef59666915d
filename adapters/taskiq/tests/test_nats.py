"""NATS JetStream: what is kept, for how long, and existing brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import pytest
from taskiq import BrokerMessage
from taskiq_nats import PullBasedJetStreamBroker

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.servers import NatsServer, RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_taskiq.engines.nats import JetStreamBroker


@pytest.fixture
async def bench(nats: NatsServer, redis: RedisServer, namespace: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack, namespace, redis.url, "taskiq", {"url": nats.url})


@pytest.fixture
async def broker(bench: Bench) -> AsyncIterator[JetStreamBroker]:
    made = JetStreamBroker(bench.said["url"], queue=bench.queue, redeliver_after=3600)
    await made.startup()
    yield made
    await made.shutdown()


def message(text: str) -> BrokerMessage:
    return BrokerMessage(task_id=text, task_name=text, message=text.encode(), labels={})


async def first(broker: Any) -> Any:
    async with aclosing(broker.listen()) as messages:
        return await anext(messages)


async def kept(broker: Any) -> int:
    info = await broker.js.stream_info(broker.stream_name)
    return int(info.state.messages)


async def test_what_is_acknowledged_is_gone_and_nothing_else(broker: JetStreamBroker) -> None:
    for text in "ab":
        await broker.kick(message(text))
    taken = await first(broker)
    assert await kept(broker) == 2
    await taken.ack()

    async def one() -> bool:
        return await kept(broker) == 1

    await eventually(one)


async def test_a_read_that_is_broken_off_loses_nothing(broker: JetStreamBroker) -> None:
    # Given a listener that waits at the server, and is stopped as something comes
    messages: Any = broker.listen()
    waiting = asyncio.create_task(anext(messages))

    async def asked() -> bool:
        return int((await broker.consumer.consumer_info()).num_waiting or 0) > 0

    await eventually(asked)
    kicking = asyncio.create_task(broker.kick(message("late")))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await messages.aclose()
    await kicking
    # Then the next one gets it at once, and not in an hour
    found = await asyncio.wait_for(first(broker), 10)
    assert found.data == b"late"


async def test_an_existing_broker_runs_flows(bench: Bench) -> None:
    name = bench.namespace.replace(".", "_")
    broker = PullBasedJetStreamBroker(
        bench.said["url"],
        subject=bench.queue,
        stream_name=name,
        durable=name,
        pull_consume_timeout=1,
    )

    @broker.task(task_name="double")
    async def double(n: int) -> int:
        return 2 * n

    app = bench.app(broker)
    worker = await bench.worker(app)
    task = app.adopt(double)
    assert task is not None
    assert await (await app.start(task, {"n": 2})).result(timeout=20) == 4
    await worker.stop()
