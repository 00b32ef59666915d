"""Flows on each kind of broker."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.waiting import eventually
from mageflow_core import Context, Mageflow, Retry, ReturnValue, TaskSignature, chain, swarm
from mageflow_core.errors import TaskFailed

pytestmark = pytest.mark.filterwarnings("ignore:the list .* forgets:RuntimeWarning")


def tasks_on(mf: Mageflow) -> None:
    @mf.task
    async def double(n: int) -> int:
        return 2 * n

    @mf.task
    def add(n: ReturnValue[int], more: int = 1) -> int:
        assert threading.current_thread() is not threading.main_thread()
        return n + more


async def test_a_flow_runs_that_was_started_before_any_worker_was(any_bench: Bench) -> None:
    # Given a client that knows no task, and started one before there was a worker
    client = await any_bench.client()
    run = await client.start(chain("double", "add"), {"n": 4})
    # When a worker comes
    app = any_bench.app()
    tasks_on(app)
    await any_bench.worker(app)
    # Then both tasks run there, the async one and the one in a thread
    assert await run.result(timeout=30) == 9


async def test_many_tasks_run_and_leave_nothing_in_the_queue(any_bench: Bench) -> None:
    app = any_bench.app()
    tasks_on(app)
    await any_bench.worker(app)
    client = await any_bench.client()
    # When many jobs are sent at once
    run = await client.start(
        swarm([TaskSignature(task="double", args={"n": n}) for n in range(300)])
    )
    # Then each has its result, and none is left waiting
    assert await run.result(timeout=60) == [2 * n for n in range(300)]

    async def waiting() -> bool:
        return (await client.health()).waiting == 0

    await eventually(waiting, within=10)


async def test_a_failing_task_runs_as_often_as_its_policy_says(any_bench: Bench) -> None:
    # Given a task that always fails and is tried twice
    app = any_bench.app()
    ran: list[int] = []

    @app.task(retries=Retry(retries=1, delay=0))
    async def fail(ctx: Context) -> None:
        ran.append(ctx.attempt)
        raise ValueError("of its own")

    await any_bench.worker(app)
    # When it is run
    run = await (await any_bench.client()).start("fail")
    # Then it fails by its error, after two attempts and none of taskiq's
    with pytest.raises(TaskFailed, match="of its own"):
        await run.result(timeout=30)
    assert ran == [1, 2]


async def test_what_runs_when_a_worker_stops_ends_in_its_grace(any_bench: Bench) -> None:
    # Given a body that runs while its worker is told to stop
    app = any_bench.app()
    begun, go_on = asyncio.Event(), asyncio.Event()

    @app.task
    async def wait() -> str:
        begun.set()
        await go_on.wait()
        return "ended"

    worker = await any_bench.worker(app)
    run = await (await any_bench.client()).start("wait")
    await asyncio.wait_for(begun.wait(), 20)
    stopping = asyncio.create_task(worker.stop())
    await eventually(worker._stop.is_set)
    # When it ends meanwhile
    go_on.set()
    # Then that is how the run ends, and so does the worker
    assert await run.result(timeout=20) == "ended"
    await stopping


async def test_what_runs_on_after_its_grace_is_run_by_another_worker(any_bench: Bench) -> None:
    # Given a worker without patience, and a body that does not end
    ran: list[str] = []

    def make(name: str, *, ends: bool) -> Mageflow:
        app = any_bench.app(shutdown_grace=0)

        @app.task
        async def wait(ctx: Context) -> str:
            ran.append(name)
            if not ends:
                await asyncio.Event().wait()
            return name

        return app

    first = await any_bench.worker(make("first", ends=False))
    run = await (await any_bench.client()).start("wait")
    await eventually(lambda: ran == ["first"], within=20)
    # When it is stopped, and another one works
    await first.stop()
    await any_bench.worker(make("second", ends=True))
    # Then that one runs it, as the same attempt
    assert await run.result(timeout=30) == "second"
    assert ran == ["first", "second"]
    assert (await run.view()).attempt == 1


async def test_a_task_that_only_another_worker_knows_comes_to_it(any_bench: Bench) -> None:
    # Given two workers on one queue, of which one does not know the task
    unaware = any_bench.app()
    await any_bench.worker(unaware)
    aware = any_bench.app()
    tasks_on(aware)
    await any_bench.worker(aware)
    # When it is run again and again
    client = await any_bench.client()
    runs = [await client.start("double", {"n": n}) for n in range(10)]
    # Then all of it is run
    assert [await run.result(timeout=50) for run in runs] == [2 * n for n in range(10)]


async def test_two_apps_may_use_one_queue(any_bench: Bench) -> None:
    # Given two namespaces whose jobs go through one queue
    any_bench.said = {**any_bench.said, "queue": any_bench.queue}
    results = []
    for name in ("one", "two"):
        app = any_bench.app(namespace=f"{any_bench.namespace}-{name}")
        tasks_on(app)
        await any_bench.worker(app)
    # When each starts runs
    for name in ("one", "two"):
        client = await any_bench.client(namespace=f"{any_bench.namespace}-{name}")
        runs = [await client.start("double", {"n": n}) for n in range(8)]
        results.append(runs)
    # Then none of them is lost to the other
    for runs in results:
        assert [await run.result(timeout=50) for run in runs] == [2 * n for n in range(8)]


async def test_an_app_may_be_opened_again(any_bench: Bench) -> None:
    client = any_bench.app()
    broker = client.native
    app = any_bench.app()
    tasks_on(app)
    await any_bench.worker(app)
    for n in range(2):
        async with client:
            run = await client.start("double", {"n": n})
            assert await run.result(timeout=30) == 2 * n
    assert client.native is broker
