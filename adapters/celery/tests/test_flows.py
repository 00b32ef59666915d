"""What a worker does that an app starts."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

from celery_bench import Bench

from mageflow_conformance.waiting import eventually
from mageflow_core import Context, TaskSignature, swarm


async def test_bodies_run_in_other_processes_and_several_at_once(
    any_bench: Bench, tmp_path: Path
) -> None:
    # Given a worker with two child processes
    app = any_bench.app()

    @app.task
    async def meet(i: int) -> int:
        (tmp_path / f"{i}").touch()
        other = tmp_path / f"{1 - i}"
        while not other.exists():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
        return os.getpid()

    client = await any_bench.client()
    worker = await any_bench.worker(app)
    # When two tasks wait for each other
    flow = swarm([TaskSignature(task="meet", args={"i": i}) for i in range(2)])
    pids = await (await client.start(flow)).result(timeout=30)
    # Then each runs in a process of its own, and the app is open in none but those
    assert len({*pids, os.getpid()}) == 3
    assert app.worker_id is None
    workers = await (await client.opened()).workers()
    assert {info.pid for info in workers} == set(pids)
    assert {info.slots for info in workers} == {1}
    await worker.stop()
    assert await (await client.opened()).workers() == []


async def test_what_the_app_threw_away_is_not_ended_once_more_in_the_worker(
    bench: Bench, tmp_path: Path
) -> None:
    # Given garbage that writes down where it is ended
    ended = tmp_path / "ended"
    ended.touch()

    class Garbage:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            with ended.open("a") as file:
                file.write(f"{os.getpid()}\n")

    app = bench.app()

    @app.task
    async def collect() -> int:
        gc.collect()
        return os.getpid()

    gc.disable()
    try:
        Garbage()
        # When a worker starts, and its children, and one looks for garbage
        client = await bench.client()
        await bench.worker(app)
        pid = await (await client.start(TaskSignature(task="collect"))).result(timeout=30)
        # Then it is ended where it comes from, and nowhere else
        assert pid != os.getpid()
        assert ended.read_text() == ""
        gc.collect()
        assert ended.read_text() == f"{os.getpid()}\n"
    finally:
        gc.enable()


async def test_a_job_that_a_worker_does_not_know_comes_to_one_that_does(bench: Bench) -> None:
    # Given two workers, one of which knows a task
    without, knows = bench.app(), bench.app()

    @knows.task
    async def rare(ctx: Context) -> str:
        return ctx.task

    client = await bench.client()
    await bench.worker(without)
    first = await client.start(TaskSignature(task="rare"))
    await bench.worker(knows)
    # When jobs of it come to either
    others = [await client.start(TaskSignature(task="rare")) for _ in range(4)]
    # Then all of them run
    for run in (first, *others):
        assert await run.result(timeout=40) == "rare"


async def test_a_second_end_stops_what_runs_and_puts_it_back(bench: Bench, tmp_path: Path) -> None:
    # Given a body that does not end
    app = bench.app(shutdown_grace=60)

    @app.task
    async def wait() -> int:
        (tmp_path / "begun").touch()
        try:
            await asyncio.Event().wait()
        finally:
            (tmp_path / "stopped").touch()
        return 1

    client = await bench.client()
    worker = await bench.worker(app)
    run = await client.start(TaskSignature(task="wait"))
    await eventually((tmp_path / "begun").exists, within=20)
    # When its worker is to end at once
    await worker.drop()
    # Then it was stopped, and waits for another worker
    assert (tmp_path / "stopped").exists()
    assert (await run.view()).crashes == 0
    assert await (await client.opened()).workers() == []
    await run.cancel()
