"""B-OPER: what people see of an engine and its workers, and how they end them."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Literal

from mageflow_conformance.backends.harness import SECRET
from mageflow_conformance.backends.life import LOGGED, REFUSED
from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import Instead, requirement
from mageflow_conformance.backends.seam import SEAM
from mageflow_conformance.backends.stage import Stage, process_of
from mageflow_conformance.backends.steering import LEASE, LONG, begun, bodies, go, other_work
from mageflow_conformance.backends.tasks.operated import TOLD
from mageflow_conformance.flows import call
from mageflow_conformance.processes import Process
from mageflow_conformance.servers.ports import HOST, free_port
from mageflow_conformance.waiting import eventually, scaled, stays
from mageflow_conformance.witness import BEGUN, ENDED, STOPPED
from mageflow_core import Status, chain
from mageflow_core.errors import BackendUnavailable, StoreUnavailable, TaskFailed
from mageflow_core.stores.protocol import WorkerInfo

SOON = 15.0  # seconds in which it is to be known that an engine is away
MIDDLE = "swordfish"  # of values that must not be logged


# --- the engine -----------------------------------------------------------------------------------
async def always_there(stage: Stage) -> None:
    await stage.worker()
    health = await stage.mf.health()
    assert health.reachable
    assert health.detail
    await other_work(stage)


@requirement(
    "B-OPER-01",
    "While the engine is away its health says so within seconds, and names what is; runs can be "
    "started all the same, and end when it is back, without workers being started again.",
    claim="restarts",
    instead=Instead(
        text="There is no engine that could be away: its health says where the work is done.",
        check=always_there,
    ),
    alone=True,
    within=120,
)
async def engine_away(stage: Stage) -> None:
    await always_there(stage)
    now = asyncio.get_running_loop().time
    await asyncio.to_thread(stage.harness.down)
    try:
        asked = now()
        health = await stage.mf.health()
        stage.measured["told"] = round(now() - asked, 3)
        assert not health.reachable
        assert health.detail
        assert now() - asked < scaled(SOON)
        run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
        await eventually(lambda: told_away(stage), within=LONG)
        assert bodies(stage, run) == {}
    finally:
        await asyncio.to_thread(stage.harness.up)
    await eventually(lambda: told_back(stage), within=LONG, about="an engine that is back")
    assert await run.result(timeout=3 * LONG) == {"n": 2}
    await stage.kept(run)


async def told_away(stage: Stage) -> bool:
    return not (await stage.mf.health()).reachable


async def told_back(stage: Stage) -> bool:
    return (await stage.mf.health()).reachable


async def opens_alone(stage: Stage) -> None:
    await stage.worker()
    await other_work(stage)


@requirement(
    "B-OPER-02",
    "Where the engine cannot be reached neither a client nor a worker opens: the error names the "
    "place, and no password, and the worker's process ends with it.",
    claim="unreachable",
    instead=Instead(
        text="There is no engine to reach: a worker opens without any.", check=opens_alone
    ),
    within=90,
)
async def unreachable(stage: Stage) -> None:
    port = free_port()
    settings = stage.harness.unreachable(port)
    assert settings is not None
    with raises(BackendUnavailable) as caught:
        await stage.watch(**settings)
    await refused(stage, stage.launch(**settings), "BackendUnavailable", str(port))
    assert str(port) in str(caught.raised)
    assert SECRET not in str(caught.raised)


@requirement(
    "B-OPER-03",
    "Where the store cannot be reached neither a client nor a worker opens: the error names the "
    "place, and no password, and the worker's process ends with it.",
    within=90,
)
async def no_store(stage: Stage) -> None:
    port = free_port()
    settings: dict[str, Any] = {
        "store": f"redis://suite:{SECRET}@{HOST}:{port}/0",
        "store_patience": 0.5,
    }
    with raises(StoreUnavailable) as caught:
        await stage.watch(**settings)
    await refused(stage, stage.launch(**settings), "StoreUnavailable", f"{HOST}:{port}")
    assert f"{HOST}:{port}" in str(caught.raised)
    assert SECRET not in str(caught.raised)


async def refused(stage: Stage, worker: Process, error: str, place: str) -> None:
    """Wait until a worker that cannot open has ended, and look at what it has said."""
    await worker.exited(1, within=3 * LONG)
    (said,) = stage.ledger.of(REFUSED)
    assert said.process == worker.pid
    assert said.more["error"] == error
    printed = worker.log.read_text("utf-8", "replace")
    for text in (said.more["text"], printed):
        assert place in text, text
        assert SECRET not in text


async def served_by_core(stage: Stage) -> None:
    worker = await stage.worker()
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    await stage.kept(run)
    assert {row.process for row in stage.ledger.of(ENDED)} == {worker.pid}
    await worker.stop()


@requirement(
    "B-OPER-04",
    "The engine's own command, given the client of an app, serves its tasks as MageFlow's own "
    "worker does, and ends in order when it is told to, after what runs.",
    claim="command",
    instead=Instead(
        text="There is no such command; MageFlow's own worker serves.", check=served_by_core
    ),
    within=120,
)
async def own_command(stage: Stage) -> None:
    worker = await stage.hosted()
    run = await stage.mf.start(chain(call("step"), call("stumble"), call("work")), {"n": 0})
    assert await run.result(timeout=LONG) == {"n": 12}
    await stage.kept(run)
    (info,) = await workers(stage)
    assert {row.pid for row in stage.ledger.of(BEGUN)} == {info.pid}
    assert {"step", "work"} <= info.tasks
    held = await begun(stage, call("until"))
    worker.ask_to_end()
    await stays(lambda: worker.runs and not stage.ledger.of(STOPPED), seconds=0.5)
    go(stage)
    await worker.exited(0, within=2 * LONG)
    await stage.kept(held)
    assert await held.status() is Status.DONE
    assert await workers(stage) == []


# --- workers --------------------------------------------------------------------------------------
async def workers(stage: Stage) -> list[WorkerInfo]:
    return list(await (await stage.mf.opened()).workers())


async def pids(stage: Stage) -> set[int]:
    return {process_of(info) for info in await workers(stage)}


async def total(stage: Stage, what: Literal["slots", "running"]) -> dict[int, int]:
    """By the processes that the suite has started, which may have children that work."""
    found: Counter[int] = Counter()
    for info in await workers(stage):
        found[process_of(info)] += getattr(info, what)
    return dict(found)


async def leaves(stage: Stage, pid: int) -> bool:
    """Whether this worker is gone from the list, or serves nothing more there."""
    return all(process_of(info) != pid or not info.backends for info in await workers(stage))


@requirement(
    "B-OPER-05",
    "The workers that are alive can be listed, with their tasks, slots, processes and how many "
    "bodies run in each; one that has left is gone at once, one that was killed after its lease.",
)
async def worker_list(stage: Stage) -> None:
    one = await stage.worker(slots=7, lease=3.0)
    two = await stage.worker(knows=["step", "work"], slots=5, lease=3.0)
    runs = [await begun(stage, call("until")) for _ in range(2)]

    async def told() -> bool:
        return await total(stage, "slots") == {one.pid: 7, two.pid: 5}

    await eventually(told, within=LONG, about="workers with as many slots as they were given")
    for info in await workers(stage):
        assert info.host
        assert info.id
        assert {"step", "work"} <= info.tasks
        assert ("until" in info.tasks) is (process_of(info) == one.pid)

    async def counted() -> bool:
        return await total(stage, "running") == {one.pid: 2, two.pid: 0}

    await eventually(counted, within=LONG, about="two bodies that run in one of the workers")
    go(stage)
    for run in runs:
        await stage.kept(run)
    await one.stop()
    assert await pids(stage) == {two.pid}
    await two.kill()

    async def none() -> bool:
        return await pids(stage) == set()

    await eventually(none, within=LONG, about="a worker that was killed and is forgotten")


@requirement(
    "B-OPER-06",
    "A worker that gets SIGTERM ends with exit code 0 when what runs in it has ended, is gone from "
    "the list of workers then, and leaves what waits to others.",
)
async def sigterm(stage: Stage) -> None:
    worker = await stage.worker(slots=1, lease=LEASE)
    held = await begun(stage, call("until"))
    waiting = [await stage.mf.start(call("step"), {"n": n}) for n in range(5)]
    worker.ask_to_end()
    await eventually(lambda: leaves(stage, worker.pid), within=LONG, about="a worker that leaves")
    assert worker.runs
    go(stage)
    await worker.exited(0)
    assert await pids(stage) == set()
    other = await stage.worker(lease=LEASE)
    for run in (held, *waiting):
        await stage.kept(run)
        assert await run.status() is Status.DONE
        assert bodies(stage, run) == {run.id: [1]}
    ran = {row.process for run in waiting for row in stage.ledger.of(BEGUN, below=run.id)}
    assert ran == {other.pid}


@requirement(
    "B-OPER-07",
    "A second SIGTERM stops at once what still runs, without waiting for the grace to end; it runs "
    "again in another worker, with the same attempt.",
    settings={"shutdown_grace": 60.0},
)
async def second_sigterm(stage: Stage) -> None:
    worker = await stage.worker()
    run = await begun(stage, call("until"))
    worker.ask_to_end()
    await eventually(lambda: leaves(stage, worker.pid), within=LONG, about="a worker that leaves")
    await other_worker(stage)
    assert stage.ledger.of(STOPPED) == []
    worker.ask_to_end()
    await worker.exited(0, within=LONG)
    (stopped,) = stage.ledger.of(STOPPED)
    assert (stopped.process, stopped.key) == (worker.pid, run.id)
    go(stage)
    assert await run.result(timeout=LONG) == {"n": 1}
    await stage.kept(run)
    assert bodies(stage, run) == {run.id: [1, 1]}


async def other_worker(stage: Stage) -> None:
    """One that works while another one leaves."""
    await stage.worker()
    await other_work(stage)


# --- logs -----------------------------------------------------------------------------------------
@requirement(
    "B-OPER-08",
    "What a task logs says its run, key, task and attempt, what a worker logs of a job its key; "
    "neither they nor the engine's client logs messages, arguments or results.",
)
async def logs(stage: Stage) -> None:
    rule = {"do": "foreign", "task": "step"}
    worker = await stage.worker(logs=True, rules=[rule], lease=LEASE)
    flow = chain(call("confide", secret=f"an-{MIDDLE}"), call("step"))
    run = await stage.mf.start(flow, {"n": 0, "other": f"a-{MIDDLE}"})
    assert await run.result(timeout=LONG) == {"n": 2}
    echo = await stage.mf.start(call("echo"), {"value": f"a-{MIDDLE}"})
    assert await echo.result(timeout=LONG) == f"a-{MIDDLE}"
    wrong = await stage.mf.start(call("item", i=f"no-{MIDDLE}"))
    failed = await stage.mf.start(call("confide", secret=["not", f"a-{MIDDLE}"]))
    for each in (wrong, failed):
        with raises(TaskFailed):
            await each.result(timeout=LONG)
    late = await stage.mf.start(call("until", gate=f"never-{MIDDLE}").options(timeout=0.3))
    with raises(TaskFailed):
        await late.result(timeout=LONG)
    await stage.kept(run)
    assert stage.ledger.of(SEAM, do="foreign")
    await worker.stop()
    lines = stage.ledger.of(LOGGED)
    told = [row for row in lines if row.more["text"] == TOLD]
    where: list[Any] = [(row.more["run"], row.key, row.more["task"], row.attempt) for row in told]
    assert where == [(run.id, run[0].key, "confide", attempt) for attempt in (1, 2)]
    assert any(run[1].key in row.more["text"] for row in lines), "of the job that came wrongly"
    leaked = [row.more["text"] for row in lines if MIDDLE in row.more["text"]]
    assert leaked == [], leaked
    assert MIDDLE not in worker.log.read_text("utf-8", "replace")
