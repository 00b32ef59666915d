"""Bodies that are plain functions: threads, timeouts that cannot stop them, interrupts that can."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_core import Cause, Context, Mageflow, Retry, chain, swarm
from mageflow_core.backends import Delivery, Disposal, Job
from mageflow_core.errors import Interrupted, RunCanceled, TaskFailed

Until = Callable[..., Awaitable[None]]
AT_ONCE = Retry(retries=5, delay=0)


class Gate:
    """A sync body that says that it runs, and ends when it is let."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.began = asyncio.Event()
        self.open = threading.Event()
        self.runs = 0
        self.running = 0
        self.most = 0

    def __call__(self) -> int:
        self.runs += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.loop.call_soon_threadsafe(self.began.set)
        assert self.open.wait(30), "nobody opened the gate"
        self.running -= 1
        return self.runs


async def test_a_sync_body_runs_in_a_thread_and_gives_its_result(mf: Mageflow) -> None:
    names: list[str] = []

    @mf.task
    def add(a: int, b: int) -> int:
        names.append(threading.current_thread().name)
        return a + b

    assert await add.run({"a": 1, "b": 2}) == 3
    assert names[0].startswith("mageflow-")


async def test_the_loop_goes_on_while_a_sync_body_runs(mf: Mageflow) -> None:
    gate = Gate()
    mf.task(name="gate")(gate.__call__)

    @mf.task
    async def free() -> str:
        return "ran"

    run = await mf.start("gate")
    await gate.began.wait()
    assert await free.run() == "ran"
    gate.open.set()
    assert await run.result(timeout=10) == 1


async def test_a_plain_function_that_gives_a_coroutine_has_it_awaited(mf: Mageflow) -> None:
    async def later() -> int:
        return 5

    @mf.task
    def disguised() -> Any:
        return later()

    assert await disguised.run() == 5


# --- timeouts --------------------------------------------------------------------------------


async def test_a_sync_body_that_takes_too_long_fails_while_its_thread_runs(mf: Mageflow) -> None:
    # Given a body that cannot be stopped
    gate = Gate()
    mf.task(name="gate", timeout=0.01)(gate.__call__)
    # When its timeout is over
    run = await mf.start("gate")
    with pytest.raises(TaskFailed) as failed:
        await run.result(timeout=10)
    # Then the run has failed although the thread still runs, with the error that async bodies have
    assert gate.running == 1
    error = failed.value.error
    assert error is not None
    assert (error.cause, error.type) == (Cause.TIMEOUT, "TimeoutError")
    assert error.message == "took longer than its timeout of 0.01 s"
    gate.open.set()


async def test_the_slot_is_kept_until_the_thread_returns(make_app: Any, until: Until) -> None:
    # Given one slot, and a body that timed out in it
    mf: Mageflow = await make_app(slots=1)
    gate = Gate()
    mf.task(name="gate", timeout=0.01)(gate.__call__)
    ran = asyncio.Event()

    @mf.task
    async def other() -> None:
        ran.set()

    run = await mf.start("gate")
    await run.wait(timeout=10)
    waiting = await mf.start(other)
    # When nothing else happens
    for _ in range(100):
        await asyncio.sleep(0)
    # Then nothing else runs in that slot, until the thread has returned
    assert not ran.is_set()
    assert await waiting.status() == "queued"
    gate.open.set()
    await waiting.result(timeout=10)


async def test_the_next_attempt_waits_for_the_thread_of_the_last_one(
    mf: Mageflow, has_status: Until
) -> None:
    # Given a body whose first attempt times out and cannot be stopped
    gate = Gate()
    mf.task(name="gate", timeout=0.05, retry=AT_ONCE)(gate.__call__)
    run = await mf.start("gate")
    await has_status(run, "retrying")
    # When some time goes by
    for _ in range(100):
        await asyncio.sleep(0)
    # Then the next attempt has not begun; it does when the first one has returned
    assert gate.runs == 1
    gate.open.set()
    assert await run.result(timeout=10) == 2
    assert gate.most == 1
    assert (await run.view()).attempt == 2


async def test_what_a_timed_out_body_returns_is_refused(mf: Mageflow) -> None:
    gate = Gate()
    mf.task(name="gate", timeout=0.01)(gate.__call__)
    run = await mf.start("gate")
    await run.wait(timeout=10)
    gate.open.set()
    await mf.close()
    assert gate.running == 0


# --- being stopped ---------------------------------------------------------------------------


async def test_a_sync_body_sees_in_its_context_that_it_is_canceled(mf: Mageflow) -> None:
    # Given a body that looks whether it should stop
    began = asyncio.Event()
    loop = asyncio.get_running_loop()
    seen: list[bool] = []

    @mf.task
    def looping(ctx: Context) -> str:
        seen.append(ctx.cancelled())
        loop.call_soon_threadsafe(began.set)
        while not ctx.cancelled():
            pass
        seen.append(ctx.alive_sync())
        raise Interrupted

    run = await mf.start(looping)
    await began.wait()
    # When its run is canceled
    await run.cancel()
    # Then it sees so, and its run is canceled, not failed
    with pytest.raises(RunCanceled):
        await run.result(timeout=10)
    assert seen == [False, False]


