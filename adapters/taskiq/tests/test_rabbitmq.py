"""RabbitMQ: queues, priorities, and brokers of taskiq's users."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from taskiq_aio_pika import AioPikaBroker, Exchange, Queue

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.servers import RabbitServer, RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature, swarm

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def bench(rabbit: RabbitServer, redis: RedisServer, namespace: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        yield Bench(stack, namespace, redis.url, "taskiq", {"url": rabbit.url})


async def test_classic_queues_run_what_is_urgent_first(bench: Bench) -> None:
    # Given jobs that wait, the urgent ones last
    bench.said = {**bench.said, "queue_type": "classic"}
    client = await bench.client()
    started = []
    for number, priority in enumerate(("low", "normal", "high")):
        signature: Any = TaskSignature(task="note", args={"n": number}).options(priority=priority)
        started.append(await client.start(signature))

    async def waiting() -> bool:
        return (await client.health()).waiting == 3

    await eventually(waiting, within=20)
    # When a worker comes that runs one at a time
    app = bench.app(slots=1)
    ran: list[int] = []

    @app.task
    async def note(n: int) -> None:
        ran.append(n)

    await bench.worker(app)
    for run in started:
        await run.result(timeout=20)
    # Then it begins with those
    assert ran == [2, 1, 0]


async def test_a_job_for_a_queue_that_nobody_has_served_yet_waits_there(bench: Bench) -> None:
    # Given a job for a queue of its own, and a worker that serves another
    slow = f"{bench.namespace}.slow"
    own = {**bench.said, "queue": bench.queue}
    client = await bench.client(taskiq=own)
    run = await client.start(TaskSignature(task="work").options(queue=slow))
    other = bench.app(taskiq=own)
    other.task(name="work")(work)
    await bench.worker(other)
    await asyncio.sleep(0)
    # When one comes that serves it
    app = bench.app(taskiq={**own, "serves": [slow]})
    app.task(name="work")(work)
    worker = await bench.worker(app)
    # Then it runs there
    assert await run.result(timeout=30) == worker.app.settings.namespace


async def work() -> str:
    from mageflow_core.signatures.ambient import entered

    app: Any = entered.get()
    return str(app.settings.namespace)


async def test_a_busy_worker_holds_nothing_that_others_could_run(bench: Bench) -> None:
    # Given a worker that was told late to have two slots, and whose bodies wait
    app = bench.app()
    assert app.native is not None
    app.settings = app.settings.but(slots=2)
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

    async def four_wait() -> bool:
        return len(running) == 2 and (await client.health()).waiting == 4

    # Then it has two of them
    await eventually(four_wait, within=20)
    go_on.set()
    assert await run.result(timeout=20) == list(range(6))


async def test_an_existing_broker_with_several_queues_is_used_as_it_is(
    bench: Bench, rabbit: RabbitServer
) -> None:
    # Given a broker of taskiq's, with a task for each of its queues
    queues = [Queue(name=f"{bench.namespace}.{name}") for name in ("fast", "slow")]
    broker = AioPikaBroker(
        rabbit.url,
        qos=100,
        exchange=Exchange(name=bench.namespace),
        task_queues=queues,
        dead_letter_queue=Queue(name=f"{bench.namespace}.dead"),
    )
    ran: list[str] = []

    @broker.task(task_name="slow", queue_name=queues[1].name)
    async def slow() -> None:
        ran.append("slow")

    @broker.task(task_name="fast", queue_name=queues[0].name)
    async def fast() -> None:
        ran.append("fast")

    # When both are run in a flow, and natively
    app = bench.app(broker)
    await bench.worker(app)
    for name in ("slow", "fast"):
        await (await app.start(TaskSignature(task=name))).result(timeout=20)
    await slow.kiq()
    # Then each came by the queue that it names
    await eventually(lambda: ran == ["slow", "fast", "slow"], within=20)
