"""B-SUBMIT: from a client to some worker that knows the task."""

from __future__ import annotations

import asyncio
import os

from mageflow_conformance.backends import clients
from mageflow_conformance.backends.gates import open_gate
from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import Instead, requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.tasks.executing import ABOUT
from mageflow_conformance.backends.tasks.submitting import CHILDREN, STARTED
from mageflow_conformance.flows import call
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED
from mageflow_core import Cause, Status, chain, swarm
from mageflow_core.errors import StartKeyConflict, TaskFailed
from mageflow_core.signatures.branch import BRANCH


@requirement(
    "B-SUBMIT-01",
    "A task is started by its name from a process that does not have its code, and runs in a "
    "worker that has.",
)
async def by_name(stage: Stage) -> None:
    await stage.worker()
    stranger = await stage.watch(bare=True)
    run = await stranger.start(call("step", add=4), {"n": 1})
    assert await run.result(timeout=20) == {"n": 5}
    await stage.kept(run)


@requirement(
    "B-SUBMIT-02",
    "Many runs that are started at once all run, each once, shared out over the workers there are.",
    settings={"lease": 6.0},  # so often a worker with nothing to do asks for what others hold
)
async def many_at_once(stage: Stage) -> None:
    count, together = 200, 30
    workers = [await stage.worker(slots=20), await stage.worker(slots=20)]
    # So many wait for each other that one of the workers has too few slots for them.
    flows = [call("meet", many=together, i=i) for i in range(together)]
    flows += [call("item", i=i) for i in range(together, count)]
    runs = await asyncio.gather(*map(stage.mf.start, flows))
    results = await asyncio.gather(*(run.result(timeout=40) for run in runs))
    assert results == [i if i < together else i * i for i in range(count)]
    ran = stage.ledger.of(ENDED)
    assert len(ran) == len({row.key for row in ran}) == count
    assert {row.process for row in ran} == {worker.pid for worker in workers}


@requirement(
    "B-SUBMIT-03",
    "What is started before there is any worker runs when one comes, without anybody asking again.",
)
async def producer_first(stage: Stage) -> None:
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    await stage.worker()
    assert await run.result(timeout=30) == {"n": 2}
    await stage.kept(run)


# --- tasks that not every worker knows ------------------------------------------------------------
@requirement(
    "B-SUBMIT-04",
    "While no worker knows its task a run stays queued, with nobody who has announced that task to "
    "be seen; it runs, once, when a worker comes that knows it.",
)
async def known_later(stage: Stage) -> None:
    await stage.worker(bare=True)
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    store = await stage.mf.opened()

    async def announced() -> set[str]:
        return {task for worker in await store.workers() for task in worker.tasks}

    assert await eventually(announced), "what a worker knows is announced"
    assert "step" not in await announced()
    # What every app brings along is run meanwhile: that worker works.
    beside = await stage.mf.start(call(BRANCH, choice=1, cases={}), {"n": 5})
    await beside.result(timeout=30)
    assert await run["0"].status() is Status.QUEUED
    await stage.worker()
    assert {"step", "work"} <= await announced()
    assert await run.result(timeout=30) == {"n": 2}
    await stage.kept(run)


@requirement(
    "B-SUBMIT-05",
    "A run whose task no worker gets to know fails with UnknownTask after `unknown_task_timeout`, "
    "with the name of the task, and its error callbacks run.",
    settings={"unknown_task_timeout": 0.5},
)
async def never_known(stage: Stage) -> None:
    run = await stage.mf.start(call("nobody.knows").on_error(call("warned")))
    await stage.worker()
    with raises(TaskFailed) as failed:
        await run.result(timeout=30)
    error = failed.raised.error
    assert error is not None
    assert (error.cause, error.type) == (Cause.UNKNOWN_TASK, "mageflow.UnknownTask")
    assert error.task == "nobody.knows"
    assert "'nobody.knows'" in str(failed.raised)
    await stage.kept(run)
    assert len(stage.ledger.of(ENDED, task="warned")) == 1


@requirement(
    "B-SUBMIT-06",
    "Of two workers the one that knows a task runs all its runs, each once, whichever of them is "
    "given the jobs.",
)
async def known_by_one(stage: Stage) -> None:
    await stage.worker(bare=True)
    able = await stage.worker()
    runs = [await stage.mf.start(chain(call("step"), call("step")), {"n": n}) for n in range(12)]
    results = await asyncio.gather(*(run.result(timeout=40) for run in runs))
    assert results == [{"n": n + 2} for n in range(12)]
    rows = stage.ledger.of(BEGUN)
    assert len(rows) == len({row.key for row in rows}) == 24
    assert {row.process for row in rows} == {able.pid}


@requirement(
    "B-SUBMIT-07",
    "A renamed task still runs what was stored or started under its earlier name, and does so "
    "under its own.",
)
async def renamed(stage: Stage) -> None:
    stranger = await stage.watch(bare=True)
    started = await stranger.start(chain(call("earlier-name"), call("renamed")), {"n": 0})
    stored = await stranger.store(call("earlier-name"))
    await stage.worker()
    assert await started.result(timeout=20) == {"n": 2, "task": "renamed"}
    await stored.start({"n": 6})
    assert await stored.result(timeout=20) == {"n": 7, "task": "renamed"}
    await stage.kept(started)
    await stage.kept(stored)


