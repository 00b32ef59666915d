"""A worker that closes: bodies have their grace, then are put back; nothing is lost."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_core import Context, Mageflow, chain, swarm
from mageflow_core.machine import Status
from mageflow_core.runtime.worker import new_worker_id

Until = Callable[..., Awaitable[None]]


def stored(mf: Mageflow) -> Any:
    assert mf._site is not None
    return mf._site.store


async def test_bodies_that_run_at_the_close_may_end() -> None:
    # Given a body that runs when its app is closed
    mf = Mageflow(shutdown_grace=10)
    began, go_on = asyncio.Event(), asyncio.Event()

    @mf.task
    async def work() -> str:
        began.set()
        await go_on.wait()
        return "ended"

    async with mf:
        run = await mf.start(work)
        store = stored(mf)
        await began.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
    # Then it has ended by itself
    assert (await store.node(run.key)).status is Status.DONE


async def test_bodies_that_take_longer_than_their_grace_are_stopped_and_put_back() -> None:
    # Given a body that does not end
    mf = Mageflow(shutdown_grace=0.01)
    began = asyncio.Event()
    seen: list[type[BaseException]] = []

    @mf.task
    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            seen.append(type(error))
            raise

    async with mf:
        run = await mf.start(chain(work))
        store = stored(mf)
        await began.wait()
    # Then it was cancelled, and its node is queued again with its attempt not counted
    view = await store.node(f"{run.key}/0")
    assert seen == [asyncio.CancelledError]
    assert (view.status, view.attempt, view.crashes) == (Status.QUEUED, 1, 0)


async def test_a_body_that_does_not_let_itself_be_stopped_is_released_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mageflow_core.runtime import worker

    monkeypatch.setattr(worker, "UNWIND", 0.05)
    mf = Mageflow(shutdown_grace=0.01)
    began = asyncio.Event()

    @mf.task
    async def stubborn() -> None:
        began.set()
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    async with mf:
        run = await mf.start(stubborn)
        store = stored(mf)
        await began.wait()
    assert (await store.node(run.key)).status in (Status.DONE, Status.QUEUED)


@pytest.mark.parametrize("how", ["without grace", "in a hurry", "with the loop"])
def test_a_body_that_is_stopped_may_unwind_undisturbed(how: str) -> None:
    # Given a body that has something to do when it is stopped
    mf = Mageflow(shutdown_grace=0 if how == "without grace" else 3600, warn_unclosed=False)
    unwound: list[str] = []
    began = threading.Event()

    @mf.task
    async def work() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            for step in ("first", "second", "third"):
                await asyncio.sleep(0)
                unwound.append(step)

    # When its app is closed, or its loop
    async def main() -> None:
        await mf.start(work)
        while not began.is_set():  # noqa: ASYNC110 - an event of asyncio is of one loop
            await asyncio.sleep(0)
        if how == "without grace":
            await mf.close()
        elif how == "in a hurry":
            await mf.close(grace=0)

    asyncio.run(main())
    # Then it has done all of it
    assert unwound == ["first", "second", "third"]


async def test_queued_jobs_are_still_in_the_store_after_the_close() -> None:
    # Given one slot that is taken, and more work behind it
    mf = Mageflow(shutdown_grace=0.01, slots=1)
    began = asyncio.Event()

    @mf.task
    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    async with mf:
        run = await mf.start(swarm([work] * 3))
        store = stored(mf)
        await began.wait()
    # Then all of it is queued, and in the outbox
    views = await store.children(run.key, 0, 10)
    assert [view.status for view in views] == [Status.QUEUED] * 3
    assert len(store.outbox) == 3


async def test_a_thread_that_is_stuck_at_the_close_is_named_and_its_node_put_back(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a sync body that does not end
    from mageflow_core.runtime import worker

    monkeypatch.setattr(worker, "THREADS_END", 0.05)
    monkeypatch.setattr(worker, "UNWIND", 0.05)
    mf = Mageflow(shutdown_grace=0.01)
    began = asyncio.Event()
    loop = asyncio.get_running_loop()
    gate = threading.Event()
    seen: list[bool] = []

    @mf.task
    def stuck(ctx: Context) -> None:
        loop.call_soon_threadsafe(began.set)
        gate.wait(30)
        seen.append(ctx.cancelled())

    with caplog.at_level(logging.WARNING, "mageflow.worker"):
        async with mf:
            run = await mf.start(stuck)
            store = stored(mf)
            threads = mf._site.threads  # type: ignore[union-attr]
            await began.wait()
    # Then the log names its thread, and what it still does changes nothing
    assert "mageflow-0" in caplog.text
    assert (await store.node(run.key)).status is Status.QUEUED
    gate.set()
    assert threads.close(10) == []
    assert seen == [True]
    assert (await store.node(run.key)).status is Status.QUEUED


async def test_what_is_started_by_bodies_during_the_grace_is_stored() -> None:
    mf = Mageflow(shutdown_grace=10)
    began, go_on = asyncio.Event(), asyncio.Event()

    @mf.task
    async def first() -> int:
        began.set()
        await go_on.wait()
        return 1

    @mf.task
    async def second(n: int) -> int:
        return n

    async with mf:
        run = await mf.start(chain(first, second))
        store = stored(mf)
        await began.wait()
        asyncio.get_running_loop().call_soon(go_on.set)
    statuses = [view.status for view in await store.children(run.key, 0, 10)]
    assert statuses == [Status.DONE, Status.QUEUED]


async def test_people_who_wait_at_the_close_hear_of_it() -> None:
    from mageflow_core.errors import NotOpen

    mf = Mageflow(shutdown_grace=0)
    began = asyncio.Event()

    @mf.task
    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    async with mf:
        run = await mf.start(work)
        await began.wait()
        waiting = asyncio.create_task(run.wait())
        await asyncio.sleep(0)
    with pytest.raises(NotOpen, match="closed while somebody waited"):
        await waiting


async def test_closing_leaves_no_task_of_ours_behind() -> None:
    before = asyncio.all_tasks()
    async with Mageflow() as mf:

        @mf.task
        async def work() -> None: ...

        await work.run()
        assert asyncio.all_tasks() > before
    assert asyncio.all_tasks() == before


async def test_a_worker_tells_at_once_which_tasks_it_knows(mf: Mageflow, until: Until) -> None:
    @mf.task(aliases=("former",))
    async def work() -> None: ...

    site: Any = mf._site
    await until(lambda: {"work", "former"} <= site.store.live[site.worker.id].tasks)


async def test_a_worker_tells_what_it_is(mf: Mageflow, until: Until) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()

    @mf.task
    async def work() -> None:
        began.set()
        await go_on.wait()

    run = await mf.start(work)
    await began.wait()
    site: Any = mf._site
    info = site.worker.info()
    assert (info.id, info.pid, info.host) == (site.worker.id, os.getpid(), socket.gethostname())
    assert (info.slots, info.backends, info.running) == (100, {"asyncio"}, 1)
    assert 0 <= mf.clock.now() - info.started_at < 60
    go_on.set()
    await run.wait()
    await until(lambda: site.worker.info().running == 0)
    site.worker.stop()
    assert site.worker.info().backends == frozenset()


async def test_a_node_of_a_task_that_nobody_knows_fails_in_time(make_app: Any, clock: Any) -> None:
    # Given a node whose task is gone from the only worker
    mf: Mageflow = await make_app(clock=clock, unknown_task_timeout=100)

    @mf.task
    async def gone() -> None: ...

    site: Any = mf._site
    del mf.registry._named["gone"]
    site.checker._closed_world = False
    run = await mf.start("gone")
    while not site.store.agenda.has((run.key, ("unknown", ""))):  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    assert await run.status() == "queued"
    # When nobody who knows it comes
    clock.advance(101)
    # Then it fails, and says why
    view = await run.wait(timeout=10)
    assert view.error is not None
    assert "no live worker knows task 'gone'" in view.error.message


async def test_a_node_of_a_task_that_is_registered_in_time_runs(
    make_app: Any, clock: Any, until: Until
) -> None:
    mf: Mageflow = await make_app(clock=clock, unknown_task_timeout=100)
    site: Any = mf._site
    site.checker._closed_world = False
    run = await mf.start("later")
    while not site.store.agenda.has((run.key, ("unknown", ""))):  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)

    @mf.task
    async def later() -> str:
        return "known now"

    await until(lambda: "later" in site.store.live[site.worker.id].tasks)
    clock.advance(101)
    assert await run.result(timeout=10) == "known now"


def test_a_workers_id_is_made_anew_each_time() -> None:
    assert len({new_worker_id() for _ in range(100)}) == 100


async def test_a_backend_that_fails_to_serve_says_so_at_the_close() -> None:
    mf = Mageflow()

    async def broken(**_: Any) -> None:
        raise ConnectionError("the broker is gone")

    async with mf:
        site: Any = mf._site
        site.worker.stop()
        await asyncio.sleep(0)
    mf2 = Mageflow()
    await mf2.find()
    worker: Any = mf2._site.worker  # type: ignore[union-attr]
    worker._backends["asyncio"].serve = broken
    with pytest.raises(ExceptionGroup) as failed:
        await mf2.close()
    assert failed.group_contains(ConnectionError, match="the broker is gone")
