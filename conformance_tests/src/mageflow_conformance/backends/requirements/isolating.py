"""B-ISO: namespaces that share an engine, and apps that share a namespace."""

from __future__ import annotations

from typing import Any

from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.seam import OVER
from mageflow_conformance.backends.stage import Stage, process_of
from mageflow_conformance.backends.steering import LEASE, LONG, begun, bodies, go, other_work
from mageflow_conformance.flows import call
from mageflow_conformance.witness import BEGUN, ENDED
from mageflow_core import Node, Run, chain, swarm
from mageflow_core.errors import RunNotFound

MINE, THEIRS = ("step", "noted"), ("work", "item")


@requirement(
    "B-ISO-01",
    "Jobs of one namespace are run by its own workers alone, though another one on the same engine "
    "has tasks of the same names and workers with nothing else to do.",
)
async def jobs_apart(stage: Stage) -> None:
    mine = await stage.worker()
    other = await stage.beside("other")
    flow = swarm([call("step", add=n) for n in range(5)])
    waiting = [await other.mf.start(flow, {"n": 10}) for _ in range(4)]
    await other_work(stage)
    assert stage.ledger.of(BEGUN, below=waiting[0].id) == []
    theirs = await other.worker()
    own = [await stage.mf.start(flow, {"n": 0}) for _ in range(4)]
    for runs, first, worker in ((waiting, 10, theirs), (own, 0, mine)):
        for run in runs:
            assert await run.result(timeout=LONG) == [{"n": first + n} for n in range(5)]
            await stage.kept(run)
            assert ran_in(stage, run) == {worker.pid}


def ran_in(stage: Stage, run: Run[Any]) -> set[int]:
    return {row.process for row in stage.ledger.of(BEGUN, below=run.id)}


@requirement(
    "B-ISO-02",
    "From one namespace nothing is seen of another one on the same store, and nothing there can be "
    "read or steered: start keys, runs, workers.",
)
async def runs_apart(stage: Stage) -> None:
    beside = await stage.beside("other")
    other = beside.mf
    workers = {await stage.worker(): stage.mf, await beside.worker(): other}
    own = await begun(stage, call("until"))
    keyed = await stage.mf.start(call("step"), {"n": 1}, key="the-one")
    theirs = await other.start(chain(call("step"), call("work")), {"n": 1}, key="the-one")
    assert await keyed.result(timeout=LONG) == {"n": 2}
    assert await theirs.result(timeout=LONG) == {"n": 3}
    assert {run.id for run in await stage.mf.find()} == {own.id, keyed.id}
    assert {run.id for run in await other.find()} == {theirs.id}
    for app, run in ((other, own), (stage.mf, theirs)):
        with raises(RunNotFound):
            await app.load(run.id)
        stranger: Node[Any] = Node(app, run.id)
        for verb in ("status", "suspend", "interrupt", "cancel", "retry"):
            with raises(RunNotFound):
                await getattr(stranger, verb)()
    for worker, app in workers.items():
        assert {process_of(info) for info in await (await app.opened()).workers()} == {worker.pid}
    go(stage)
    assert await own.result(timeout=LONG) == {"n": 1}
    assert bodies(stage, own) == {own.id: [1]}
    for run in (own, keyed, theirs):
        await stage.kept(run)


@requirement(
    "B-ISO-03",
    "Apps that know different tasks share a namespace: what is started for either, by whomever, "
    "runs in a worker that knows it, and nothing is lost on the way.",
)
async def different_tasks(stage: Stage) -> None:
    mine = await stage.worker(knows=MINE, lease=LEASE)
    theirs = await stage.worker(knows=THEIRS, lease=LEASE)
    steps = [call(task) for task in ("step", "work", "step", "work")]
    runs = [await stage.mf.start(chain(*steps), {"n": n}) for n in range(10)]
    for n, run in enumerate(runs):
        assert await run.result(timeout=LONG) == {"n": n + 4}
        await stage.kept(run)
        assert all(attempts == [1] for attempts in bodies(stage, run).values())
    assert where(stage, "step") == {mine.pid}
    assert where(stage, "work") == {theirs.pid}


def where(stage: Stage, task: str) -> set[int]:
    return {row.process for row in stage.ledger.of(ENDED, task=task)}


@requirement(
    "B-ISO-04",
    "A job of another namespace that comes to a worker is not run there, and is given back rather "
    "than acknowledged as done.",
)
async def foreign_jobs(stage: Stage) -> None:
    rule = {"do": "foreign", "task": "step", "times": 2}
    await stage.worker(rules=[rule], lease=LEASE)
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    over = await stage.ledger.has(OVER, 2, do="foreign", within=LONG)
    assert {row.more["of"] for row in over} == {run[0].key}
    assert {row.more["handled"] for row in over} == {"release"}
    assert await run.result(timeout=LONG) == {"n": 2}
    await stage.kept(run)
    (begin,) = stage.ledger.of(BEGUN, below=run[0].key)
    assert begin.t > over[1].t
