"""B-FAIL: workers that are killed, freeze, are asked to leave, or are blocked by what they run."""

from __future__ import annotations

import asyncio
import os
import signal
from functools import partial
from typing import Any

from mageflow_conformance.backends.doomed import doomed
from mageflow_conformance.backends.requirement import Instead, requirement
from mageflow_conformance.backends.stage import Stage, process_of
from mageflow_conformance.backends.tasks.faults import open_gate
from mageflow_conformance.flows import call
from mageflow_conformance.flows.load import load_on
from mageflow_conformance.history import Evidence
from mageflow_conformance.ledger import Row
from mageflow_conformance.processes.process import KILLED
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, LOST, STOPPED
from mageflow_core import Run, Status, chain, swarm
from mageflow_core.failure import Cause

LEASE = 2.0  # seconds
SHORT = {"lease": LEASE}


def begun(evidence: Evidence, path: str = "") -> list[Row]:
    """By their fences."""
    rows = [row for row in evidence.bodies[evidence.root.key + path] if row.what == BEGUN]
    return sorted(rows, key=lambda row: row.fence or 0)


# --- killed -------------------------------------------------------------------------------------
@requirement(
    "B-FAIL-01",
    "A job whose worker dies before the body has begun, be it before the claim or after it, is run "
    "by another worker that comes, once, without anything else being sent.",
    settings=SHORT,
    within=120,
)
async def before_the_body(stage: Stage) -> None:
    first = doomed(stage, "runner.delivered")
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 1})
    await first.dies()
    for point in ("runner.claiming", "runner.claimed"):
        await doomed(stage, point).dies()
    heir = await stage.worker()
    assert await run.result(timeout=20) == {"n": 3}
    evidence = await stage.kept(run)
    for path in ("/0", "/1"):
        assert [row.process for row in begun(evidence, path)] == [heir.pid]


@requirement(
    "B-FAIL-02",
    "A body whose worker is killed, the only one there is, runs again in one that is started in "
    "its place, async or in a thread, without anything else being sent.",
    settings=SHORT,
)
async def in_the_body(stage: Stage) -> None:
    victim = await stage.worker()
    tasks = ("await_gate", "await_gate_in_thread")
    runs = [await stage.mf.start(chain(call(each, gate="go"), call("step"))) for each in tasks]
    for run in runs:
        await stage.ledger.has(BEGUN, below=run.id)
    await victim.kill()
    heir = await stage.worker()
    open_gate(stage.ledger, "go")
    for run in runs:
        assert await run.result(timeout=20) == {"n": 3}
        evidence = await stage.kept(run)
        told = [(row.process, row.fence, row.attempt) for row in begun(evidence, "/0")]
        assert told == [(victim.pid, 1, 1), (heir.pid, 2, 1)]


