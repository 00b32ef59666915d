"""Workers that die, and jobs that come twice."""

import asyncio
import contextlib
import gc

import pytest

from mageflow.testing import TestApp, embedded
from mageflow_core import Context, Retry, Status, chain
from mageflow_core.errors import RunEnded, UnknownTask, WorkerLost


class Ledger(list[str]):
    """What bodies have done to the world."""


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def app(mageflow_app: TestApp, ledger: Ledger) -> TestApp:
    """An app whose task `pay` writes down how far it came."""

    @mageflow_app.task
    async def pay(amount: int, ctx: Context) -> int:
        ledger.append(f"begun {ctx.attempt}.{ctx.fence}")
        try:
            await asyncio.sleep(0)
            ledger.append("paid")
        finally:
            ledger.append("cleaned up")
        return amount

    @mageflow_app.task
    async def at_once(amount: int) -> int:
        ledger.append("paid")
        return amount

    @mageflow_app.task
    def in_thread(amount: int) -> int:
        ledger.append("paid")
        return amount

    return mageflow_app


def outcomes(app: TestApp) -> list[str]:
    return [each.outcome for each in app.attempts]


# --- crashes ---------------------------------------------------------------------------------
async def test_a_worker_that_dies_before_the_body_has_done_nothing(
    app: TestApp, ledger: Ledger
) -> None:
    app.crash("pay", at="before")

    run = await app.start("pay", {"amount": 3})

    assert await run.result(timeout=5) == 3
    assert ledger == ["begun 1.2", "paid", "cleaned up"]
    assert outcomes(app) == ["crashed", "done"]


async def test_a_worker_that_dies_during_the_body_leaves_it_half_done(
    app: TestApp, ledger: Ledger
) -> None:
    app.crash("pay", at="during")

    run = await app.start("pay", {"amount": 3})

    assert await run.result(timeout=5) == 3
    assert ledger == ["begun 1.1", "begun 1.2", "paid", "cleaned up"]


async def test_a_worker_that_dies_after_the_body_has_it_done_twice(
    app: TestApp, ledger: Ledger
) -> None:
    app.crash("pay", at="after")

    run = await app.start("pay", {"amount": 3})

    assert await run.result(timeout=5) == 3
    assert ledger.count("paid") == 2
    assert outcomes(app) == ["crashed", "done"]


async def test_a_body_that_suspends_nowhere_has_ended_when_its_worker_dies(
    app: TestApp, ledger: Ledger
) -> None:
    app.crash("at_once", at="during")

    run = await app.start("at_once", {"amount": 3})

    assert await run.result(timeout=5) == 3
    assert ledger == ["paid", "paid"]


@pytest.mark.parametrize(("at", "paid"), [("before", 1), ("after", 2)])
async def test_workers_die_around_bodies_in_threads(
    app: TestApp, ledger: Ledger, at: str, paid: int
) -> None:
    app.crash("in_thread", at=at)  # type: ignore[arg-type] # a parametrized literal

    run = await app.start("in_thread", {"amount": 3})

    assert await run.result(timeout=5) == 3
    assert ledger == ["paid"] * paid
    assert outcomes(app) == ["crashed", "done"]


async def test_a_body_in_a_thread_cannot_die_half_way(app: TestApp) -> None:
    with pytest.raises(ValueError, match=r"'in_thread'.*not async.*at='before' or at='after'"):
        app.crash("in_thread", at="during")


async def test_the_attempt_counts_on_only_for_failures_and_the_fence_for_all(app: TestApp) -> None:
    app.crash("pay", at="after", times=2)

    await (await app.start("pay", {"amount": 3})).result(timeout=5)

    assert [(each.attempt, each.fence) for each in app.attempts] == [(1, 1), (1, 2), (1, 3)]


async def test_what_has_crashed_runs_again_later_each_time(app: TestApp) -> None:
    began = app.clock.now()
    app.crash("at_once", at="before", times=3)

    await (await app.start("at_once", {"amount": 3})).result(timeout=5)

    first, second, third, fourth = [each.at - began for each in app.attempts]
    assert first == 0
    assert second < 10
    assert 10 <= third - second <= 60
    assert 100 <= fourth - third <= 600


@pytest.mark.mageflow(max_crashes=1)
async def test_a_task_that_always_kills_its_worker_fails(app: TestApp) -> None:
    app.crash("pay", at="during", times=2)

    run = await app.start("pay", {"amount": 3})

    with pytest.raises(WorkerLost):
        await run.result(timeout=5)
    assert (await run.view()).crashes == 2


async def test_a_crash_uses_up_no_retry(app: TestApp) -> None:
    failed: list[int] = []

    @app.task(retry=Retry(retries=1, delay=0))
    async def flaky() -> str:
        failed.append(1)
        if len(failed) < 3:
            raise ValueError("no")
        return "at last"

    app.crash(flaky, at="after")

    assert await flaky.run() == "at last"
    assert [each.attempt for each in app.attempts] == [1, 1, 2]


async def test_an_interrupted_flow_goes_on_with_the_step_that_crashed(app: TestApp) -> None:
    app.crash("at_once", at="after")

    flow = chain("pay", "at_once")
    result = await app.start(flow, {"amount": 3})

    assert await result.result(timeout=5) == 3
    assert [each.task for each in app.attempts] == ["pay", "at_once", "at_once"]


