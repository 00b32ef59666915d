"""Time stands still until it may go on."""

import asyncio
import time

import pytest

from mageflow.testing import TestApp, VirtualClock
from mageflow_core import Retry, Status, chain, swarm
from mageflow_core.errors import DeadlineExceeded, RunEnded, RunNotFound, WaitTimeout

HOUR = 3600.0
HOURLY = Retry(retries=3, delay=HOUR, factor=1, max_delay=HOUR, jitter=0)


async def echo(x: int) -> int:
    return x


async def test_a_delay_of_an_hour_passes_at_once(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began, real = mageflow_app.clock.now(), time.monotonic()

    result = await task.sign().options(delay=HOUR).run({"x": 3}, timeout=5)

    assert result == 3
    assert mageflow_app.clock.now() == began + HOUR
    assert time.monotonic() - real < 4


async def test_back_off_takes_its_time_by_the_clock(mageflow_app: TestApp) -> None:
    @mageflow_app.task(retry=HOURLY)
    async def flaky(x: int) -> int:
        raise ValueError("again")

    began = mageflow_app.clock.now()

    with pytest.raises(RunEnded):
        await (await flaky.start({"x": 1})).result(timeout=5)

    assert [each.at - began for each in mageflow_app.attempts] == [0, HOUR, 2 * HOUR, 3 * HOUR]


async def test_back_off_of_a_body_in_a_thread_takes_its_time_too(mageflow_app: TestApp) -> None:
    @mageflow_app.task(retry=HOURLY)
    def flaky(x: int) -> int:
        raise ValueError("again")

    began = mageflow_app.clock.now()

    with pytest.raises(RunEnded):
        await (await flaky.start({"x": 1})).result(timeout=5)

    assert mageflow_app.clock.now() == began + 3 * HOUR


async def test_time_stands_still_while_nobody_waits(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()

    run = await task.sign().options(delay=HOUR).start({"x": 3})
    for _ in range(1_000):
        await asyncio.sleep(0)
    await mageflow_app.idle()

    assert mageflow_app.clock.now() == began
    assert await run.status() is Status.QUEUED
    assert mageflow_app.attempts == []


async def test_time_stands_still_while_a_body_runs(mageflow_app: TestApp) -> None:
    gate = asyncio.Event()
    task = mageflow_app.task(echo)

    @mageflow_app.task
    async def slow() -> None:
        await gate.wait()

    began = mageflow_app.clock.now()
    await slow.start()
    delayed = await task.sign().options(delay=HOUR).start({"x": 3})

    with pytest.raises(WaitTimeout):
        await delayed.result(timeout=0.05)
    assert mageflow_app.clock.now() == began

    gate.set()
    assert await delayed.result(timeout=5) == 3
    assert mageflow_app.clock.now() == began + HOUR


async def test_the_clock_does_not_spin_while_a_body_runs(mageflow_app: TestApp) -> None:
    gate = asyncio.Event()

    @mageflow_app.task
    async def slow(x: int) -> int:
        await gate.wait()
        return x

    delayed = await slow.sign().options(delay=HOUR).start({"x": 1})
    run = await slow.start({"x": 2})
    waiting = asyncio.create_task(run.result(timeout=5))
    turns = 0
    loop = asyncio.get_running_loop()
    real = loop._run_once  # type: ignore[attr-defined] # how often the loop turns is the question

    def counted() -> None:
        nonlocal turns
        turns += 1
        real()

    loop._run_once = counted  # type: ignore[attr-defined]
    done = asyncio.Event()
    loop.call_later(0.1, done.set)
    await done.wait()
    loop._run_once = real  # type: ignore[attr-defined]
    gate.set()

    assert await waiting == 2
    assert turns < 100
    assert await delayed.result(timeout=5) == 1


async def test_who_has_been_woken_acts_before_time_goes_on(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    first = await task.start({"x": 1})
    later = await task.sign().options(delay=HOUR).start({"x": 2})

    async def cancel_the_other() -> None:
        await first.result(timeout=5)
        await asyncio.sleep(0)
        await later.cancel()

    async with asyncio.TaskGroup() as group:
        group.create_task(cancel_the_other())
        ended = group.create_task(later.wait(timeout=5))

    assert ended.result().status is Status.CANCELED
    assert mageflow_app.clock.now() == began


async def test_a_deadline_passes_at_its_time(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()

    run = await task.sign().options(delay=2 * HOUR, deadline=HOUR).start({"x": 3})
    with pytest.raises(DeadlineExceeded):
        await run.result(timeout=5)

    assert mageflow_app.clock.now() == began + HOUR
    mageflow_app.assert_not_ran(task)


async def test_an_idle_open_swarm_closes_at_its_time(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()

    result = await swarm([task], open=True, idle_timeout=HOUR).run({"x": 3}, timeout=5)

    assert result == [3]
    assert mageflow_app.clock.now() == began + HOUR


async def test_a_run_is_gone_when_its_ttl_has_passed(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    run = await task.sign().options(ttl=HOUR).start({"x": 3})
    await run.result(timeout=5)

    await mageflow_app.advance(HOUR - 1)
    assert await run.result(timeout=5) == 3
    await mageflow_app.advance(1)

    with pytest.raises(RunNotFound):
        await run.status()


# --- advance ---------------------------------------------------------------------------------
async def test_advance_fires_what_becomes_due_in_order(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    for delay in (30, 10, 20):
        await task.sign().options(delay=delay).start({"x": delay})

    await mageflow_app.advance(20)

    ran = [(each.at - began, each.input) for each in mageflow_app.attempts]
    assert ran == [(10, {"x": 10}), (20, {"x": 20})]
    assert mageflow_app.clock.now() == began + 20


async def test_advance_does_what_follows_from_what_it_fires(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    step = task.sign().options(delay=10)

    await chain(step, step, step).start({"x": 1})
    await mageflow_app.advance(25)

    assert [each.at - began for each in mageflow_app.attempts] == [10, 20]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_advance_waits_for_the_bodies_that_begin_meanwhile(
    mageflow_app: TestApp, in_thread: bool
) -> None:
    async def fail() -> None:
        raise ValueError("again")

    def fail_in_thread() -> None:
        raise ValueError("again")

    task = mageflow_app.task(name="fail", retry=HOURLY)(fail_in_thread if in_thread else fail)
    began = mageflow_app.clock.now()

    await task.start()
    await mageflow_app.advance(10 * HOUR)

    assert [each.at - began for each in mageflow_app.attempts] == [0, HOUR, 2 * HOUR, 3 * HOUR]
    assert {each.outcome for each in mageflow_app.attempts} == {"failed"}


async def test_advance_goes_on_beside_a_body_that_ran_before(mageflow_app: TestApp) -> None:
    began, gate = asyncio.Event(), asyncio.Event()

    @mageflow_app.task
    async def slow() -> str:
        began.set()
        await gate.wait()
        return "late"

    task = mageflow_app.task(echo)
    run = await slow.start()
    await began.wait()
    real = time.monotonic()
    await task.sign().options(delay=HOUR).start({"x": 3})

    await mageflow_app.advance(HOUR, patience=60)

    assert time.monotonic() - real < 30
    mageflow_app.assert_ran(task, outcome="done", x=3)
    gate.set()
    assert await run.result(timeout=5) == "late"


async def test_advance_loses_patience_with_a_body_that_takes_long(mageflow_app: TestApp) -> None:
    gate = asyncio.Event()

    @mageflow_app.task
    async def slow() -> str:
        await gate.wait()
        return "late"

    began = mageflow_app.clock.now()
    run = await slow.sign().options(delay=10).start()

    await mageflow_app.advance(HOUR, patience=0.01)

    assert mageflow_app.clock.now() == began + HOUR
    assert await run.status() is Status.ACTIVE
    gate.set()
    assert await run.result(timeout=5) == "late"


async def test_a_deadline_ends_a_run_whose_body_still_runs(mageflow_app: TestApp) -> None:
    began = asyncio.Event()
    stopped = asyncio.Event()

    @mageflow_app.task
    async def slow() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    run = await slow.sign().options(deadline=HOUR).start()
    await began.wait()
    await mageflow_app.advance(HOUR)

    await stopped.wait()
    with pytest.raises(DeadlineExceeded):
        await run.result(timeout=5)


async def test_time_goes_by_itself_again_after_advance(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    run = await task.sign().options(delay=HOUR).start({"x": 3})

    await mageflow_app.advance(10)
    assert await run.result(timeout=5) == 3

    assert mageflow_app.clock.now() == began + HOUR


async def test_advance_goes_no_further_although_somebody_waits(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    run = await task.sign().options(delay=2 * HOUR).start({"x": 3})
    waiting = asyncio.create_task(run.result(timeout=5))

    await mageflow_app.advance(HOUR)

    assert mageflow_app.clock.now() == began + HOUR
    assert await waiting == 3
    assert mageflow_app.clock.now() == began + 2 * HOUR


async def test_a_job_on_its_way_holds_the_clock(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    delayed = await task.sign().options(delay=HOUR).start({"x": 1})
    many = await swarm([task.sign(x=n) for n in range(500)], max_concurrency=None).start()

    async with asyncio.TaskGroup() as group:
        group.create_task(delayed.wait(timeout=20))
        group.create_task(many.wait(timeout=20))

    times = {each.at - began for each in mageflow_app.attempts if each.input != {"x": 1}}
    assert times == {0.0}


async def test_a_nearer_timer_that_comes_in_time_is_not_jumped_over(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    far = await task.sign().options(delay=2 * HOUR).start({"x": 1})
    waiting = asyncio.create_task(far.wait(timeout=5))
    for _ in range(4):  # the clock is about to jump
        await asyncio.sleep(0)
    await task.sign().options(delay=HOUR).start({"x": 2})

    await waiting

    ran = [(each.at - began, each.input) for each in mageflow_app.attempts]
    assert ran == [(HOUR, {"x": 2}), (2 * HOUR, {"x": 1})]


async def test_advance_by_nothing_does_what_is_due_now(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    await task.start({"x": 3})

    await mageflow_app.advance(0)

    mageflow_app.assert_ran(task, times=1, outcome="done")


@pytest.mark.parametrize("seconds", [-1, float("nan")])
async def test_time_does_not_go_back(seconds: float) -> None:
    with pytest.raises(ValueError, match="does not go back"):
        await VirtualClock().advance(seconds)


async def test_a_clock_of_no_app_is_simply_moved() -> None:
    clock = VirtualClock(start=100.0)

    await clock.advance(5)

    assert clock.now() == 105.0


def test_time_goes_by_for_those_who_wait_in_sync_code(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()

    run = mageflow_app.start_sync(task.sign().options(delay=HOUR), {"x": 3})
    assert mageflow_app.clock.now() == began
    assert run.result_sync(timeout=5) == 3

    assert mageflow_app.clock.now() == began + HOUR


def test_sync_code_can_advance_the_clock(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    run = mageflow_app.start_sync(task.sign().options(delay=HOUR), {"x": 3})

    mageflow_app.advance_sync(HOUR - 1)
    assert run.status_sync() is Status.QUEUED
    mageflow_app.advance_sync(1)

    assert run.status_sync() is Status.DONE


async def test_many_timers_fire_each_at_its_time(mageflow_app: TestApp) -> None:
    task = mageflow_app.task(echo)
    began = mageflow_app.clock.now()
    items = [task.sign(x=delay).options(delay=delay) for delay in range(1, 201)]

    await swarm(items, max_concurrency=None).run(timeout=20)

    assert [each.at - began for each in mageflow_app.attempts] == [float(n) for n in range(1, 201)]