@requirement(
    "B-FAIL-03",
    "When one of two workers is killed in the middle of a wide flow, the other ends it: what ran "
    "in the one that died runs again, all else once.",
    settings=SHORT,
    within=120,
)
async def beside_another(stage: Stage) -> None:
    limit, items = 10, 60
    for _ in range(2):
        await stage.worker()
    many = swarm([call("item", i=i, pace=0.05) for i in range(items)], max_concurrency=limit)
    flow = chain(call("step"), many.on_success(call("noted")), call("total"), call("step"))
    run = await stage.mf.start(flow.on_success(call("noted")), {"n": 1})
    rows = await stage.ledger.has(BEGUN, items // 3, below=run.id)
    victim = stage.of(rows[-1].process)
    await victim.kill()
    assert await run.result(timeout=30) == {"n": 1 + sum(i * i for i in range(items))}
    evidence = await stage.kept(run)
    (total,) = stage.ledger.of(ENDED, task="total")
    assert total.process != victim.pid
    again = [key for key, rows in evidence.bodies.items() if rows[0].fence != rows[-1].fence]
    assert len(again) <= limit
    assert len(stage.ledger.of(ENDED, task="noted")) == 2


@requirement(
    "B-FAIL-04",
    "A worker that dies between the end of a body and its report has said nothing: the body runs "
    "again elsewhere, and its end counts once.",
    settings=SHORT,
)
async def before_the_report(stage: Stage) -> None:
    victim = doomed(stage, "runner.reporting")
    flow = chain(call("step"), call("step")).on_success(call("noted"))
    run = await stage.mf.start(flow, {"n": 1})
    await victim.dies()
    heir = await stage.worker()
    assert await run.result(timeout=20) == {"n": 3}
    evidence = await stage.kept(run)
    rows = [(row.what, row.process) for row in evidence.bodies[f"{run.id}/0"]]
    assert rows == [
        (what, pid) for pid in (victim.process.pid, heir.pid) for what in (BEGUN, ENDED)
    ]
    assert len(stage.ledger.of(ENDED, task="noted")) == 1


@requirement(
    "B-FAIL-05",
    "A worker that dies between its report and the acknowledgement of the job has done its work: "
    "the body does not run again, and what comes next runs elsewhere.",
    settings=SHORT,
)
async def before_the_acknowledgement(stage: Stage) -> None:
    victim = doomed(stage, "runner.reported")
    flow = chain(call("step"), call("work")).on_success(call("noted"))
    run = await stage.mf.start(flow, {"n": 1})
    await victim.dies()
    heir = await stage.worker()
    assert await run.result(timeout=20) == {"n": 3}
    evidence = await stage.kept(run)
    assert [row.process for row in begun(evidence, "/0")] == [victim.process.pid]
    assert [row.process for row in begun(evidence, "/1")] == [heir.pid]
    # An engine that gives others what was never acknowledged has had time to do so.
    later = [await stage.mf.start(call("step"), {"n": n}) for n in range(20)]
    for each in later:
        await stage.kept(each)
    assert len(stage.ledger.of(BEGUN, below=f"{run.id}/0")) == 1


@requirement(
    "B-FAIL-06",
    "Jobs that a worker had taken and not begun when it was killed run elsewhere, once.",
    settings=SHORT,
)
async def taken_and_not_begun(stage: Stage) -> None:
    slots, jobs = 2, 12
    victim = await stage.worker(slots=slots)
    runs = [await stage.mf.start(call("await_gate", gate="go")) for _ in range(jobs)]
    await stage.ledger.has(BEGUN, slots)
    await victim.kill()
    assert len(stage.ledger.of(BEGUN)) == slots
    heir = await stage.worker(slots=jobs)
    await stage.ledger.has(BEGUN, slots + jobs, within=20)
    open_gate(stage.ledger, "go")
    fences = [(await run.result(timeout=20))["n"] for run in runs]
    assert sorted(fences) == [1] * (jobs - slots) + [2] * slots
    for run in runs:
        await stage.kept(run)
    assert {row.process for row in stage.ledger.of(ENDED)} == {heir.pid}


@requirement(
    "B-FAIL-07",
    "A task that kills each worker it runs in fails with `WorkerLost` after `max_crashes` further "
    "attempts, runs its error callbacks, and harms no worker any more.",
    settings={**SHORT, "max_crashes": 1},
    within=120,
)
async def poison(stage: Stage) -> None:
    run = await stage.mf.start(call("poison").on_error(call("warned")))
    for _ in range(2):
        await stage.launch().exited(-signal.SIGKILL)
    survivor = await stage.worker()
    await run.settled(timeout=20)
    error = await run.error()
    assert error is not None
    assert (error.cause, error.task, error.key) == (Cause.WORKER_LOST, "poison", run.id)
    await stage.kept(run)
    assert [row.attempt for row in stage.ledger.of(BEGUN, task="poison")] == [1, 1]
    (warned,) = stage.ledger.of(ENDED, task="warned")
    assert warned.process == survivor.pid
    other = await stage.mf.start(call("step"), {"n": 1})
    await stage.kept(other)
    assert len(stage.ledger.of(KILLED)) == 2


# --- frozen -------------------------------------------------------------------------------------
@requirement(
    "B-FAIL-08",
    "A worker that stands still for longer than its lease and then goes on changes nothing: what "
    "its bodies report is refused, and the result is that of the worker that ran them meanwhile.",
    settings=SHORT,
    within=120,
)
async def zombie(stage: Stage) -> None:
    victim = await stage.worker()
    tasks = ("await_gate", "await_gate_in_thread")
    runs = [await stage.mf.start(call(each, gate="go")) for each in tasks]
    for run in runs:
        await stage.ledger.has(BEGUN, below=run.id)
    await victim.freeze()
    await stage.worker()
    for run in runs:
        await stage.ledger.has(BEGUN, 2, below=run.id)
    open_gate(stage.ledger, "go")
    for run in runs:
        assert await run.result(timeout=20) == {"n": 2}
    victim.thaw()

    def late(run: Run[Any]) -> list[Row]:
        rows = [
            row for row in stage.ledger.rows() if row.process == victim.pid and row.key == run.id
        ]
        return [row for row in rows if row.what in (ENDED, STOPPED)]

    for run in runs:
        await eventually(partial(late, run), within=20, about="what the zombie says late")
    await stage.ledger.has(LOST, within=20)
    # What it has said late was heard when it does its work again.
    await _works_again(stage, victim.pid)
    for run in runs:
        assert await run.result(timeout=20) == {"n": 2}
        await stage.kept(run)
    assert late(runs[1])[0].what == ENDED


async def _works_again(stage: Stage, pid: int) -> None:
    async def worked() -> bool:
        run = await stage.mf.start(call("step"), {"n": 1})
        await run.settled(timeout=20)
        return stage.ledger.of(ENDED, below=run.id)[0].process == pid

    await eventually(worked, within=20, about=f"something that process {pid} runs")


# --- asked to leave -----------------------------------------------------------------------------
@requirement(
    "B-FAIL-09",
    "A worker that is told to leave takes nothing more and lets its bodies end, where they do in "
    "the time that they are given. Nothing of it runs twice, and what such a body starts runs "
    "elsewhere.",
    settings={"lease": 6.0, "shutdown_grace": 30.0},
)
async def leaves_in_time(stage: Stage) -> None:
    bodies, more = 5, 15
    leaver = await stage.worker(slots=bodies)
    held = [await stage.mf.start(call("await_gate", gate="go")) for _ in range(bodies - 1)]
    starting = await stage.mf.start(call("start_behind_gate", gate="go"))
    await stage.ledger.has(BEGUN, bodies)
    leaving = asyncio.create_task(leaver.stop(within=30))
    store = await stage.mf.opened()

    async def takes_nothing() -> bool:
        here = [each for each in await store.workers() if process_of(each) == leaver.pid]
        return not any(worker.backends for worker in here)

    await eventually(takes_nothing, within=15, about="a worker that says that it leaves")
    stays = await stage.worker()
    others = [await stage.mf.start(call("step"), {"n": n}) for n in range(more)]
    for run in others:
        await stage.kept(run)
    assert leaver.runs
    assert {row.process for row in stage.ledger.of(ENDED)} == {stays.pid}
    open_gate(stage.ledger, "go")
    await leaving
    for run in held:
        assert await run.result(timeout=20) == {"n": 1}
        await stage.kept(run)
    started = await stage.mf.load(await starting.result(timeout=20))
    await stage.kept(started)
    assert {row.process for row in stage.ledger.of(ENDED, below=started.id)} == {stays.pid}
    assert len(stage.ledger.of(BEGUN)) == bodies + more + 1


@requirement(
    "B-FAIL-10",
    "Bodies that do not end in the time that a leaving worker gives them are stopped and run "
    "again elsewhere, at once, and with the same attempt.",
    settings={"shutdown_grace": 0.3},
)
async def leaves_too_early(stage: Stage) -> None:
    leaver = await stage.worker(slots=6)
    tasks = ("await_gate", "await_gate_and_heed")
    runs = [await stage.mf.start(call(each, gate="go")) for each in tasks for _ in range(3)]
    await stage.ledger.has(BEGUN, len(runs))
    stays = await stage.worker(slots=6)
    await leaver.stop()
    assert len(stage.ledger.of(STOPPED)) == len(runs)
    await stage.ledger.has(BEGUN, 2 * len(runs), within=20)
    open_gate(stage.ledger, "go")
    for run in runs:
        assert await run.result(timeout=20) == {"n": 2}
        evidence = await stage.kept(run)
        told = [(row.process, row.attempt) for row in begun(evidence)]
        assert told == [(leaver.pid, 1), (stays.pid, 1)]
        assert (await run.view()).crashes == 0


@requirement(
    "B-FAIL-11",
    "While workers are replaced one after the other under load, as at a deploy, every run ends and "
    "no body runs twice.",
    within=120,
)
async def deploy(stage: Stage) -> None:
    workers = [await stage.worker() for _ in range(2)]
    # Some bodies are long enough that some run in each worker when it is told to leave.
    many = await stage.mf.start(
        swarm([call("item", i=i, pace=0.3) for i in range(80)], max_concurrency=8)
    )
    async with load_on(stage.mf, stage.ledger, at_once=2) as load:
        for worker in workers:
            await load.grows()
            await stage.worker()
            await worker.stop()
        await load.grows()
    await stage.kept(many, within=40)
    for _, run in load.started:
        await stage.kept(run, within=40)
    stopped, lost = stage.ledger.of(STOPPED), stage.ledger.of(LOST)
    assert not stopped, f"{len(stopped)} bodies were stopped: {stopped[:3]}"
    assert not lost, f"{len(lost)} bodies were lost: {lost[:3]}"


# --- blocked ------------------------------------------------------------------------------------
@requirement(
    "B-FAIL-12",
    "A body that takes longer than a lease runs once, though another worker is there to take it "
    "over: also one that lets nothing else run on its event loop meanwhile.",
    settings=SHORT,
)
async def longer_than_a_lease(stage: Stage) -> None:
    for _ in range(2):
        await stage.worker()
    seconds = 1.5 * LEASE
    calls = [call("sleep", seconds=seconds), call("doze", seconds=seconds)]
    calls.append(call("block", seconds=seconds))
    runs = [await stage.mf.start(each) for each in calls]
    for run in runs:
        await run.settled(timeout=30)
        assert await run.status() is Status.DONE
        evidence = await stage.kept(run)
        rows = evidence.bodies[run.id]
        assert [row.what for row in rows] == [BEGUN, ENDED], f"{run.id} ran more than once"
        first, last = rows
        assert last.t - first.t >= seconds


@requirement(
    "B-FAIL-13",
    "A body that lets no other thread of its process run costs nothing, as long as that takes less "
    "than a lease: neither it nor what runs beside it runs twice.",
    settings={"lease": 6.0},
)
async def holds_the_interpreter(stage: Stage) -> None:
    for _ in range(2):
        await stage.worker()
    beside = [await stage.mf.start(call("sleep", seconds=1.0)) for _ in range(6)]
    await stage.ledger.has(BEGUN, len(beside))
    seconds = 2.5
    holding = await stage.mf.start(chain(call("hold", seconds=seconds), call("noted")))
    for run in (holding, *beside):
        await run.settled(timeout=30)
        await stage.kept(run)
    (held,), (free,) = (stage.ledger.of(what, task="hold") for what in (BEGUN, ENDED))
    assert free.t - held.t >= seconds
    meanwhile = [row for row in stage.ledger.rows() if row.pid == held.pid]
    assert not [row for row in meanwhile if held.t + 0.5 < row.t < free.t - 0.5], "it held nothing"
    assert not stage.ledger.of(LOST)
    assert len(stage.ledger.of(BEGUN)) == len(beside) + 2


# --- processes of a worker ----------------------------------------------------------------------
async def _in_its_process(stage: Stage) -> None:
    worker = await stage.worker()
    tasks = ("await_gate", "await_gate_in_thread")
    runs = [await stage.mf.start(call(each, gate="go")) for each in tasks]
    rows = await stage.ledger.has(BEGUN, len(runs))
    assert {row.process for row in rows} == {worker.pid}
    open_gate(stage.ledger, "go")
    for run in runs:
        await stage.kept(run)


@requirement(
    "B-FAIL-14",
    "When a child process of a worker is killed, the body in it runs again, and the worker goes "
    "on, with what its other children run.",
    claim="forks",
    instead=Instead(
        text="Bodies run in the process of the worker itself, so that none can die without it.",
        check=_in_its_process,
    ),
    settings=SHORT,
)
async def one_child(stage: Stage) -> None:
    worker = await stage.worker()
    tasks = ("await_gate", "await_gate_in_thread")
    runs = [await stage.mf.start(call(each, gate="go")) for each in tasks]
    rows = [(await stage.ledger.has(BEGUN, below=run.id))[0] for run in runs]
    assert len({worker.pid, *(row.pid for row in rows)}) == 3, "each in a child of its own"
    stage.ledger.note(KILLED, of=rows[0].pid)
    os.kill(rows[0].pid, signal.SIGKILL)
    await stage.ledger.has(BEGUN, 2, below=runs[0].id, within=20)
    assert worker.runs
    open_gate(stage.ledger, "go")
    assert [await run.result(timeout=20) for run in runs] == [{"n": 2}, {"n": 1}]
    for run in runs:
        await stage.kept(run)
