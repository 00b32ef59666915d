"""Streams of Redis: what taskiq's own broker would lose, hoard or keep for ever."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from taskiq import AckableMessage, AsyncBroker, BrokerMessage
from taskiq_redis import RedisStreamBroker

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature, swarm
from mageflow_taskiq import StreamBroker


def message(text: str, **labels: str) -> BrokerMessage:
    return BrokerMessage(task_id=text, task_name=text, message=text.encode(), labels=labels)


def length(redis: RedisServer, queue: str) -> int:
    return int(redis.call("XLEN", queue))


def pending(redis: RedisServer, queue: str) -> int:
    return int(redis.call("XPENDING", queue, "mageflow")[0])


@pytest.fixture
def broker(bench: Bench) -> StreamBroker:
    return StreamBroker(bench.store, queue_name=bench.queue, consumer_group_name="mageflow")


async def take(broker: AsyncBroker, count: int) -> list[Any]:
    found: list[Any] = []
    async with aclosing(broker.listen()) as messages:
        async for each in messages:
            found.append(each)
            if len(found) == count:
                return found
    raise AssertionError("it has ended")


async def test_what_was_sent_before_any_group_was_there_is_found(
    bench: Bench, redis: RedisServer
) -> None:
    # Given a job that was sent before any worker, and a server that has forgotten the group
    client = await bench.client()
    run = await client.start(TaskSignature(task="work"))
    await eventually(lambda: redis.call("EXISTS", bench.queue) and length(redis, bench.queue) == 1)
    assert redis.call("XGROUP", "DESTROY", bench.queue, "mageflow") == 1
    # When a worker comes
    app = bench.app()

    @app.task
    async def work() -> int:
        return 1

    await bench.worker(app)
    # Then it runs at once, and not when it is sent again
    assert await run.result(timeout=20) == 1


async def test_a_server_that_has_forgotten_all_is_worked_with_on(
    bench: Bench, redis: RedisServer
) -> None:
    # Given a worker that waits for jobs
    app = bench.app()

    @app.task
    async def work() -> int:
        return 1

    await bench.worker(app)
    assert await work.run() == 1
    # When the queue is gone, as after a restart of a server that writes nothing to its disk
    redis.call("DEL", bench.queue)
    # Then what comes next is run all the same
    assert await (await work.start()).result(timeout=20) == 1


async def test_what_is_acknowledged_is_gone_and_nothing_else(
    broker: StreamBroker, bench: Bench, redis: RedisServer
) -> None:
    # Given three messages, all of them taken
    await broker.startup()
    for text in "abc":
        await broker.kick(message(text))
    broker.room = lambda: 3
    first, second, third = await take(broker, 3)
    # When two are acknowledged
    for each in (first, third):
        await each.ack()
    # Then only the other one is still there, and is still somebody's
    await eventually(lambda: length(redis, bench.queue) == 1)
    assert pending(redis, bench.queue) == 1
    assert redis.call("XRANGE", bench.queue, "-", "+")[0][1] == ["data", "b"]
    await broker.shutdown()
    assert second.data == b"b"


async def test_a_busy_worker_holds_nothing_that_others_could_run(
    bench: Bench, redis: RedisServer
) -> None:
    # Given a worker of two slots, whose bodies wait
    app = bench.app(slots=2)
    running: list[int] = []
    go_on = asyncio.Event()

    @app.task
    async def hold(n: int) -> int:
        running.append(n)
        await go_on.wait()
        return n

    await bench.worker(app)
    client = await bench.client()
    # When there are more jobs than that
    run = await client.start(swarm([TaskSignature(task="hold", args={"n": n}) for n in range(6)]))
    await eventually(lambda: len(running) == 2 and length(redis, bench.queue) == 6, within=10)
    # Then it has taken two, and says that the others wait
    assert pending(redis, bench.queue) == 2
    assert (await client.health()).waiting == 4
    go_on.set()
    assert await run.result(timeout=20) == list(range(6))


async def test_what_a_lost_consumer_had_comes_back_though_nothing_new_does(
    bench: Bench, redis: RedisServer
) -> None:
    # Given a message that a consumer has taken, and never acknowledges
    options: dict[str, Any] = {
        "queue_name": bench.queue,
        "consumer_group_name": "mageflow",
        "idle_timeout": 50,
    }
    lost, other = (StreamBroker(bench.store, **options) for _ in range(2))
    await lost.startup()
    await lost.kick(message("left"))
    (taken,) = await take(lost, 1)
    # When another one listens, and nothing more is sent
    (again,) = await asyncio.wait_for(take(other, 1), 20)
    # Then it gets it
    assert (taken.data, again.data) == (b"left", b"left")
    await again.ack()
    await eventually(lambda: length(redis, bench.queue) == 0)
    for broker in (lost, other):
        await broker.shutdown()


async def test_a_read_that_is_broken_off_loses_nothing(
    broker: StreamBroker, bench: Bench, redis: RedisServer
) -> None:
    # Given a listener that waits at the server
    await broker.startup()
    messages: Any = broker.listen()
    waiting = asyncio.create_task(anext(messages))
    await eventually(lambda: "xreadgroup" in str(redis.call("CLIENT", "LIST")))
    # When it is stopped just as something comes
    redis.call("CLIENT", "PAUSE", "200", "WRITE")
    kicking = asyncio.create_task(broker.kick(message("late")))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await messages.aclose()
    await kicking
    # Then another one gets it at once
    (found,) = await asyncio.wait_for(take(broker, 1), 10)
    assert found.data == b"late"
    await broker.shutdown()


async def test_what_was_taken_and_not_passed_on_is_given_back(
    broker: StreamBroker, bench: Bench, redis: RedisServer
) -> None:
    # Given a listener that has taken three messages, and passed on one
    await broker.startup()
    for text in "abc":
        await broker.kick(message(text))
    broker.room = lambda: 3
    (first,) = await take(broker, 1)
    # Then the others are nobody's when it has ended
    assert isinstance(first, AckableMessage)
    assert pending(redis, bench.queue) == 1
    assert {each.data for each in await take(broker, 2)} == {b"b", b"c"}
    await broker.shutdown()


async def test_queues_are_served_by_name(bench: Bench) -> None:
    # Given a worker for each of two queues
    ran: list[str] = []
    own = {**bench.said, "queue": bench.queue}
    for served in (bench.queue, f"{bench.namespace}.slow"):
        app = bench.app(taskiq={**own, "serves": [served]})

        @app.task(queue=f"{bench.namespace}.slow")
        async def slow(served: str = served) -> None:
            ran.append(served)

        @app.task
        async def fast(served: str = served) -> None:
            ran.append(served)

        await bench.worker(app)
        del slow, fast
    # When a task of each is run, by one that only knows the tasks
    client = await bench.client(taskiq=own)
    for task, queue in (("slow", f"{bench.namespace}.slow"), ("fast", None)):
        signature: TaskSignature[None] = TaskSignature(task=task)
        signature = signature.options(queue=queue) if queue else signature
        await (await client.start(signature)).result(timeout=20)
    # Then each has come to its worker
    assert ran == [f"{bench.namespace}.slow", bench.queue]


async def test_an_existing_stream_is_sent_to_in_one_go_and_keeps_its_ways(
    bench: Bench, redis: RedisServer
) -> None:
    # Given taskiq-redis's own broker
    broker = RedisStreamBroker(bench.store, queue_name=bench.queue, xread_count=1)
    app = bench.app(broker)

    @app.task
    async def double(n: int) -> int:
        return 2 * n

    worker = await bench.worker(app)
    # When many jobs are sent
    before = int(
        redis.info("commandstats").get("cmdstat_xadd", "calls=0,").split("=")[1].split(",")[0]
    )
    run = await app.start(swarm([double.sign(n=n) for n in range(50)]))
    assert await run.result(timeout=20) == [2 * n for n in range(50)]
    # Then they went through it, and it has kept them, as it keeps all
    assert (
        int(redis.info("commandstats")["cmdstat_xadd"].split("=")[1].split(",")[0]) >= before + 50
    )
    assert length(redis, bench.queue) == 50
    assert (await app.health()).waiting == 0
    # And a worker that only waits for more ends soon
    await asyncio.wait_for(worker.stop(), 20)
