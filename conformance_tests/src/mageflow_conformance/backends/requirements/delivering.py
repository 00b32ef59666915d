"""B-SEAM: jobs that come twice, late, in another order, never, or as something else."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow_conformance.backends.doomed import doomed
from mageflow_conformance.backends.requirement import Instead, requirement
from mageflow_conformance.backends.seam import SEAM, Doing
from mageflow_conformance.backends.stage import REAL_TIMES, Stage
from mageflow_conformance.flows import SHAPES, call
from mageflow_conformance.flows.load import load_on
from mageflow_conformance.ledger import Row
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, LOST
from mageflow_core import Run, chain

OVER = f"{SEAM}-over"


def rule(do: Doing, task: str, times: int = 1, **more: Any) -> dict[str, Any]:
    return {"do": do, "task": task, "times": times, **more}


async def started(stage: Stage, count: int, task: str = "step") -> list[Run[Any]]:
    calls = (stage.mf.start(call(task, add=n), {"n": 0}) for n in range(count))
    return list(await asyncio.gather(*calls))


async def ran_once(stage: Stage, runs: list[Run[Any]]) -> None:
    """Each has its result, and each body has run once."""
    for n, run in enumerate(runs):
        assert await run.result(timeout=20) == {"n": n}
        await stage.kept(run)
    assert len(stage.ledger.of(BEGUN)) == len(stage.ledger.of(ENDED)) == len(runs)


# --- what the runner is given ---------------------------------------------------------------------
@requirement(
    "B-SEAM-01",
    "A job that comes several times to a living worker, at once and again when it is over, by the "
    "same sending or by another one, runs once.",
)
async def duplicated(stage: Stage) -> None:
    count = 10
    rules = [rule("duplicate", task, count) for task in ("step", "work")]
    await stage.worker(rules=rules)
    runs = await started(stage, count)
    runs += await started(stage, count, "work")
    for run in runs:
        await run.settled(timeout=20)
    await stage.ledger.has(OVER, 2 * count, do="duplicate")
    for n, run in enumerate(runs):
        assert await run.result() == {"n": n % count}
        await stage.kept(run)
    assert len(stage.ledger.of(BEGUN)) == len(stage.ledger.of(ENDED)) == len(runs)


@requirement(
    "B-SEAM-02",
    "Jobs that come in another order than they were sent in all run, each once.",
)
async def reordered(stage: Stage) -> None:
    # A copy of the one that is held would be first, too.
    await stage.worker(rules=[rule("reorder", "step")], **REAL_TIMES)
    runs = await started(stage, 2)
    await ran_once(stage, runs)
    (held,) = stage.ledger.of(SEAM, do="reorder")
    first, second = stage.ledger.of(BEGUN)
    assert first.key != held.more["of"] == second.key


@requirement(
    "B-SEAM-03",
    "A job that comes so late that it was sent again runs once, and what comes late does nothing.",
)
async def delayed(stage: Stage) -> None:
    seconds = 2.0  # until others take it for lost
    await stage.worker(rules=[rule("delay", "step", seconds=seconds)])
    await stage.worker()
    runs: list[Run[Any]] = []

    async def is_delayed() -> bool:
        runs.extend(await started(stage, 1))
        return bool(stage.ledger.of(SEAM))

    await eventually(is_delayed, within=20, about="a job that comes to the one that delays it")
    await stage.ledger.has(OVER, do="delay")
    (late,) = stage.ledger.of(SEAM)
    for run in runs:
        assert await run.result(timeout=20) == {"n": 0}
        await stage.kept(run)
    (ran,) = [row for row in stage.ledger.of(BEGUN) if row.key == late.more["of"]]
    assert ran.t - late.t < seconds, "it was not sent again"
    assert len(stage.ledger.of(BEGUN)) == len(runs)


@requirement(
    "B-SEAM-04",
    "A job that was acknowledged and never came to the runner is sent again, more than once if "
    "need be, without anything else being sent.",
)
async def dropped(stage: Stage) -> None:
    drops = 3
    await stage.worker(rules=[rule("drop", "step", drops)])
    runs = await started(stage, 1)
    await ran_once(stage, runs)
    sends = [row.more["send"] for row in stage.ledger.of(SEAM, do="drop", of=runs[0].id)]
    assert len(sends) == len(set(sends)) == drops


@requirement(
    "B-SEAM-05",
    "A job of an earlier attempt, or of one that is not due yet, does nothing: each attempt runs "
    "once, in its turn.",
)
async def stale(stage: Stage) -> None:
    await stage.worker(rules=[rule("stale", "stumble", 2), rule("stale", "step", 2)])
    run = await stage.mf.start(chain(call("step"), call("stumble"), call("step")), {"n": 1})
    assert await run.result(timeout=20) == {"n": 13}
    await stage.kept(run)
    await stage.ledger.has(OVER, 4, do="stale")
    rows = [row for row in stage.ledger.of(BEGUN) if row.key == f"{run.id}/1"]
    assert [row.attempt for row in rows] == [1, 2]
    assert len(stage.ledger.of(BEGUN)) == 4


@requirement(
    "B-SEAM-06",
    "A job of a node that does not exist does no harm, and what came in its place is made up for.",
)
async def corrupted(stage: Stage) -> None:
    count = 5
    worker = await stage.worker(rules=[rule("corrupt", "step", count)])
    runs = await started(stage, 2 * count)
    await ran_once(stage, runs)
    assert len(stage.ledger.of(OVER, do="corrupt")) == count
    assert worker.runs


@requirement(
    "B-SEAM-07",
    "A flow of all kinds of nodes ends as ever while jobs of it are duplicated, delayed, dropped, "
    "corrupted, and preceded by older ones.",
)
async def everything_at_once(stage: Stage) -> None:
    rules = [
        rule("duplicate", "step", 3),
        rule("stale", "work", 2),
        rule("drop", "item"),
        rule("corrupt", "total"),
        rule("delay", "go_on", seconds=0.6),
        rule("duplicate", "stumble", 2),
        rule("drop", "noted", 2),
        rule("stale", "warned"),
    ]
    await stage.worker(rules=rules)
    run = await stage.mf.start(SHAPES["nested"](), {"n": 1})
    await run.settled(timeout=40)
    await stage.kept(run)
    told = [row.more["do"] for row in await stage.ledger.has(OVER, sum(r["times"] for r in rules))]
    assert {do: told.count(do) for do in told} == {
        "duplicate": 5, "stale": 3, "drop": 3, "corrupt": 1, "delay": 1
    }  # fmt: skip
    keys = [row.key for row in stage.ledger.of(BEGUN)]
    assert len(keys) == len(set(keys)) + len(stage.ledger.of(FAILED, task="stumble"))


# --- what engines do by themselves ----------------------------------------------------------------
async def _sleep_under_traffic(stage: Stage, seconds: float) -> None:
    """Long bodies, and short ones all the time: some engines look at what is overdue only when
    they are asked for something."""
    for _ in range(2):
        await stage.worker()
    long = [await stage.mf.start(call(task, seconds=seconds)) for task in ("sleep", "doze")]
    await stage.ledger.has(BEGUN, len(long))

    async def over() -> bool:
        run = await stage.mf.start(call("step"), {"n": 0})
        await stage.kept(run)
        return all([(await each.status()).ended for each in long])

    await eventually(over, within=seconds + 20, about="the end of the long bodies")
    for run in long:
        assert await run.result() == 1
        await stage.kept(run)
        assert len(stage.ledger.of(BEGUN, below=run.id)) == 1


async def _longer_than_a_lease(stage: Stage) -> None:
    assert stage.harness.redelivery is None
    await _sleep_under_traffic(stage, 1.5 * float(stage.settings["lease"]))


@requirement(
    "B-SEAM-08",
    "A body that takes longer than the engine waits for an acknowledgement runs once, though the "
    "engine gives its job to another worker meanwhile.",
    claim="redelivery",
    instead=Instead(
        text="A body may take any time while other jobs come and go, and runs once.",
        check=_longer_than_a_lease,
    ),
    settings={"lease": 3.0},
    within=120,
)
async def longer_than_the_engine_waits(stage: Stage) -> None:
    assert stage.harness.redelivery is not None
    await _sleep_under_traffic(stage, 2.5 * stage.harness.redelivery)


async def _sent_again(stage: Stage) -> None:
    """By the core, to a worker that sends again what has waited in an engine for long."""
    victim = doomed(stage, "runner.claiming", rules=[rule("note", "step")])
    runs = await started(stage, 1)
    await victim.dies()
    await stage.worker(rules=[rule("note", "step")])
    await ran_once(stage, runs)
    first, again = stage.ledger.of(SEAM)
    assert (first.more["of"], again.more["of"]) == (runs[0].id, runs[0].id)


@requirement(
    "B-SEAM-09",
    "A backend that says that it redelivers gives a job whose worker has died to another one by "
    "itself, within seconds.",
    claim="redelivers",
    instead=Instead(text="The core sends such a job again.", check=_sent_again),
)
async def redelivered(stage: Stage) -> None:
    rules = [rule("note", "step", 10)]
    victim = doomed(stage, "runner.claiming", rules=rules, **REAL_TIMES)
    runs = await started(stage, 1)
    await victim.dies()
    heir = await stage.worker(rules=rules, **REAL_TIMES)

    def same() -> bool:
        rows: dict[int, list[Row]] = {}
        for row in stage.ledger.of(SEAM, of=runs[0].id):
            rows.setdefault(row.process, []).append(row)
        sends = [{row.more["send"] for row in each} for each in rows.values()]
        return len(rows) == 2 and bool(set.intersection(*sends))

    await eventually(same, within=15, about="the very sending that came to the one that died")
    await ran_once(stage, runs)
    assert {row.process for row in stage.ledger.of(BEGUN)} == {heir.pid}


# --- engines that die -----------------------------------------------------------------------------
async def _sent(stage: Stage, count: int) -> list[Run[Any]]:
    """Started by a client that is gone, and so has handed its jobs over."""
    client = await stage.watch()
    runs = [await client.start(call("step", add=n), {"n": 0}) for n in range(count)]
    await client.close()
    return [await stage.mf.load(run.id) for run in runs]


async def _without_an_engine(stage: Stage) -> None:
    """What an engine would keep is kept by the store."""
    assert not stage.harness.restarts
    runs = await _sent(stage, 5)
    assert not stage.ledger.of(BEGUN)
    await stage.worker()
    await ran_once(stage, runs)


@requirement(
    "B-SEAM-10",
    "When the engine is killed and started again under load, each start that was acknowledged "
    "ends, and no body runs twice.",
    claim="restarts",
    instead=Instead(
        text="There is no engine: what was started waits in the store, also when its client is "
        "gone and there is no worker.",
        check=_without_an_engine,
    ),
    alone=True,
    within=180,
)
async def engine_restarted(stage: Stage) -> None:
    for _ in range(2):
        await stage.worker()
    async with load_on(stage.mf, stage.ledger, at_once=4) as load:
        for _ in range(2):
            await load.grows()
            await asyncio.to_thread(stage.harness.restart)
        await load.grows()
    for _, run in load.started:
        await stage.kept(run, within=60)
    assert not stage.ledger.of(LOST)


async def _lost_with_the_engine(stage: Stage) -> None:
    runs = await _sent(stage, 10)
    if stage.harness.restarts:
        await asyncio.to_thread(stage.harness.restart)
    await stage.worker()
    await ran_once(stage, runs)


@requirement(
    "B-SEAM-11",
    "A backend that says that it keeps jobs has those that wait when its engine is killed and "
    "started again run by the first worker that comes.",
    claim="keeps_jobs",
    instead=Instead(text="The core sends such jobs again.", check=_lost_with_the_engine),
    alone=True,
    within=120,
)
async def kept_by_the_engine(stage: Stage) -> None:
    count = 10
    before = await stage.worker()
    await (await stage.mf.start(call("noted"))).settled(timeout=20)
    await before.stop()
    runs = await _sent(stage, count)
    await asyncio.to_thread(stage.harness.restart)
    await stage.worker(rules=[rule("note", "step", count)], **REAL_TIMES)
    for n, run in enumerate(runs):
        # An engine that was killed may wait until it is sure that it is the only one.
        assert await run.result(timeout=60) == {"n": n}
        await stage.kept(run)
    came = [(row.more["of"], row.more["send"]) for row in stage.ledger.of(SEAM)]
    assert sorted(came) == sorted((run.id, 1) for run in runs), "they were sent again"