async def test_alive_sync_says_so_where_it_would_block_the_loop(mf: Mageflow) -> None:
    @mf.task
    async def wrong(ctx: Context) -> bool:
        return ctx.alive_sync()

    with pytest.raises(TaskFailed, match="InsideEventLoop"):
        await (await wrong.start()).result(timeout=10)


async def test_an_interrupt_raises_in_the_thread_of_a_body_that_asked_for_it(
    mf: Mageflow, has_status: Until
) -> None:
    # Given a body that waits for nothing but an exception
    began = asyncio.Event()
    loop = asyncio.get_running_loop()
    cleaned = threading.Event()
    runs: list[int] = []

    @mf.task(interrupt="raise")
    def busy() -> str:
        runs.append(threading.get_ident())
        if len(runs) > 1:
            return "second"
        try:
            loop.call_soon_threadsafe(began.set)
            while True:
                pass
        finally:
            cleaned.set()

    run = await mf.start(chain(busy))
    await began.wait()
    # When it is interrupted
    await run[0].interrupt()
    # Then its cleanup runs, and it runs again after resume, the attempt not counted
    await has_status(run[0], "interrupted")
    await asyncio.to_thread(cleaned.wait, 10)
    await run[0].resume()
    assert await run.result(timeout=10) == "second"
    assert (await run[0].view()).attempt == 1


async def test_a_timeout_raises_in_the_thread_and_the_next_attempt_follows(mf: Mageflow) -> None:
    runs = 0

    @mf.task(interrupt="raise", timeout=0.05, retry=AT_ONCE)
    def busy() -> int:
        nonlocal runs
        runs += 1
        while runs < 2:
            pass
        return runs

    assert await (await busy.start()).result(timeout=10) == 2


async def test_the_exception_reaches_only_the_body_that_is_meant(mf: Mageflow) -> None:
    # Given two bodies side by side that both can be interrupted
    loop = asyncio.get_running_loop()
    began = {name: asyncio.Event() for name in ("one", "two")}
    stop = threading.Event()

    def busy(name: str) -> str:
        loop.call_soon_threadsafe(began[name].set)
        while not stop.is_set():
            pass
        return name

    mf.task(name="busy", interrupt="raise")(busy)
    one = await mf.start("busy", {"name": "one"})
    two = await mf.start("busy", {"name": "two"})
    await began["one"].wait()
    await began["two"].wait()
    # When one of them is canceled
    await one.cancel()
    # Then only that one is stopped
    with pytest.raises(RunCanceled):
        await one.result(timeout=10)
    stop.set()
    assert await two.result(timeout=10) == "two"


async def test_a_body_that_answers_the_exception_with_a_result_has_that_result(
    mf: Mageflow,
) -> None:
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    @mf.task(interrupt="raise")
    def stubborn() -> str:
        try:
            loop.call_soon_threadsafe(began.set)
            while True:
                pass
        except Interrupted:
            return "kept"

    run = await mf.start(stubborn)
    await began.wait()
    await run.interrupt()
    assert await run.result(timeout=10) == "kept"


async def test_a_body_that_raises_the_interrupt_by_itself_fails(mf: Mageflow) -> None:
    @mf.task
    def odd() -> None:
        raise Interrupted("by myself")

    with pytest.raises(TaskFailed, match="Interrupted: by myself"):
        await (await odd.start()).result(timeout=10)


async def test_thousands_of_fast_bodies_survive_interrupts_that_come_at_any_time(
    make_app: Any,
) -> None:
    # Given many fast bodies on few threads, each to be interrupted at a time that nobody chose
    mf: Mageflow = await make_app(threads=4, slots=8)
    ended: list[int] = []

    @mf.task(interrupt="raise")
    def fast(n: int) -> int:
        ended.append(n)
        return n

    runs = [await mf.start(fast, {"n": n}) for n in range(1_500)]
    site: Any = mf._site
    # When every turn of the loop interrupts whatever runs
    interrupts = 0
    while not all([(await run.view()).status.ended for run in runs[-1:]]) or len(ended) < 1_500:
        for body in list(site.runner.bodies.values()):
            call = body._call
            if call is not None:
                call.interrupt()
                interrupts += 1
        await asyncio.sleep(0)
    # Then each run has its own result or was put back, no thread has died, no other body was hit
    for n, run in enumerate(runs):
        view = await run.wait(timeout=10)
        if view.error is None:
            assert await run.result() == n
        else:  # a bare interrupt, which no mark of ours explains
            assert view.error.type == "mageflow_core.errors.Interrupted"
    assert interrupts
    assert all(thread.is_alive() for thread in site.threads._threads)
    assert len(site.threads._threads) <= 4
    assert await fast.run({"n": -1}) == -1


# --- bodies that mean to end more than themselves ----------------------------------------------


