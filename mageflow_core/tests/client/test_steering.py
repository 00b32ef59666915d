"""Suspend, resume, interrupt, cancel and retry, at every level, through the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_core import Mageflow, Node, Status, chain, graph, swarm
from mageflow_core.errors import CannotRetry, RunCanceled, RunNotFound, TaskFailed

Until = Callable[..., Awaitable[None]]


class Gate:
    """An async task whose runs begin, wait to be let go, and give their number."""

    def __init__(self, mf: Mageflow) -> None:
        self.began = asyncio.Event()
        self.go = asyncio.Event()
        self.runs = 0
        self.stopped = 0

        @mf.task
        async def gate() -> int:
            self.runs += 1
            self.began.set()
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.stopped += 1
                raise
            return self.runs

        self.task = gate


@pytest.fixture
def gate(mf: Mageflow) -> Gate:
    return Gate(mf)


@pytest.fixture
def step(mf: Mageflow) -> Any:
    @mf.task
    async def step() -> str:
        return "step"

    return step


async def turn() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


# Each level: a signature around the gate and a step behind it, and where the mark is set.
LEVELS = ["root", "container", "task"]


def flow(gate: Gate, step: Any) -> Any:
    return chain(swarm(chain(gate.task, step)), step)


def at(run: Any, level: str) -> Node[Any]:
    node: Node[Any] = {"root": run, "container": run[0], "task": run[0][0]}[level]
    return node


@pytest.mark.parametrize("level", LEVELS)
async def test_what_is_suspended_before_it_begins_waits_for_resume(
    mf: Mageflow, gate: Gate, step: Any, level: str
) -> None:
    # Given a flow that is suspended before it is started
    run = await mf.store(flow(gate, step))
    assert await at(run, level).suspend()
    await run.start()
    await turn()
    # Then nothing below begins
    assert gate.runs == 0
    assert await run[0][0].status() is Status.SUSPENDED
    # Until it is resumed
    gate.go.set()
    assert await at(run, level).resume()
    assert await run.result(timeout=10) == "step"
    assert gate.runs == 1


@pytest.mark.parametrize("level", LEVELS)
async def test_what_runs_goes_on_under_suspend_and_what_follows_waits(
    mf: Mageflow, gate: Gate, step: Any, level: str
) -> None:
    run = await mf.start(flow(gate, step))
    await gate.began.wait()
    assert await at(run, level).suspend()
    gate.go.set()
    await run[0][0][0].wait(timeout=10)
    await turn()
    assert gate.stopped == 0
    assert not (await run[0][0][1].view()).status.ended
    assert await at(run, level).resume()
    assert await run.result(timeout=10) == "step"


@pytest.mark.parametrize("level", LEVELS)
async def test_an_interrupt_stops_what_runs_and_resume_runs_it_again(
    mf: Mageflow, gate: Gate, step: Any, level: str
) -> None:
    run = await mf.start(flow(gate, step))
    await gate.began.wait()
    assert await at(run, level).interrupt()
    await turn()
    assert gate.stopped == 1
    assert await run[0][0][0].status() is Status.INTERRUPTED
    gate.go.set()
    assert await at(run, level).resume()
    assert await run.result(timeout=10) == "step"
    assert gate.runs == 2
    assert (await run[0][0][0].view()).attempt == 1


@pytest.mark.parametrize("level", LEVELS)
async def test_a_cancel_stops_what_runs_and_ends_it(
    mf: Mageflow, gate: Gate, step: Any, level: str
) -> None:
    run = await mf.start(flow(gate, step))
    await gate.began.wait()
    assert await at(run, level).cancel()
    await run.wait(timeout=10)
    assert gate.stopped == 1
    assert await run[0][0][0].status() is Status.CANCELED
    assert await run[0][0][1].status() in (Status.CANCELED, Status.SKIPPED)


async def test_a_canceled_item_leaves_none_and_is_no_failure(mf: Mageflow, gate: Gate) -> None:
    run = await mf.start(swarm(gate.task, gate.task))
    while gate.runs < 2:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    await run[0].cancel()
    gate.go.set()
    assert await run.result(timeout=10) == [None, 2]
    view = await run.view()
    assert (view.done, view.failed, view.canceled) == (1, 0, 1)


async def test_a_canceled_step_cancels_its_chain_and_no_callback_runs(
    mf: Mageflow, gate: Gate, step: Any
) -> None:
    called = False

    @mf.task
    async def call() -> None:
        nonlocal called
        called = True

    run = await mf.start(chain(gate.task, step).on_success(call).on_error(call))
    await gate.began.wait()
    await run[0].cancel()
    with pytest.raises(RunCanceled, match="canceled: it has no result"):
        await run.result(timeout=10)
    await run.settled(timeout=10)
    assert not called
    assert await run[1].status() is not Status.DONE


async def test_a_canceled_run_shows_that_it_is_being_canceled(mf: Mageflow) -> None:
    # Given a body that takes its time to stop
    began, go = asyncio.Event(), asyncio.Event()

    @mf.task
    async def slow() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            await go.wait()

    run = await mf.start(chain(slow))
    await began.wait()
    # When it is canceled
    await run.cancel()
    # Then it is seen so until the body has ended
    assert await run.status() is Status.CANCELING
    go.set()
    assert (await run.wait(timeout=10)).status is Status.CANCELED


async def test_cancel_waits_no_longer_than_its_grace(make_app: Any, clock: Any) -> None:
    mf: Mageflow = await make_app(clock=clock, cancel_grace=60, shutdown_grace=0)
    began, go = asyncio.Event(), asyncio.Event()

    @mf.task
    async def slow() -> str:
        began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await go.wait()
        return "too late"

    run = await mf.start(slow)
    await began.wait()
    await run.cancel()
    clock.advance(61)
    assert (await run.wait(timeout=10)).status is Status.CANCELED
    go.set()
    await turn()
    assert await run.status() is Status.CANCELED


async def test_steering_what_has_ended_changes_nothing_and_says_so(mf: Mageflow, step: Any) -> None:
    run = await mf.start(chain(step))
    await run.wait(timeout=10)
    for verb in ("suspend", "resume", "interrupt", "cancel"):
        assert await getattr(run, verb)() is False
        assert await getattr(run[0], verb)() is False
    assert await run.status() is Status.DONE


async def test_steering_what_is_not_there_is_an_error(mf: Mageflow, step: Any) -> None:
    run = await mf.start(chain(step))
    for verb in ("suspend", "resume", "interrupt", "cancel", "retry"):
        with pytest.raises(RunNotFound):
            await getattr(run[7], verb)()


async def test_marks_at_two_levels_are_removed_one_by_one(
    mf: Mageflow, gate: Gate, step: Any
) -> None:
    run = await mf.store(flow(gate, step))
    gate.go.set()
    await run.suspend()
    await run[0].suspend()
    await run.start()
    await turn()
    await run.resume()
    await turn()
    assert gate.runs == 0
    assert await run[0].status() is Status.SUSPENDED
    await run[0].resume()
    assert await run.result(timeout=10) == "step"


async def test_callbacks_wait_under_suspend_too(mf: Mageflow, gate: Gate) -> None:
    called = asyncio.Event()

    @mf.task
    async def call() -> None:
        called.set()

    run = await mf.start(gate.task.sign().on_success(call))
    await gate.began.wait()
    await run.suspend()
    gate.go.set()
    await run.wait(timeout=10)
    await turn()
    assert not called.is_set()
    await run.resume()
    await run.settled(timeout=10)
    assert called.is_set()


# --- retry ----------------------------------------------------------------------------------------


class Flaky:
    def __init__(self, mf: Mageflow) -> None:
        self.works = False
        self.runs = 0

        @mf.task
        async def flaky() -> str:
            self.runs += 1
            if not self.works:
                raise ValueError("not yet")
            return "works"

        self.task = flaky


@pytest.mark.parametrize("level", ["root", "swarm", "chain", "task"])
async def test_a_retry_at_any_level_runs_again_what_failed_and_what_it_skipped(
    mf: Mageflow, level: str
) -> None:
    # Given a flow that failed deep inside
    flaky = Flaky(mf)
    before: list[int] = []
    after: list[int] = []

    @mf.task
    async def first() -> None:
        before.append(1)

    @mf.task
    async def last() -> str:
        after.append(1)
        return "end"

    run = await mf.start(chain(first, swarm(chain(flaky.task)), last))
    with pytest.raises(Exception, match="not yet"):
        await run.result(timeout=10)
    # When it is retried at some level
    flaky.works = True
    nodes: dict[str, Any] = {
        "root": run, "swarm": run[1], "chain": run[1][0], "task": run[1][0][0],
    }  # fmt: skip
    await nodes[level].retry()
    # Then it comes to its end, and what was done is not done again
    assert await run.result(timeout=10) == "end"
    assert (len(before), flaky.runs, len(after)) == (1, 2, 1)


async def test_a_retry_is_a_new_generation_with_attempts_and_callbacks_of_its_own(
    mf: Mageflow,
) -> None:
    called: list[int] = []
    flaky = Flaky(mf)

    @mf.task
    async def call() -> None:
        called.append(1)

    run = await mf.start(flaky.task.sign().on_error(call))
    await run.settled(timeout=10)
    await run.retry()
    await run.settled(timeout=10)
    view = await run.view()
    assert (view.generation, view.attempt, view.status) == (2, 1, Status.FAILED)
    assert len(called) == 2


async def test_a_canceled_run_can_be_retried(mf: Mageflow, gate: Gate) -> None:
    run = await mf.start(chain(gate.task))
    await gate.began.wait()
    await run.cancel()
    await run.wait(timeout=10)
    gate.go.set()
    await run.retry()
    assert await run.result(timeout=10) == 2


async def test_what_is_done_cannot_be_retried(mf: Mageflow, step: Any) -> None:
    run = await mf.start(chain(step))
    await run.wait(timeout=10)
    with pytest.raises(CannotRetry, match="only what failed or was canceled"):
        await run.retry()


async def test_what_runs_cannot_be_retried(mf: Mageflow, gate: Gate) -> None:
    run = await mf.start(gate.task)
    await gate.began.wait()
    with pytest.raises(CannotRetry, match="it is active"):
        await run.retry()
    gate.go.set()
    await run.wait(timeout=10)


async def test_a_failed_item_of_a_done_swarm_cannot_be_retried(mf: Mageflow, step: Any) -> None:
    flaky = Flaky(mf)
    run = await mf.start(swarm(step, flaky.task))
    await run.wait(timeout=10)
    with pytest.raises(CannotRetry, match="is done, and its result was used"):
        await run[1].retry()


async def test_a_graph_goes_on_after_a_retry(mf: Mageflow, step: Any) -> None:
    flaky = Flaky(mf)
    run = await mf.start(graph({"a": flaky.task, "b": step}, depends_on={"b": ["a"]}))
    with pytest.raises(Exception, match="1 of 2 nodes of the graph failed"):
        await run.result(timeout=10)
    flaky.works = True
    await run["a"].retry()
    assert await run.result(timeout=10) == {"b": "step"}


async def test_a_failed_item_of_a_running_swarm_can_be_retried(mf: Mageflow, gate: Gate) -> None:
    flaky = Flaky(mf)
    run = await mf.start(swarm(gate.task, flaky.task))
    with pytest.raises(TaskFailed, match="not yet"):
        await run[1].result(timeout=10)
    await gate.began.wait()
    flaky.works = True
    await run[1].retry()
    assert await run[1].result(timeout=10) == "works"
    gate.go.set()
    assert await run.result(timeout=10) == [1, "works"]