async def test_nothing_of_a_dead_body_goes_on_before_the_app_closes() -> None:
    done: list[str] = []
    gate = asyncio.Event()
    with contextlib.ExitStack() as stack:
        app = stack.enter_context(embedded())

        @app.task
        async def wait() -> None:
            try:
                async with asyncio.timeout(60):
                    await gate.wait()
                done.append("passed")
            except asyncio.CancelledError:
                done.append("canceled")
                raise
            finally:
                await asyncio.sleep(0)
                done.append("cleaned up")

        app.crash(wait, at="during")
        app.replace(wait, [wait.fn, None])
        async with app:
            await wait.run()
            gate.set()
            for _ in range(10):
                await asyncio.sleep(0)
            assert done == []
        assert done == ["canceled", "cleaned up"]


def test_dead_bodies_end_with_their_loop() -> None:
    done: list[str] = []

    async def main(app: TestApp) -> None:
        @app.task
        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                done.append("cleaned up")

        app.crash(wait, at="during")
        app.replace(wait, [wait.fn, None])
        await wait.run()
        assert done == []

    with embedded() as app:
        asyncio.run(main(app))
    gc.collect()

    assert done == ["cleaned up"]


async def test_a_dead_body_may_hold_a_task_group(app: TestApp, ledger: Ledger) -> None:
    @app.task
    async def fan_out() -> str:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
            await asyncio.Event().wait()
        return "never"

    app.crash(fan_out, at="during")
    app.replace(fan_out, [fan_out.fn, "again"])

    assert await fan_out.run() == "again"
    await app.close()


# --- duplicates ------------------------------------------------------------------------------
@pytest.mark.parametrize("task", ["pay", "at_once", "in_thread"])
async def test_a_job_that_comes_three_times_is_done_once(
    app: TestApp, ledger: Ledger, task: str
) -> None:
    with app.duplicate(task) as fault:
        run = await app.start(task, {"amount": 3})
        assert await run.result(timeout=5) == 3
        await app.idle()

    assert fault.happened == 1
    assert ledger.count("paid") == 1
    assert outcomes(app) == ["done"]


async def test_duplicates_reach_the_claim_of_another_worker(app: TestApp) -> None:
    verdicts: list[str] = []
    store = await app.opened()
    real = store.claim

    async def claim(*asked: object) -> object:
        claimed = await real(*asked)  # type: ignore[arg-type] # handed on as it came
        verdicts.append(claimed.verdict)
        return claimed

    store.claim = claim  # type: ignore[method-assign, assignment] # an observer
    app.duplicate("pay")

    await (await app.start("pay", {"amount": 3})).result(timeout=5)
    await app.idle()

    assert verdicts == ["run", "skip", "skip"]


async def test_a_duplicated_body_can_be_canceled(app: TestApp) -> None:
    began = asyncio.Event()

    @app.task
    async def endless() -> None:
        began.set()
        await asyncio.Event().wait()

    app.duplicate(endless)
    run = await endless.start()
    await began.wait()
    await run.cancel()

    assert (await run.wait(timeout=5)).status is Status.CANCELED


# --- arming ----------------------------------------------------------------------------------
async def test_a_fault_happens_as_often_as_it_is_said(app: TestApp) -> None:
    fault = app.crash("at_once", at="before", times=2)

    for _ in range(3):
        await (await app.start("at_once", {"amount": 3})).result(timeout=5)

    assert fault.happened == 2
    assert outcomes(app).count("crashed") == 2


async def test_a_fault_is_over_with_its_block(app: TestApp) -> None:
    with app.crash("at_once", at="before"):
        await (await app.start("at_once", {"amount": 3})).result(timeout=5)
    await (await app.start("at_once", {"amount": 3})).result(timeout=5)

    assert outcomes(app) == ["crashed", "done", "done"]


async def test_a_block_whose_fault_did_not_happen_fails(app: TestApp) -> None:
    with (
        pytest.raises(AssertionError, match=r"crash\('pay', at='after'\) happened 0 of 1 times"),
        app.crash("pay", at="after"),
    ):
        await app.idle()


async def test_an_error_in_the_block_is_not_hidden(app: TestApp) -> None:
    with pytest.raises(KeyError, match="mine"), app.duplicate("pay"):
        raise KeyError("mine")


async def test_faults_are_for_their_own_task_only(app: TestApp) -> None:
    with pytest.raises(AssertionError, match="happened 0 of 1"), app.crash("pay", at="before"):
        await (await app.start("at_once", {"amount": 3})).result(timeout=5)

    assert outcomes(app) == ["done"]


def test_what_cannot_happen_is_refused(app: TestApp) -> None:
    with pytest.raises(UnknownTask, match="did you mean 'pay'"):
        app.crash("payy", at="before")
    with pytest.raises(ValueError, match="before, during or after"):
        app.crash("pay", at="later")  # type: ignore[arg-type] # what is tested
    with pytest.raises(ValueError, match="at least 1"):
        app.duplicate("pay", times=0)


async def test_a_run_that_is_canceled_while_it_crashes_ends(app: TestApp) -> None:
    @app.task
    async def cancels_itself(ctx: Context) -> None:
        await (await app.load(ctx.run_id)).cancel()

    app.crash(cancels_itself, at="after")
    run = await cancels_itself.start()

    with pytest.raises(RunEnded):
        await run.result(timeout=5)
    assert await run.status() is Status.CANCELED