# --- once -----------------------------------------------------------------------------------------
@requirement(
    "B-SUBMIT-08",
    "A start key gives one run however often it is started, by two processes at once too; another "
    "message under that key is refused, and leaves the run alone.",
)
async def start_key(stage: Stage) -> None:
    await stage.worker()
    for _ in range(2):
        stage.begin(clients.start_often, key="invoice-7", times=5, gate="go")
    await stage.ledger.has(clients.READY, 2, within=30)
    open_gate(stage.ledger, "go")
    rows = await stage.ledger.has(clients.GOT, 2, within=30)
    assert len({row.pid for row in rows} - {os.getpid()}) == 2
    run = await stage.mf.start(call("step", add=1), {"n": 1}, key="invoice-7")
    assert [each for row in rows for each in row.more["runs"]] == [run.id] * 10
    with raises(StartKeyConflict):
        await stage.mf.start(call("step", add=1), {"n": 2}, key="invoice-7")
    assert await run.result(timeout=20) == {"n": 2}
    again = await stage.mf.start(call("step", add=1), {"n": 1}, key="invoice-7")
    assert again.id == run.id
    await stage.kept(run)
    assert len(stage.ledger.of(BEGUN)) == 1
    assert len(await stage.mf.find()) == 1


# --- hints ----------------------------------------------------------------------------------------
@requirement(
    "B-SUBMIT-09",
    "Runs of all priorities, as the signatures or the tasks of a flow say them, all run once, "
    "whether or not the backend knows priorities.",
)
async def priorities(stage: Stage) -> None:
    await stage.worker(slots=2)
    hints = ("low", "normal", "high", None)
    items = [call("item", i=i).options(priority=hints[i % 4]) for i in range(24)]
    run = await stage.mf.start(swarm(items, max_concurrency=None))
    alone = [await stage.mf.start(call("square", n=9).options(priority=hint)) for hint in hints]
    assert await run.result(timeout=30) == [i * i for i in range(24)]
    assert [await each.result(timeout=30) for each in alone] == [81] * 4
    await stage.kept(run)
    rows = stage.ledger.of(BEGUN)
    assert len(rows) == len({row.key for row in rows}) == 28


async def any_worker(stage: Stage) -> None:
    await stage.worker()
    step, elsewhere = call("step"), call("step").options(queue=f"{stage.namespace}.other")
    run = await stage.mf.start(chain(step, elsewhere, step), {"n": 0})
    assert await run.result(timeout=30) == {"n": 3}
    await stage.kept(run)


@requirement(
    "B-SUBMIT-10",
    "What names a queue waits there, however long no worker serves it, and is run by one that "
    "does.",
    claim="queues",
    instead=Instead(
        text="Where workers cannot choose queues, what names one is run by any of them.",
        check=any_worker,
    ),
)
async def other_queue(stage: Stage) -> None:
    queue = f"{stage.namespace}.other"
    await stage.worker()
    step, elsewhere = call("step"), call("work").options(queue=queue)
    run = await stage.mf.start(chain(step, elsewhere, step), {"n": 0})
    await eventually(run["0"].wait, within=20)
    for _ in range(10):  # while the worker there is has work, and has none
        beside = await stage.mf.start(step, {"n": 0})
        await beside.result(timeout=20)
    assert await run["1"].status() is Status.QUEUED
    settings = stage.harness.queues(stage.namespace, (queue,))
    assert settings is not None, "which is claimed"
    other = await stage.worker(**settings)
    assert await run.result(timeout=30) == {"n": 3}
    await stage.kept(run)
    assert [row.process for row in stage.ledger.of(ENDED, task="work")] == [other.pid]


# --- from a body ----------------------------------------------------------------------------------
@requirement(
    "B-SUBMIT-11",
    "What a body starts is a run of its own: with labels and message of its own, below nothing, "
    "and not canceled with the run that has started it.",
)
async def from_a_body(stage: Stage) -> None:
    await stage.worker()
    flow = chain(call("parent", gate="child"), call("held", gate="never"))
    run = await stage.mf.start(flow, {"secret": 1}, labels={"whose": "parent", "team": "a"})
    child = await stage.mf.load(await run["0"].result(timeout=20))
    await stage.ledger.has(BEGUN, below=f"{run.id}/1")
    await run.cancel()
    await run.settled(timeout=20)
    assert await run.status() is Status.CANCELED
    open_gate(stage.ledger, "child")
    await stage.kept(child)
    assert await child.status() is Status.DONE
    assert child.parent is None
    assert dict(child.labels) == {"whose": "child"}
    assert (await child.info()).message == "{}"
    (told,) = await stage.ledger.has(ABOUT)
    facts = told.more["facts"]
    assert facts["run"] == facts["key"] == stage.ledger.of(STARTED)[0].more["run"] != run.id
    assert facts["labels"] == {"whose": "child"}
    assert facts["attempt"] == 1


@requirement(
    "B-SUBMIT-12",
    "A body that is run again finds the runs that it has started before, in whatever order it "
    "starts them, from a thread too; each of them runs once.",
)
async def from_a_body_again(stage: Stage) -> None:
    await stage.worker()
    run = await stage.mf.start(call("parent_again"))
    ids = await run.result(timeout=20)
    threaded = await stage.mf.start(call("parent_in_thread"))
    only = await threaded.result(timeout=20)
    rows = stage.ledger.of(STARTED)
    assert {row.attempt for row in rows} == {1, 2}
    for task in CHILDREN:
        first, second = (row for row in rows if row.more["child"] == task and row.key == run.key)
        assert first.more["run"] == second.more["run"]
    assert {row.more["run"] for row in rows if row.key == threaded.key} == {only}
    assert len({*ids, only, run.id, threaded.id}) == 6
    for each in (*ids, only):
        await stage.kept(await stage.mf.load(each))
        assert len(stage.ledger.of(BEGUN, below=each)) == 1
    assert len(await stage.mf.find()) == 6
