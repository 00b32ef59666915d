"""B-STEER: suspend, interrupt and resume, from a process that does not work."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.seam import OVER
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.steering import LEASE, LONG, begun, bodies, go, other_work, steer
from mageflow_conformance.backends.tasks.steered import STAGGER
from mageflow_conformance.flows import call
from mageflow_conformance.history.steering import Verb
from mageflow_conformance.proxy import CutOff
from mageflow_conformance.waiting import eventually, scaled
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, STOPPED
from mageflow_core import Run, Status, chain, swarm

SOON = 5.0  # seconds in which a body has to see it; it is one where no machine is busy


# --- suspend --------------------------------------------------------------------------------------
@requirement(
    "B-STEER-01",
    "What is suspended while its job waits with the engine is not run by the worker that is given "
    "it, whatever else that one does; after resume it runs, once.",
)
async def queued_suspended(stage: Stage) -> None:
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    assert await steer(stage, run, "suspend")
    assert await run.status() is Status.SUSPENDED
    await stage.worker(rules=[{"do": "note", "task": "step"}])
    await stage.ledger.has(OVER, of=f"{run.id}/0", within=LONG)  # it came, and what came of it
    (refused,) = stage.ledger.of(OVER, of=f"{run.id}/0")
    assert refused.more["handled"] == "skipped"
    await other_work(stage)
    assert bodies(stage, run) == {}
    assert await steer(stage, run, "resume")
    assert await run.result(timeout=LONG) == {"n": 2}
    await stage.kept(run)
    assert bodies(stage, run) == {f"{run.id}/0": [1], f"{run.id}/1": [1]}


@requirement(
    "B-STEER-02",
    "A body that runs when its run is suspended goes on to its end, and its outcome counts: the "
    "step after it waits for resume, and what has no step after it is done.",
)
async def running_suspended(stage: Stage) -> None:
    await stage.worker()
    run = await begun(stage, chain(call("until"), call("step")))
    single = await begun(stage, call("until"))
    assert await steer(stage, run, "suspend")
    assert await steer(stage, single, "suspend")
    go(stage)
    assert await single.result(timeout=LONG) == {"n": 1}
    assert (await run[0].wait(timeout=LONG)).status is Status.DONE
    await other_work(stage)
    assert await run[1].status() is await run.status() is Status.SUSPENDED
    assert bodies(stage, run) == {f"{run.id}/0": [1]}
    assert await steer(stage, run, "resume")
    assert await run.result(timeout=LONG) == {"n": 2}
    await stage.kept(run)
    await stage.kept(single)


@requirement(
    "B-STEER-03",
    "Below a swarm that was suspended in the middle nothing more begins; after resume it goes on "
    "where it was, and each item has run once.",
)
async def container_suspended(stage: Stage) -> None:
    await stage.worker()
    items = [call("item", i=i, pace=0.02) for i in range(60)]
    run = await begun(stage, chain(swarm(items, max_concurrency=3), call("total")))
    assert await steer(stage, run[0], "suspend")
    assert await run[0].status() is Status.SUSPENDED
    count = await quiet(stage, run)
    assert 0 < count < len(items), "it was to be suspended in the middle"
    await other_work(stage)
    assert len(stage.ledger.of(BEGUN, below=run.id)) == count
    assert await steer(stage, run[0], "resume")
    assert await run.result(timeout=LONG) == {"n": sum(i * i for i in range(60))}
    await stage.kept(run)
    assert len(stage.ledger.of(BEGUN, below=run[0].key)) == len(items)


async def quiet(stage: Stage, run: Run[Any]) -> int:
    """Wait until all of its bodies that have begun have ended; gives how many these are."""

    def over() -> int:
        began, ended = (len(stage.ledger.of(what, below=run.id)) for what in (BEGUN, ENDED))
        return began if began == ended else 0

    count: int = await eventually(over, within=LONG, about="bodies that end")
    return count


@requirement(
    "B-STEER-04",
    "A mark on one item of a swarm holds back this one alone, and it stays there when the swarm "
    "itself is suspended and resumed.",
)
async def item_suspended(stage: Stage) -> None:
    run = await stage.mf.start(swarm([call("item", i=i) for i in range(4)], max_concurrency=4))
    assert await steer(stage, run[2], "suspend")
    await stage.worker()
    for position in (0, 1, 3):
        await run[position].wait(timeout=LONG)
    assert await steer(stage, run, "suspend")
    assert await steer(stage, run, "resume")
    await other_work(stage)
    assert await run[2].status() is Status.SUSPENDED
    assert await run.status() is Status.ACTIVE
    assert set(bodies(stage, run)) == {f"{run.id}/{position}" for position in (0, 1, 3)}
    assert await steer(stage, run[2], "resume")
    assert await run.result(timeout=LONG) == [0, 1, 4, 9]
    await stage.kept(run)


@requirement(
    "B-STEER-05",
    "What waits for its next attempt and is suspended or interrupted then does not begin it when "
    "its time has come, but after resume.",
)
async def retrying_held(stage: Stage) -> None:
    await stage.worker()
    suspended, interrupted = [await stage.mf.start(call("stagger")) for _ in range(2)]
    for run in (suspended, interrupted):
        await stage.ledger.has(FAILED, below=run.id, within=LONG)
        await eventually(partial(is_now, run, Status.RETRYING), about="its next attempt")
    due = [(await run.view()).due_at or 0.0 for run in (suspended, interrupted)]
    assert await steer(stage, suspended, "suspend")
    assert await steer(stage, interrupted, "interrupt")
    store = await stage.mf.opened()
    assert store.now() < min(due), "they were to be steered while they waited"
    await eventually(lambda: store.now() > max(due), within=STAGGER.delay + LONG)
    await other_work(stage)
    assert await suspended.status() is Status.SUSPENDED
    assert await interrupted.status() is Status.INTERRUPTED
    go(stage)
    for run in (suspended, interrupted):
        assert bodies(stage, run) == {run.id: [1]}
        assert await steer(stage, run, "resume")
        assert await run.result(timeout=LONG) == {"n": 1}
        await stage.kept(run)
        assert bodies(stage, run) == {run.id: [1, 2]}


async def is_now(run: Run[Any], status: Status) -> bool:
    return await run.status() is status


# --- interrupt ------------------------------------------------------------------------------------
@requirement(
    "B-STEER-06",
    "Interrupt reaches an async body in another process as CancelledError, within a second on a "
    "machine with time to spare; after resume it runs again, and the attempt is not counted.",
)
async def running_interrupted(stage: Stage) -> None:
    await stage.worker()
    run = await begun(stage, chain(call("until"), call("step")))
    now = asyncio.get_running_loop().time
    asked = now()
    assert await steer(stage, run, "interrupt")
    confirmed = now()
    (stopped,) = await stage.ledger.has(STOPPED, below=run.id, within=LONG)
    stage.measured["confirmed"] = round(confirmed - asked, 3)
    stage.measured["stopped"] = round(stopped.t - confirmed, 3)
    assert stopped.t - confirmed < scaled(SOON)
    await other_work(stage)
    assert await run.status() is await run[0].status() is Status.INTERRUPTED
    assert bodies(stage, run) == {f"{run.id}/0": [1]}
    go(stage)
    assert await steer(stage, run, "resume")
    assert await run.result(timeout=LONG) == {"n": 2}
    await stage.kept(run)
    assert bodies(stage, run) == {f"{run.id}/0": [1, 1], f"{run.id}/1": [1]}


@requirement(
    "B-STEER-07",
    'A sync body sees in ctx.cancelled() that it is interrupted, and with interrupt="raise" it is '
    "stopped by an exception where it looks at nothing; after resume both run again.",
)
async def sync_interrupted(stage: Stage) -> None:
    await stage.worker()
    for task in ("heed", "endure"):
        run = await begun(stage, call(task, gate=f"go-{task}"))
        assert await steer(stage, run, "interrupt")
        await stage.ledger.has(STOPPED, below=run.id, within=LONG)
        await other_work(stage)
        assert await run.status() is Status.INTERRUPTED
        assert bodies(stage, run) == {run.id: [1]}
        go(stage, f"go-{task}")
        assert await steer(stage, run, "resume")
        assert await run.result(timeout=LONG) == {"n": 1}
        await stage.kept(run)
        assert bodies(stage, run) == {run.id: [1, 1]}


@requirement(
    "B-STEER-08",
    "Interrupting a container stops all bodies that run in it, on all workers, and lets none of "
    "those begin that wait; after resume all of it runs to its end.",
)
async def container_interrupted(stage: Stage) -> None:
    workers = {(await stage.worker(slots=3, lease=LEASE)).pid for _ in range(2)}
    run = await stage.mf.start(swarm([call("until", n=n) for n in range(9)], max_concurrency=6))
    began = await stage.ledger.has(BEGUN, 6, below=run.id, within=LONG)
    assert {row.process for row in began} == workers
    assert await steer(stage, run, "interrupt")
    stopped = await stage.ledger.has(STOPPED, 6, below=run.id, within=LONG)
    assert {row.key for row in stopped} == {row.key for row in began}
    await other_work(stage)
    assert len(bodies(stage, run)) == 6
    go(stage)
    assert await steer(stage, run, "resume")
    assert await run.result(timeout=LONG) == [{"n": n + 1} for n in range(9)]
    await stage.kept(run)
    again = [row.key for row in began]
    assert bodies(stage, run) == {
        f"{run.id}/{n}": [1, 1] if f"{run.id}/{n}" in again else [1] for n in range(9)
    }


@requirement(
    "B-STEER-09",
    "An attempt that was interrupted costs none of the retries that there are, and one that is not "
    "the first runs again as the same one.",
)
async def attempts_not_counted(stage: Stage) -> None:
    await stage.worker()
    run = await stage.mf.start(call("stagger"))
    await stage.ledger.has(BEGUN, 2, below=run.id, within=LONG)
    for count in (3, 4):  # more often than it may fail
        assert await steer(stage, run, "interrupt")
        await stage.ledger.has(STOPPED, count - 2, below=run.id, within=LONG)
        assert await steer(stage, run, "resume")
        await stage.ledger.has(BEGUN, count, below=run.id, within=LONG)
    go(stage)
    assert await run.result(timeout=LONG) == {"n": 1}
    await stage.kept(run)
    assert bodies(stage, run) == {run.id: [1, 2, 2, 2]}


@requirement(
    "B-STEER-10",
    "What is interrupted, and resumed before its body has ended, does not run twice at once: it "
    "runs again when that body is over.",
)
async def resumed_early(stage: Stage) -> None:
    await stage.worker()
    await stage.worker()
    run = await begun(stage, call("unwind", gate="unwound"))
    assert await steer(stage, run, "interrupt")
    await stage.ledger.has("unwinding", within=LONG)
    assert await steer(stage, run, "resume")
    await other_work(stage)
    assert bodies(stage, run) == {run.id: [1]}
    go(stage, "unwound")
    await stage.ledger.has(BEGUN, 2, below=run.id, within=LONG)
    (stopped,) = stage.ledger.of(STOPPED, below=run.id)
    assert stage.ledger.of(BEGUN, below=run.id)[-1].t > stopped.t
    assert await steer(stage, run, "cancel")
    await stage.kept(run)


@requirement(
    "B-STEER-11",
    "While the control channel of a worker is down, running bodies see an interrupt or a cancel at "
    "its next renewal of the lease.",
    within=90,
)
async def channel_cut(stage: Stage) -> None:
    renewal = 0.5
    proxy = await stage.proxy()
    await stage.worker(store=proxy.url, lease=6 * renewal)
    interrupted = await begun(stage, call("until"))
    canceled = await begun(stage, call("until"))
    proxy.rule = cut = CutOff()
    proxy.cut(listening=True)
    await eventually(lambda: cut.refused, within=LONG, about="a worker that wants to listen")
    now = asyncio.get_running_loop().time
    stopping: list[tuple[Verb, Run[Any]]] = [("interrupt", interrupted), ("cancel", canceled)]
    for verb, run in stopping:
        assert await steer(stage, run, verb, reach=renewal + SOON)
        confirmed = now()
        (stopped,) = await stage.ledger.has(STOPPED, below=run.id, within=LONG)
        stage.measured[verb] = round(stopped.t - confirmed, 3)
        assert stopped.t - confirmed < scaled(renewal + SOON)
    await canceled.settled(timeout=LONG)
    go(stage)
    assert await steer(stage, interrupted, "resume")
    assert await interrupted.result(timeout=LONG) == {"n": 1}
    assert not proxy.listens
    for run in (interrupted, canceled):
        await stage.kept(run)


# --- any of them ----------------------------------------------------------------------------------
@requirement(
    "B-STEER-12",
    "When two clients steer a run at once, again and again, each call is answered, and the last "
    "one counts: a resume after all of them lets everything end, once.",
)
async def two_steerers(stage: Stage) -> None:
    await stage.worker()
    items = [call("item", i=i, pace=0.05) for i in range(20)]
    items += [call("until", n=n) for n in range(20)]  # it does not end before they have steered
    run = await begun(stage, swarm(items, max_concurrency=2))
    second = await stage.watch()
    theirs = await second.load(run.id)

    async def steers(mine: Run[Any], verb: Any, times: int) -> list[bool]:
        return [
            applied
            for _ in range(times)
            for applied in (await getattr(mine, verb)(), await mine.resume())
        ]

    answers = await asyncio.gather(steers(run, "suspend", 10), steers(theirs, "interrupt", 10))
    assert all(answer[::2] == [True] * 10 for answer in answers), "it had not ended"
    assert await steer(stage, run, "suspend")
    await other_work(stage)
    count = len(stage.ledger.of(BEGUN, below=run.id))
    assert await theirs.status() is Status.SUSPENDED
    go(stage)
    assert await steer(stage, theirs, "resume")
    results = [*(i * i for i in range(20)), *({"n": n + 1} for n in range(20))]
    assert await run.result(timeout=LONG) == results
    assert len(stage.ledger.of(BEGUN, below=run.id)) > count, "it was to be held in the middle"
    await stage.kept(run)
    assert len(stage.ledger.of(ENDED, below=run.id)) == 40
