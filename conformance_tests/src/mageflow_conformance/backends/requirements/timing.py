"""B-TIME: delays, retries, timeouts, deadlines, and how long a run can be read."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage, process_of
from mageflow_conformance.backends.steering import LONG, begun, bodies, go, other_work
from mageflow_conformance.flows import call
from mageflow_conformance.ledger import Row
from mageflow_conformance.processes import Process
from mageflow_conformance.waiting import eventually, scaled
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, LOST, STOPPED
from mageflow_core import Cause, Retry, Run, Status, chain, swarm
from mageflow_core.clock import SystemClock
from mageflow_core.errors import DeadlineExceeded, RunNotFound, TaskFailed

ROUNDED = 0.005  # seconds: times are kept in thousandths of them
WRONG = 300.0  # seconds by which a clock may be wrong
LATE = 10.0  # seconds; after 15 of them other workers look for what nobody has seen to
TTL = 0.5  # seconds
DEADLINE = 3.0  # seconds: bodies have begun by then, and one of the runs was suspended


# --- delays ---------------------------------------------------------------------------------------
@requirement(
    "B-TIME-01",
    "What is delayed does not begin before its time, whatever the engine makes of delays, and one "
    "of a shorter delay that was started later begins first.",
)
async def delays(stage: Stage) -> None:
    await stage.worker()
    started = {}
    for delay in (1.6, 0.4):
        started[delay] = time.monotonic(), await stage.mf.start(call("step").options(delay=delay))
    assert await started[1.6][1].status() is Status.QUEUED
    for _, run in started.values():
        await stage.kept(run)
    for delay, (at, run) in started.items():
        waited(stage, f"{delay:g} s", at + delay, first(stage, run))
    assert first(stage, started[0.4][1]).t < first(stage, started[1.6][1]).t


@requirement(
    "B-TIME-02",
    "A step, an item or a container that has a delay waits for it from when its turn has come.",
)
async def delays_inside(stage: Stage) -> None:
    await stage.worker()
    late = {"delay": 0.3}
    inner = swarm([call("step").options(**late), call("work")]).options(**late)
    run = await stage.mf.start(chain(call("step"), call("step").options(**late), inner), {"n": 0})
    assert await run.result(timeout=LONG) == [{"n": 3}, {"n": 3}]
    await stage.kept(run)
    ended = {row.key: row.t for row in stage.ledger.of(ENDED, below=run.id)}
    waited(stage, "step", ended[run[0].key] + 0.3, first(stage, run[1]))
    waited(stage, "container", ended[run[1].key] + 0.3, first(stage, run[2][1]))
    waited(stage, "item", ended[run[1].key] + 0.6, first(stage, run[2][0]))


@requirement(
    "B-TIME-03",
    "What has a time to begin at, given as eta, does not begin before; one whose time is over "
    "begins at once.",
)
async def etas(stage: Stage) -> None:
    await stage.worker()
    late = datetime.now(UTC) + timedelta(seconds=0.8)
    at = late.timestamp() - time.time() + time.monotonic()
    run = await stage.mf.start(call("step").options(eta=late))
    past = await stage.mf.start(call("step").options(eta=late - timedelta(days=2)))
    for each in (past, run):
        await stage.kept(each)
    waited(stage, "eta", at, first(stage, run))
    assert first(stage, past).t < first(stage, run).t


@requirement(
    "B-TIME-04",
    "What waits for its time is not lost when the only worker is killed: one that comes later runs "
    "it, not before its time, and what was due meanwhile at once.",
    settings={"lease": 2.0},
)
async def delays_survive(stage: Stage) -> None:
    worker = await stage.worker()
    retried = await stage.mf.start(call("stagger"))
    await stage.ledger.has(FAILED, below=retried.id, within=LONG)
    await eventually(lambda: is_retrying(retried), within=LONG, about="its next attempt")
    # Last, as how long an engine takes with what is above is not known: the kill comes first.
    began = time.monotonic()
    later = await stage.mf.start(call("step").options(delay=3.0))
    soon = await stage.mf.start(call("step").options(delay=0.8))
    await worker.kill()
    assert stage.ledger.of(BEGUN, below=soon.id) == [], "it was to die before"
    store = await stage.mf.opened()
    due = [(await run.view()).due_at or 0.0 for run in (soon, retried)]
    await eventually(lambda: store.now() > max(due), within=LONG)
    go(stage)
    await stage.worker()
    for run in (soon, later, retried):
        await stage.kept(run)
        assert await run.status() is Status.DONE
    assert bodies(stage, retried) == {retried.id: [1, 2]}
    assert bodies(stage, soon) == {soon.id: [1]}
    waited(stage, "later", began + 3.0, first(stage, later))


async def is_retrying(run: Run[Any]) -> bool:
    return await run.status() is Status.RETRYING


def first(stage: Stage, node: Any) -> Row:
    return stage.ledger.of(BEGUN, below=node.key)[0]


def waited(stage: Stage, what: str, until: float, row: Row) -> None:
    """Assert that a body has not begun before, and measure how long after."""
    stage.measured[f"{what} late by"] = round(row.t - until, 3)
    assert row.t >= until - ROUNDED, f"{what}: begun {until - row.t:.3f} s before its time"


# --- attempts -------------------------------------------------------------------------------------
@requirement(
    "B-TIME-05",
    "Between the attempts of what fails there is as much time as its back-off says, and there are "
    "as many as its retries say, whatever retries the engine has of its own.",
)
async def back_off(stage: Stage) -> None:
    await stage.worker()
    retry = Retry(retries=3, delay=0.2, factor=2.0, max_delay=0.5, jitter=False)
    run = await stage.mf.start(call("fail").options(retry=retry))
    with raises(TaskFailed) as caught:
        await run.result(timeout=LONG)
    error = caught.raised
    assert error.error is not None
    assert error.error.attempts == 4
    await stage.kept(run)
    await other_work(stage)
    assert bodies(stage, run) == {run.id: [1, 2, 3, 4]}
    begins = stage.ledger.of(BEGUN, below=run.id)
    fails = stage.ledger.of(FAILED, below=run.id)
    for pause, failed, begin in zip((0.2, 0.4, 0.5), fails, begins[1:], strict=False):
        waited(stage, f"retry {pause:g} s", failed.t + pause, begin)


@requirement(
    "B-TIME-06",
    "A timeout stops each attempt of an async body when it has had its time, and counts as a "
    "failure of this attempt, which may be followed by others.",
)
async def timeouts(stage: Stage) -> None:
    await stage.worker()
    retry = Retry(retries=1, delay=0.1, jitter=False)
    began = time.monotonic()
    run = await stage.mf.start(call("until").options(timeout=0.4, retry=retry))
    with raises(TaskFailed) as caught:
        await run.result(timeout=LONG)
    error = caught.raised
    assert error.error is not None
    assert (error.error.cause, error.error.attempts) == (Cause.TIMEOUT, 2)
    assert "0.4" in error.error.message
    await stage.kept(run)
    assert bodies(stage, run) == {run.id: [1, 2]}
    one, two = stage.ledger.of(STOPPED, below=run.id)
    assert one.t >= began + 0.4
    assert two.t >= one.t + 0.1 + 0.4 - ROUNDED


@requirement(
    "B-TIME-07",
    "What a sync body returns after its timeout is not taken, and its next attempt does not begin "
    "before that thread has returned.",
)
async def sync_timeouts(stage: Stage) -> None:
    await stage.worker()
    retry = Retry(retries=1, delay=0.1, jitter=False)
    run = await stage.mf.start(call("deafen").options(timeout=0.3, retry=retry))
    await stage.ledger.has(BEGUN, below=run.id, within=LONG)
    await eventually(lambda: is_retrying(run), within=LONG, about="an attempt that timed out")
    store = await stage.mf.opened()
    due = (await run.view()).due_at or 0.0
    await eventually(lambda: store.now() > due, within=LONG)
    await other_work(stage)
    assert bodies(stage, run) == {run.id: [1]}
    go(stage)
    assert await run.result(timeout=LONG) == "as if nothing had happened"
    await stage.kept(run)
    assert bodies(stage, run) == {run.id: [1, 2]}
    ends, begins = (stage.ledger.of(what, below=run.id) for what in (ENDED, BEGUN))
    assert begins[1].t > ends[0].t


# --- ends -----------------------------------------------------------------------------------------
@requirement(
    "B-TIME-08",
    "When the deadline of a run passes it fails with DeadlineExceeded, not before: the body that "
    "runs is stopped, nothing more begins, its error callbacks run; also while it is suspended.",
)
async def deadlines(stage: Stage) -> None:
    await stage.worker()
    noted = call("noted")
    flow = chain(call("until", gate="never"), call("step")).on_success(noted)
    began = time.monotonic()
    running, held = [
        await begun(stage, flow.on_error(call("warned")).options(deadline=DEADLINE))
        for _ in range(2)
    ]
    assert await held.suspend()  # not noted: the deadline is the end of that
    for run in (running, held):
        with raises(DeadlineExceeded) as caught:
            await run.result(timeout=LONG)
        error = caught.raised
        assert time.monotonic() - began >= DEADLINE
        assert run.id in str(error)
        await stage.ledger.has(STOPPED, below=run.id, within=LONG)
        assert set(bodies(stage, run)) <= {run[0].key, f"{run.id}/!error-0"}
        await stage.kept(run)
        assert len(stage.ledger.of(ENDED, task="warned", below=run.id)) == 1
    assert stage.ledger.of(BEGUN, task="noted") == []


@requirement(
    "B-TIME-09",
    "A run that has settled is gone when its ttl is over, for those who read it and for those who "
    "look for it; one that runs for longer than that stays.",
)
async def ttls(stage: Stage) -> None:
    await stage.worker()
    long = await stage.mf.start(call("until"), ttl=TTL)
    await stage.ledger.has(BEGUN, below=long.id, within=LONG)
    short = await stage.mf.start(call("step"), {"n": 1}, ttl=TTL)
    kept = await stage.mf.start(call("step"), {"n": 1})
    await short.settled(timeout=LONG)
    assert await kept.result(timeout=LONG) == {"n": 2}
    await eventually(lambda: is_gone(short), within=LONG, about="a run whose ttl is over")
    assert {run.id for run in await stage.mf.find()} == {long.id, kept.id}
    go(stage)
    assert await long.result(timeout=LONG) == {"n": 1}
    await eventually(lambda: is_gone(long), within=LONG, about="a run whose ttl is over")
    await stage.kept(kept)


async def is_gone(run: Run[Any]) -> bool:
    try:
        await run.status()
    except RunNotFound:
        return True
    return False


# --- clocks ---------------------------------------------------------------------------------------
@requirement(
    "B-TIME-10",
    "Workers and clients whose clocks are wrong by five minutes, either way, begin what is delayed "
    "at its time, take no lease for lost that is not, and find out which is.",
    settings={"lease": 2.0},
)
async def wrong_clocks(stage: Stage) -> None:
    workers = [await stage.worker(skew=skew) for skew in (WRONG, -WRONG)]
    store = await stage.mf.opened()
    clocks = {process_of(info): info.started_at - store.now() for info in await store.workers()}
    assert clocks[workers[0].pid] > WRONG / 2 > -WRONG / 2 > clocks[workers[1].pid]
    for wrong in (WRONG, -WRONG):
        client = await stage.watch(clock=Skewed(wrong))
        at = time.monotonic()
        runs = [await client.start(call("step").options(delay=0.5)) for _ in range(6)]
        for run in runs:  # either worker sees to some of them
            await stage.kept(run)
            waited(stage, f"{wrong:+g} s", at + 0.5, first(stage, run))
            assert first(stage, run).t < at + scaled(LATE), "it was seen to by somebody else"
        assert abs((await runs[0].info()).created_at - time.time()) < WRONG / 2
    # Longer than a lease, side by side
    held = [await begun(stage, call("sleep", seconds=2.5)) for _ in range(4)]
    for run in held:
        await stage.kept(run)
        assert bodies(stage, run) == {run.id: [1]}
    assert stage.ledger.of(LOST) == []
    # And one whose worker is killed runs again in the other one
    lost = await begun(stage, call("until"))
    victim = stage.of(first(stage, lost).process)
    await victim.kill()
    go(stage)
    assert await lost.result(timeout=LONG) == {"n": 1}
    await stage.kept(lost)
    assert {row.process for row in stage.ledger.of(ENDED, below=lost.id)} == others(workers, victim)


class Skewed(SystemClock):
    def __init__(self, wrong: float) -> None:
        super().__init__()
        self._offset += wrong


def others(workers: list[Process], victim: Process) -> set[int]:
    return {worker.pid for worker in workers if worker is not victim}
