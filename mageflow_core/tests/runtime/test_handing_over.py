"""Jobs that a process does not run itself are passed on to those that do."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sharing import site_of, world_of

from mageflow_core import Mageflow, chain, swarm
from mageflow_core.client import site as sites
from mageflow_core.errors import SettingsError, StoreUnavailable
from mageflow_core.runtime import worker

Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gives up by time does so soon."""
    monkeypatch.setattr(worker, "THREADS_END", 0.05)
    monkeypatch.setattr(worker, "UNWIND", 0.05)
    monkeypatch.setattr(worker, "LEAVE", 0.05)
    monkeypatch.setattr(sites, "LAST_JOBS", 0.05)


# --- a process without a worker -------------------------------------------------------------------


async def test_what_a_process_without_a_worker_starts_runs_in_another(make_process: Any) -> None:
    # Given a process that works, and one that does not
    working: Mageflow = await make_process()
    client: Mageflow = await make_process(worker=False)
    where: list[str] = []

    async def here() -> str:
        where.append("here")
        return "here"

    async def there(text: str = "") -> str:
        where.append("there")
        return "there"

    client.task(name="work")(here)
    working.task(name="work")(there)
    # When the latter starts a flow
    run = await client.start(chain("work", "work"))
    # Then the former runs it
    assert await run.result(timeout=10) == "there"
    assert where == ["there", "there"]
    assert {job.backend for job in world_of(client).passed_on} == {"asyncio"}


async def test_a_process_without_a_worker_steers(make_process: Any) -> None:
    working: Mageflow = await make_process()
    client: Mageflow = await make_process(worker=False)
    began = asyncio.Event()

    @working.task
    async def hold() -> None:
        began.set()
        await asyncio.Event().wait()

    run = await client.start("hold")
    await began.wait()
    assert await run.cancel()
    assert (await run.wait(timeout=10)).status == "canceled"


async def test_a_process_without_a_worker_opens_nothing_that_works(make_process: Any) -> None:
    client: Mageflow = await make_process(worker=False)
    site = site_of(client)
    assert not site.works
    assert not site.backends["asyncio"]._open
    assert site.quiet
    assert await site.store.workers() == []
    before = {task.get_name() for task in asyncio.all_tasks()}
    assert "mageflow dispatcher" in before
    assert before.isdisjoint({"mageflow worker", "mageflow reconciler", "mageflow renewal"})


async def test_without_a_worker_a_store_of_ones_own_is_refused() -> None:
    mf = Mageflow(worker=False)
    with pytest.raises(SettingsError, match=r"worker is false.*'memory://': nothing would ever"):
        await mf.find()
    assert mf._site is None


async def test_jobs_that_nobody_can_be_given_are_left_in_the_store(
    make_process: Any, until: Until
) -> None:
    # Given a process that does not work, and no other
    client: Mageflow = await make_process(worker=False)
    run = await client.start("work")
    await until(lambda: world_of(client).passed_on)
    assert len(world_of(client).core.outbox) == 1
    # When one comes that does
    working: Mageflow = await make_process()

    @working.task
    async def work() -> str:
        return "ran"

    for entry in list(world_of(client).core.outbox._unconfirmed.values()):
        entry.at -= 11  # seconds
    world_of(client).on_due(0.0)
    # Then it sends them when their time has come
    assert await run.result(timeout=10) == "ran"