@pytest.mark.parametrize(
    "ending",
    [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError("by itself")],
)
async def test_a_body_that_wants_to_end_the_process_fails_instead(
    mf: Mageflow, ending: BaseException
) -> None:
    @mf.task
    def leave() -> None:
        raise ending

    @mf.task
    def stay() -> str:
        return "here"

    with pytest.raises(TaskFailed, match=type(ending).__name__):
        await (await leave.start()).result(timeout=10)
    assert await stay.run() == "here"


async def test_a_body_that_calls_sys_exit_fails(mf: Mageflow) -> None:
    @mf.task
    def leave() -> None:
        sys.exit("enough")

    with pytest.raises(TaskFailed, match="SystemExit: enough"):
        await (await leave.start()).result(timeout=10)


async def test_a_body_that_raises_stop_iteration_fails(mf: Mageflow) -> None:
    @mf.task
    def exhausted() -> int:
        return next(iter(()))

    with pytest.raises(TaskFailed, match="StopIteration"):
        await (await exhausted.start()).result(timeout=10)


# --- threads ---------------------------------------------------------------------------------


async def test_more_bodies_than_threads_wait_without_being_claimed(make_app: Any) -> None:
    # Given one thread that is taken
    mf: Mageflow = await make_app(threads=1)
    gate = Gate()
    mf.task(name="gate")(gate.__call__)
    first = await mf.start("gate")
    await gate.began.wait()
    # When another body is due
    second = await mf.start("gate")
    for _ in range(100):
        await asyncio.sleep(0)
    # Then it has not begun: it can be steered, and its timeout does not run
    assert await second.status() == "queued"
    gate.open.set()
    assert await first.result(timeout=10) == 1
    assert await second.result(timeout=10) == 2
    assert gate.most == 1


async def test_what_waits_for_a_thread_holds_one_slot_however_often_it_is_sent_again(
    make_app: Any, eventually: Until
) -> None:
    # Given one thread that is taken, and a body that waits for it
    mf: Mageflow = await make_app(threads=1, slots=3)
    gate = Gate()
    mf.task(name="gate")(gate.__call__)

    @mf.task
    async def free() -> str:
        return "ran"

    first = await mf.start("gate")
    await gate.began.wait()
    second = await mf.start("gate")
    site: Any = mf._site
    await eventually(lambda: len(site.runner.bodies) == 2)
    # When it is sent again and again
    job = Job(second.key, 1, 1, "gate", "", None, None)
    for send in range(2, 6):
        handled = await site.runner.run(Delivery(job=job._replace(send=send)))
        # Then each of these is over at once, and slots are left for others
        assert handled.disposal is Disposal.SKIPPED
    await site.backends["asyncio"].submit_many([job._replace(send=send) for send in range(6, 10)])
    assert await free.run() == "ran"
    # And it runs, once
    gate.open.set()
    assert [await run.result(timeout=10) for run in (first, second)] == [1, 2]
    assert gate.runs == 2


async def test_a_body_that_waits_for_a_thread_uses_up_none_of_its_timeout(make_app: Any) -> None:
    # Given one thread, taken by a body without a timeout
    mf: Mageflow = await make_app(threads=1)
    gate = Gate()
    mf.task(name="gate")(gate.__call__)

    @mf.task(timeout=0.02)
    def quick() -> str:
        return "in time"

    await mf.start("gate")
    await gate.began.wait()
    # When one with a timeout waits for longer than that
    waiting = await mf.start(quick)
    asyncio.get_running_loop().call_later(0.06, gate.open.set)
    # Then it runs all the same
    assert await waiting.result(timeout=10) == "in time"


async def test_a_body_canceled_while_it_waits_for_a_thread_never_runs(make_app: Any) -> None:
    mf: Mageflow = await make_app(threads=1)
    gate = Gate()
    ran = threading.Event()
    mf.task(name="gate")(gate.__call__)
    mf.task(name="quick")(ran.set)
    first = await mf.start("gate")
    await gate.began.wait()
    waiting = await mf.start("quick")
    for _ in range(10):
        await asyncio.sleep(0)
    await waiting.cancel()
    gate.open.set()
    await first.result(timeout=10)
    with pytest.raises(RunCanceled):
        await waiting.result(timeout=10)
    await mf.close()
    assert not ran.is_set()


async def test_sync_bodies_see_the_context_variables_of_no_other(mf: Mageflow) -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="unset")

    @mf.task
    def change() -> str:
        before = mine.get()
        mine.set("changed")
        return before

    assert await (await mf.start(swarm([change] * 20))).result(timeout=10) == ["unset"] * 20


async def test_a_sync_body_can_use_the_sync_twins_of_an_app_that_is_open_elsewhere(
    mf: Mageflow,
) -> None:
    @mf.task
    def leaf(n: int) -> int:
        return n + 1

    @mf.task
    def root() -> str:
        return leaf.start_sync({"n": 1}).key

    key = await root.run()
    assert await (await mf.load(key)).result(timeout=10) == 2
