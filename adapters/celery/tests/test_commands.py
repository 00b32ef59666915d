"""Worker processes, started by MageFlow's command and by Celery's, and how they end."""

from __future__ import annotations

import asyncio
import signal

import pytest
from celery_bench import Bench

from mageflow_conformance.backends.place import Place
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature

pytestmark = pytest.mark.timeout(120)
MAGEFLOW = ("mageflow", "worker", "celery_bench.commands")
CELERY = ("celery", "-A", "celery_bench.commands:client", "worker")

# Seconds: a child of billiard's that ends waits for half a minute where its parent, which has begun
# to end, has not counted what it has done.
ENDS = 60


def on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("any_bench", kinds, indirect=True)


EITHER = pytest.mark.parametrize(  # a process takes its time: not each of all pairs
    ("any_bench", "command", "pool"),
    [
        pytest.param("redis", MAGEFLOW, "prefork", id="redis-mageflow-prefork"),
        pytest.param("redis", MAGEFLOW, "solo", id="redis-mageflow-solo"),
        pytest.param("redis", (*CELERY, "-c", "2"), "prefork", id="redis-celery-prefork"),
        pytest.param("rabbitmq", MAGEFLOW, "threads", id="rabbitmq-mageflow-threads"),
        pytest.param("rabbitmq", (*CELERY, "-c", "2"), "prefork", id="rabbitmq-celery-prefork"),
    ],
    indirect=["any_bench"],
)


@EITHER
async def test_either_command_runs_flows_and_ends_in_order(
    any_bench: Bench, place: Place, command: tuple[str, ...], pool: str
) -> None:
    # Given a worker that a command has started
    worker = place.start(*command, MAGEFLOW_CELERY_POOL=pool)
    client = await any_bench.client()
    # When tasks run, in its event loop and in a thread of it
    quick = await client.start(TaskSignature(task="quick", args={"n": 1}))
    assert await quick.result(timeout=40) == 2
    held = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=20)
    # And it is told to end while one of them runs
    worker.terminate()
    place.let("go")
    # Then that one ends before it does
    assert await held.result(timeout=20) == "go"
    assert await asyncio.to_thread(worker.wait, ENDS) == 0, place.log()
    assert len(place.noted()) == 1
    assert await (await client.opened()).workers() == []


async def test_what_a_killed_worker_had_is_run_by_another(any_bench: Bench, place: Place) -> None:
    # Given a worker that is killed while a body runs in a child of it
    first = place.start(*MAGEFLOW, MAGEFLOW_LEASE="1")
    client = await any_bench.client(lease=1)
    run = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=40)
    first.kill()
    first.wait()
    # When another one works, and nothing else is sent
    second = place.start(*MAGEFLOW, MAGEFLOW_LEASE="1")
    await eventually(lambda: len(place.noted()) == 2, within=60)
    place.let("go")
    # Then it runs there, and not where it was any more
    assert await run.result(timeout=60) == "go"
    assert [note[2] for note in place.noted()] == [str(first.pid), str(second.pid)]
    second.terminate()
    assert await asyncio.to_thread(second.wait, ENDS) == 0, place.log()


@on("redis")
async def test_what_runs_longer_than_the_grace_is_put_back(any_bench: Bench, place: Place) -> None:
    # Given a worker that gives bodies little time at its end
    worker = place.start(*MAGEFLOW, MAGEFLOW_SHUTDOWN_GRACE="0.2")
    client = await any_bench.client()
    run = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=40)
    # When it ends while one runs, and another one comes
    worker.terminate()
    assert await asyncio.to_thread(worker.wait, 30) == 0, place.log()
    place.let("go")
    place.start(*MAGEFLOW)
    # Then that one runs it, in place of the first one's lease
    assert await run.result(timeout=40) == "go"
    assert len(place.noted()) == 2
    assert (await run.view()).attempt == 1


@on("redis")
async def test_a_cold_end_of_celerys_puts_back_what_runs(any_bench: Bench, place: Place) -> None:
    # Given a worker of Celery's own command
    worker = place.start(*CELERY, "-c", "1")
    client = await any_bench.client()
    run = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=40)
    # When it is told to end at once, and another one comes
    worker.send_signal(signal.SIGQUIT)
    await asyncio.to_thread(worker.wait, 30)
    place.let("go")
    place.start(*CELERY, "-c", "1")
    # Then that one runs it
    assert await run.result(timeout=40) == "go"
    assert len(place.noted()) == 2
    assert (await run.view()).attempt == 1


@on("redis")
async def test_what_celery_terminates_is_put_back(any_bench: Bench, place: Place) -> None:
    # Given a body that runs in a child of a worker
    place.start(*CELERY, "-c", "1")
    client = await any_bench.client()
    run = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=40)
    # When somebody has Celery revoke its job and terminate it
    job = f"{run.id}.1.1"
    await asyncio.to_thread(client.native.control.revoke, job, terminate=True)
    # Then it begins once more, with the same attempt: to end a run is to cancel it
    await eventually(lambda: len(place.noted()) == 2, within=40)
    place.let("go")
    assert await run.result(timeout=20) == "go"
    assert [note[1] for note in place.noted()] == ["1", "1"]


@on("redis")
async def test_native_calls_are_run_beside_flows(any_bench: Bench, place: Place) -> None:
    place.start(*CELERY, "-c", "1")
    client = any_bench.app()
    async with client:
        await asyncio.to_thread(client.native.send_task, "bench:native", ["hello"])
        await eventually(lambda: place.noted() == [["native", "hello"]], within=40)
        assert await client.find() == []


@on("redis")
async def test_a_worker_that_cannot_work_says_why(any_bench: Bench, place: Place) -> None:
    # Given Celery's command for an app whose store no other process sees
    place.start(*CELERY, "-c", "1", MAGEFLOW_STORE="memory://")
    # Then it does not work in silence
    why = "store is 'memory://', which no other process sees"
    await eventually(lambda: why in place.log(), within=40)
    # And MageFlow's ends with it
    other = place.start(*MAGEFLOW, MAGEFLOW_STORE="memory://")
    assert await asyncio.to_thread(other.wait, 30) != 0


@on("redis")
@pytest.mark.parametrize("pool", ["gevent", "eventlet"])
async def test_pools_that_replace_threads_are_refused(
    any_bench: Bench, place: Place, pool: str
) -> None:
    del any_bench
    worker = place.start(*CELERY, "--pool", pool)
    assert await asyncio.to_thread(worker.wait, 40) != 0
    *_, told = place.log().splitlines()
    assert f"the pool {pool} replaces what threads and event loops are" in told
    assert "--pool=threads" in told