async def test_a_store_that_is_away_when_jobs_are_passed_on_is_told_of(
    make_process: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    client: Mageflow = await make_process(worker=False)

    def away(_: Any) -> None:
        raise StoreUnavailable

    world_of(client).before["pass_on"] = away
    with caplog.at_level(logging.WARNING, "mageflow.dispatcher"):
        run = await client.start("work")
        await until(lambda: "could not be passed on" in caplog.text)
    assert await run.status() == "queued"


# --- a process that closes ------------------------------------------------------------------------


class Two:
    """Two processes of one slot. The first one's is taken by a body that goes on when told to."""

    def __init__(self, first: Mageflow, second: Mageflow) -> None:
        self.first, self.second = first, second
        self.began, self.go_on = asyncio.Event(), asyncio.Event()
        self.ran: list[str] = []
        for name, app in (("first", first), ("second", second)):
            app.task(name="hold")(self.hold)
            app.task(name="work")(self.work_in(name))

    async def hold(self) -> None:
        self.began.set()
        await self.go_on.wait()

    def work_in(self, name: str) -> Any:
        async def work() -> str:
            self.ran.append(name)
            return name

        return work


@pytest.fixture
async def two(make_process: Any) -> Two:
    settings: dict[str, Any] = {"slots": 1, "shutdown_grace": 0.05}
    return Two(await make_process(**settings), await make_process(**settings))


async def test_jobs_that_are_queued_in_a_process_that_closes_run_in_another(two: Two) -> None:
    # Given jobs behind a body that takes the only slot
    holding = await two.first.start("hold")
    await two.began.wait()
    run = await two.first.start(swarm(["work"] * 3))
    await asyncio.sleep(0)
    # When their process closes, though the body runs on for its grace
    closing = asyncio.create_task(two.first.close(grace=30))
    # Then the other one runs them meanwhile
    loaded = await two.second.load(run.key)
    assert await loaded.result(timeout=10) == ["second"] * 3
    assert not closing.done()
    two.go_on.set()
    await closing
    assert await (await two.second.load(holding.key)).result(timeout=10) is None


async def test_what_the_bodies_of_a_closing_process_make_due_runs_in_another(two: Two) -> None:
    run = await two.first.start(chain("hold", "work"))
    await two.began.wait()
    asyncio.get_running_loop().call_soon(two.go_on.set)
    await two.first.close(grace=30)
    assert await (await two.second.load(run.key)).result(timeout=10) == "second"


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_bodies_of_a_closing_process_start_runs_in_another(
    make_process: Any, in_thread: bool
) -> None:
    # Given two processes, in one of which a body is about to start a run
    first: Mageflow = await make_process(shutdown_grace=30)
    second: Mageflow = await make_process()
    began, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def starting() -> str:
        began.set()
        await asyncio.to_thread(go_on.wait, 10)
        return (await first.start("work")).id

    def starting_in_thread() -> str:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(10)
        return first.start_sync("work").id

    async def never() -> str:
        raise AssertionError("it was started again")

    async def work() -> str:
        return "second"

    first.task(name="work")(never)
    second.task(name="work")(work)
    run = await first.start(first.task(starting_in_thread if in_thread else starting))
    await began.wait()
    worker = first.worker_id
    # When that process closes meanwhile
    closing = asyncio.create_task(first.close())
    await asyncio.sleep(0)
    assert (first.worker_id, first.unfinished()) == (worker, [run.id])
    go_on.set()
    await closing
    # Then the run is started, and the process is closed
    started = await second.load(await (await second.load(run.id)).result(timeout=10))
    assert await started.result(timeout=10) == "second"
    assert (first._site, first._leaving, first.worker_id) == (None, None, None)
    assert [each.id for each in await site_of(second).store.workers()] == [second.worker_id]


async def test_what_ran_in_a_process_that_closes_runs_again_in_another(two: Two) -> None:
    # Given a body that does not end in its grace
    run = await two.first.start(chain("hold", "work"))
    await two.began.wait()
    # When its process closes
    await two.first.close()
    two.go_on.set()
    # Then another one runs it at once, and that is no crash
    loaded = await two.second.load(run.key)
    assert await loaded.result(timeout=5) == "second"
    assert (await loaded[0].view()).crashes == 0


async def test_what_waited_for_a_thread_in_a_process_that_closes_runs_in_another(
    make_process: Any, until: Until
) -> None:
    # Given a thread that is taken by a body that does not end, and a delivery behind it
    first: Mageflow = await make_process(threads=1, shutdown_grace=0)
    second: Mageflow = await make_process(threads=1, shutdown_grace=0)
    gate, began = threading.Event(), threading.Event()

    def here() -> str:
        began.set()
        gate.wait(30)
        return "here"

    def there() -> str:
        return "there"

    first.task(name="work")(here)
    second.task(name="work")(there)
    holding = await first.start("work")
    waiting = await first.start("work")
    await until(lambda: len(site_of(first).runner.bodies) == 2 and began.is_set())
    # When the process closes
    threads = site_of(first).threads
    await first.close()
    # Then both run elsewhere at once
    assert await (await second.load(waiting.key)).result(timeout=5) == "there"
    assert await (await second.load(holding.key)).result(timeout=5) == "there"
    gate.set()
    assert threads.close(10) == []


async def test_closing_where_nobody_else_works_leaves_the_jobs_in_the_store(
    make_process: Any,
) -> None:
    client: Mageflow = await make_process(worker=False)
    mf: Mageflow = await make_process(slots=1, shutdown_grace=0)
    began = asyncio.Event()

    @mf.task
    async def hold() -> None:
        began.set()
        await asyncio.Event().wait()

    run = await mf.start(swarm([hold] * 3))
    await began.wait()
    await mf.close()
    assert len(world_of(client).core.outbox) == 3
    views = await site_of(client).store.children(run.key, 0, 3)
    assert [view.status for view in views] == ["queued"] * 3
    assert world_of(client).core.live == {}


async def test_closing_while_the_store_does_not_answer_ends(
    make_process: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a store that never answers who leaves, or passes on
    mf: Mageflow = await make_process(opened=False, slots=1, shutdown_grace=0)
    await mf.find()
    store = site_of(mf).store

    async def never(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    store.leave = store.pass_on = never
    began = asyncio.Event()

    @mf.task
    async def hold() -> None:
        began.set()
        await asyncio.Event().wait()

    await mf.start(swarm([hold] * 3))
    await began.wait()
    # When the app closes, then it does, and says what is left to others
    with caplog.at_level(logging.WARNING, "mageflow.worker"):
        await asyncio.wait_for(mf.close(), 10)
    assert "runs on when its lease ends" in caplog.text
    assert "the last jobs could not be handed over" in caplog.text
