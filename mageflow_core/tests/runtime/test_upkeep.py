"""The upkeep in its thread: what the app's own loop does costs it nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sharing import site_of, upkeep_threads, world_of

from mageflow_core import Mageflow
from mageflow_core.errors import StoreUnavailable
from mageflow_core.runtime import upkeep
from mageflow_core.runtime.reconciler import Reconciler

Eventually = Callable[..., Awaitable[None]]
LEASE = 0.3  # seconds: renewed every 50 ms


def calls_of(world: Any, method: str) -> Counter[str]:
    return Counter({thread: n for (name, thread), n in world.calls.items() if name == method})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "PAUSE", 0.01)


# --- where it runs --------------------------------------------------------------------------------


async def test_a_shared_store_is_seen_to_on_a_thread(
    make_process: Any, eventually: Eventually
) -> None:
    # Given an app with a worker on a shared store
    mf: Mageflow = await make_process(lease=LEASE)
    world = world_of(mf)

    @mf.task
    async def work() -> int:
        return 1

    # When it has run something, and renewed its lease
    assert await work.run() == 1
    await eventually(lambda: calls_of(world, "renew")["mageflow-upkeep"] > 2)
    # Then the thread has done the upkeep, and the app's loop all else
    assert set(calls_of(world, "renew")) == set(calls_of(world, "work")) == {"mageflow-upkeep"}
    assert set(calls_of(world, "claim")) == set(calls_of(world, "report")) == {"MainThread"}
    assert [thread.daemon for thread in upkeep_threads()] == [True]


async def test_a_store_of_one_loop_is_seen_to_on_that_loop(mf: Mageflow) -> None:
    site = site_of(mf)
    assert isinstance(site.upkeep, upkeep.LoopUpkeep)
    assert upkeep_threads() == []


async def test_a_process_without_a_worker_does_no_upkeep_of_a_shared_store(
    make_process: Any,
) -> None:
    mf: Mageflow = await make_process(worker=False)
    site = site_of(mf)
    assert site.upkeep is None
    assert site.working is None
    assert upkeep_threads() == []
    await mf.find()
    site.on_due(0.0)
    assert calls_of(world_of(mf), "work") == calls_of(world_of(mf), "renew") == Counter()


async def test_a_worker_is_known_to_the_store_once_its_app_is_open(make_process: Any) -> None:
    mf: Mageflow = await make_process(slots=7)
    site = site_of(mf)
    (info,) = await site.store.workers()
    assert (info.id, info.slots, info.backends) == (site.worker.id, 7, {"asyncio"})


@pytest.mark.parametrize(("lease", "every"), [(30.0, 5.0), (60.0, 5.0), (3.0, 0.5)])
async def test_a_lease_is_renewed_six_times_and_every_five_seconds_at_least(
    make_process: Any, lease: float, every: float
) -> None:
    mf: Mageflow = await make_process(lease=lease)
    site = site_of(mf)
    assert site.upkeep._running.renewal.every == every
    assert site.store.world.options.lease == lease


async def test_a_store_is_told_what_the_settings_say(make_process: Any) -> None:
    mf: Mageflow = await make_process(
        namespace="shop", lease=12, store_patience=3, wait_replicas=2, max_crashes=7
    )
    options = world_of(mf).options
    assert (options.namespace, options.lease, options.patience) == ("shop", 12.0, 3.0)
    assert (options.wait_replicas, options.policy.max_crashes) == (2, 7)
    assert options.clock is mf.clock


async def test_what_changes_of_a_worker_is_told_at_once(
    make_process: Any, eventually: Eventually
) -> None:
    # Given a worker that renews its lease once in a while
    mf: Mageflow = await make_process(opened=False, lease=3600)
    await mf.find()
    world = world_of(mf)
    # When it gets to know a task, and when it is to stop

    @mf.task
    async def late() -> None: ...

    # Then others hear of it
    await eventually(lambda: "late" in world.infos[-1].tasks)
    assert world.infos[-1].backends == {"asyncio"}
    began, go_on = asyncio.Event(), asyncio.Event()

    @mf.task
    async def hold() -> None:
        began.set()
        await go_on.wait()

    await hold.start()
    await began.wait()
    closing = asyncio.create_task(mf.close(grace=30))
    await eventually(lambda: world.infos[-1].backends == set())
    go_on.set()
    await closing


# --- a loop that is blocked -----------------------------------------------------------------------


async def test_a_body_that_blocks_the_loop_for_longer_than_its_lease_keeps_it(
    make_process: Any, caplog: pytest.LogCaptureFixture
) -> None:
    # Given two processes, and an async body that blocks for three leases
    mf, _ = await make_process(lease=LEASE), await make_process(lease=LEASE)
    runs: list[str] = []

    async def block() -> str:
        runs.append("began")
        threading.Event().wait(3 * LEASE)
        return "ended"

    mf.task(block)
    world = world_of(mf)
    renewed = calls_of(world, "renew").total()
    # When it runs
    run = await mf.start("block")
    assert await run.result(timeout=10) == "ended"
    # Then its lease was renewed meanwhile, and it ran once
    assert calls_of(world, "renew").total() >= renewed + 6
    assert runs == ["began"]
    view = await run.view()
    assert (view.attempt, view.crashes) == (1, 0)
    assert "leases" not in caplog.text


async def test_what_is_due_is_moved_on_while_the_loop_is_blocked(
    make_process: Any, eventually: Eventually
) -> None:
    # Given a delayed task, and a loop that is blocked at its time
    mf: Mageflow = await make_process(lease=30)
    world = world_of(mf)

    @mf.task
    async def later() -> str:
        return "ran"

    run = await mf.start(later.sign().options(delay=0.1))
    fired = threading.Event()
    whole = world.core.agenda.take

    def take(now: float, limit: int) -> Any:
        taken = whole(now, limit)
        if taken:
            fired.set()
        return taken

    world.core.agenda.take = take
    # When the loop does nothing else
    assert fired.wait(10)
    # Then it has become due meanwhile, and runs as soon as the loop is free
    assert await run.result(timeout=10) == "ran"


async def test_what_becomes_due_earlier_wakes_the_thread(make_process: Any) -> None:
    # Given an upkeep that sleeps for long
    mf: Mageflow = await make_process(lease=3600)

    @mf.task
    async def later() -> str:
        return "ran"

    late = await mf.start(later.sign().options(delay=600))
    # When something is stored from the app's loop that is due soon
    soon = await mf.start(later.sign().options(delay=0.05))
    # Then it runs soon
    assert await soon.result(timeout=10) == "ran"
    assert await late.cancel()


# --- processes that die ---------------------------------------------------------------------------


async def test_what_a_lost_process_ran_runs_again_in_another(
    make_process: Any, eventually: Eventually
) -> None:
    # Given two processes, and a body that does not end in the first one
    first: Mageflow = await make_process(lease=LEASE, shutdown_grace=0)
    began = asyncio.Event()

    async def here() -> str:
        began.set()
        return await asyncio.Future()

    async def there() -> str:
        return "elsewhere"

    first.task(name="work")(here)
    run = await first.start("work")
    await began.wait()
    second: Mageflow = await make_process(lease=LEASE)
    second.task(name="work")(there)
    # When the first one says nothing any more, and takes no jobs
    site_of(first).upkeep._stop()
    site_of(first).dispatcher.withdraw("asyncio")
    # Then the second one has it
    loaded = await second.load(run.key)
    assert await loaded.result(timeout=10) == "elsewhere"
    assert (await run.view()).crashes == 1


async def test_a_process_that_was_frozen_says_so_and_stops_what_runs_elsewhere(
    make_process: Any, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a body that runs, and one whose claim is another worker's by now
    mf: Mageflow = await make_process(lease=LEASE)
    world = world_of(mf)
    began, stopped = asyncio.Event(), asyncio.Event()

    @mf.task
    async def work() -> str:
        if began.is_set():
            return "again"
        began.set()
        try:
            return await asyncio.Future()
        finally:
            stopped.set()

    run = await mf.start(work)
    await began.wait()
    with caplog.at_level(logging.WARNING, "mageflow"), world.lock:
        # When the whole process stands still for longer than its lease
        threading.Event().wait(LEASE + 0.1)
    # Then it hears that its leases were lost, stops the body, and tells people why
    await asyncio.wait_for(stopped.wait(), 10)
    assert await run.result(timeout=10) == "again"
    assert "the leases of" in caplog.text
    assert "held the GIL" in caplog.text
    assert "its claim does not hold any more" in caplog.text


# --- what can go wrong in it ----------------------------------------------------------------------


async def test_a_store_that_is_away_at_the_opening_fails_it_and_leaves_nothing(
    make_process: Any, shared_url: str
) -> None:
    mf: Mageflow = await make_process(opened=False)
    other: Mageflow = await make_process(worker=False)

    def away(_: Any) -> None:
        raise StoreUnavailable

    world_of(other).before["renew"] = away
    with pytest.raises(StoreUnavailable):
        await mf.find()
    assert upkeep_threads() == []
    assert len(world_of(other).handles) == 1
    del world_of(other).before["renew"]
    await mf.find()
    await mf.close()


async def test_an_opening_that_is_given_up_leaves_nothing(
    make_process: Any, eventually: Eventually
) -> None:
    # Given a store that takes its time to answer the first renewal
    mf: Mageflow = await make_process(opened=False)
    other: Mageflow = await make_process(worker=False)
    asked, answer = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        asked.set()
        answer.wait(10)

    world_of(other).before["renew"] = slow
    # When somebody gives up on opening the app
    opening = asyncio.create_task(mf.find())
    await eventually(asked.is_set)
    opening.cancel()
    asyncio.get_running_loop().call_later(0.02, answer.set)
    with pytest.raises(asyncio.CancelledError):
        await opening
    # Then no thread is left, and no handle
    assert upkeep_threads() == []
    assert len(world_of(other).handles) == 1


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("a bug")], ids=["away", "bug"])
async def test_a_renewal_that_fails_is_told_of_and_tried_again(
    make_process: Any,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
) -> None:
    mf: Mageflow = await make_process(lease=LEASE)
    world = world_of(mf)

    def fail(_: Any) -> None:
        del world.before["renew"]
        raise error

    with caplog.at_level(logging.WARNING, "mageflow.worker"):
        world.before["renew"] = fail
        await eventually(lambda: "renew" not in world.before)
        infos = len(world.infos)
        await eventually(lambda: len(world.infos) > infos)
    assert "could not renew the leases" in caplog.text


async def test_an_upkeep_that_dies_says_so_and_begins_again(
    make_process: Any,
    eventually: Eventually,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given an upkeep that has a bug, which ends it
    mf: Mageflow = await make_process(lease=LEASE)
    world = world_of(mf)
    whole = Reconciler.on_due
    broken: list[Any] = []

    def on_due(self: Any, time: float) -> None:
        if not broken:
            broken.append(self)
            task = site_of(mf).upkeep._running.task
            task.get_loop().call_soon(task.cancel)  # as by an error that nobody has thought of
        whole(self, time)

    monkeypatch.setattr(Reconciler, "on_due", on_due)

    @mf.task
    async def later() -> str:
        return "ran"

    # When it has died
    with caplog.at_level(logging.CRITICAL, "mageflow.upkeep"):
        run = await mf.start(later.sign().options(delay=0.1))
        # Then the log tells of it, and another one does its work
        assert await run.result(timeout=10) == "ran"
    assert "the upkeep of this process has died; it is started again" in caplog.text
    infos = len(world.infos)
    await eventually(lambda: len(world.infos) > infos)
    assert len(upkeep_threads()) == 1
    assert len(world.handles) == 2


async def test_an_error_at_the_end_of_the_upkeep_comes_out_of_the_close(
    make_process: Any, shared_url: str
) -> None:
    mf: Mageflow = await make_process(opened=False)
    await mf.find()
    world = world_of(mf)
    found: list[Any] = [handle for handle in world.handles if handle.worker]
    (twin,) = found
    whole = twin.close

    async def broken() -> None:
        await whole()
        raise RuntimeError("cannot close")

    twin.close = broken
    with pytest.raises(RuntimeError, match="cannot close"):
        await mf.close()
    assert world.handles == []
    assert upkeep_threads() == []


# --- the end --------------------------------------------------------------------------------------


async def test_closing_ends_the_thread_then_leaves(make_process: Any) -> None:
    mf: Mageflow = await make_process(opened=False, lease=LEASE)
    await mf.find()
    world = world_of(mf)
    alive: list[int] = []
    world.before["leave"] = lambda _: alive.append(len(upkeep_threads()))
    await mf.close()
    assert alive == [0]
    assert world.core.live == {}
    assert world.handles == []


async def test_an_app_is_opened_and_closed_many_times(make_process: Any) -> None:
    mf: Mageflow = await make_process(opened=False)

    @mf.task
    def work() -> int:
        return 1

    for _ in range(10):
        async with mf:
            assert await work.run() == 1
            assert len(upkeep_threads()) == 1
        assert upkeep_threads() == []


def test_the_thread_ends_with_the_loop_of_an_app_that_was_never_closed(shared_url: str) -> None:
    # Given an app whose loop was closed, and nobody has told its upkeep
    mf = Mageflow(store=shared_url, lease=LEASE, warn_unclosed=False)
    left: list[str] = []

    async def nothing() -> None: ...

    async def use() -> Any:
        await mf.find()
        site_of(mf).upkeep.close = nothing
        world = world_of(mf)
        world.before["leave"] = lambda handle: left.append(handle.worker)
        return world, site_of(mf).worker.id

    world, worker = asyncio.run(use())
    # When its lease is to be renewed
    for thread in upkeep_threads():
        thread.join(10)
    # Then the thread leaves in place of the worker, and ends
    assert upkeep_threads() == []
    assert left == ["", worker]
    assert world.core.live == {}
    world.handles.clear()  # the app's own went with its loop
    asyncio.run(mf.close())


def test_an_app_without_a_loop_of_ones_own_has_its_upkeep_too(shared_url: str) -> None:
    mf = Mageflow(store=shared_url)

    @mf.task
    def work() -> int:
        return len(upkeep_threads())

    with mf:
        assert work.run_sync() == 1
        assert world_of(mf).calls["claim", "mageflow-loop"] == 1
        assert world_of(mf).calls["renew", "mageflow-upkeep"] >= 1
    assert upkeep_threads() == []


def test_an_app_that_is_used_in_another_loop_leaves_no_thread_in_the_first(
    shared_url: str,
) -> None:
    mf = Mageflow(store=shared_url, warn_unclosed=False)

    @mf.task
    def work() -> int:
        return 1

    async def once() -> int:
        assert await work.run() == 1
        return len(upkeep_threads())

    for _ in range(2):
        assert asyncio.run(once()) == 1
        assert upkeep_threads() == []
    world = world_of(mf)
    assert world.core.live == {}
    world.handles.clear()  # the app's own went with its loop
    asyncio.run(mf.close())
