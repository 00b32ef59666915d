"""B-EXEC: how bodies are run, how often, and what they know."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from mageflow_conformance.backends.gates import open_gate
from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.spans import at_once
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.tasks.executing import ABOUT, ERRORS, TIDIED
from mageflow_conformance.backends.tasks.flowing import BLAMED
from mageflow_conformance.flows import call
from mageflow_conformance.ledger import Row
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, STOPPED
from mageflow_core import Cause, Node, Retry, Run, Status, chain, swarm
from mageflow_core.errors import TaskFailed
from mageflow_core.signatures.options import ExceptionFilter


def at_once_again(
    retries: int,
    on: tuple[ExceptionFilter, ...] = (Exception,),
    never: tuple[ExceptionFilter, ...] = (),
) -> Retry:
    """Retries that follow without a delay to speak of."""
    return Retry(retries=retries, delay=0.01, factor=1, jitter=False, on=on, never=never)


async def is_now(node: Node[Any], status: Status) -> None:
    async def reached() -> bool:
        return await node.status() is status

    await eventually(reached, within=20, about=f"{node.key} that is {status}")


async def failed(run: Run[Any]) -> TaskFailed:
    with raises(TaskFailed) as ended:
        await run.result(timeout=30)
    assert ended.raised.error is not None
    return ended.raised


def attempts(stage: Stage, run: Run[Any], what: str = BEGUN) -> list[int | None]:
    return [row.attempt for row in stage.ledger.of(what, below=run.id)]


# --- where ----------------------------------------------------------------------------------------
@requirement(
    "B-EXEC-01",
    "A body that is no coroutine runs in a thread of its own: while it blocks, the coroutines of "
    "its worker process go on.",
)
async def threads_beside_the_loop(stage: Stage) -> None:
    worker = await stage.worker()
    run = await stage.mf.start(call("held_in_thread", gate="go"))
    (begun,) = await stage.ledger.has(BEGUN, below=run.id)
    flow = chain(call("step"), call("work"), call("about"), call("about_in_thread"))
    beside = await stage.mf.start(flow, {"n": 0})
    await beside.result(timeout=20)
    last = stage.ledger.of(ENDED, below=beside.id)[-1]
    open_gate(stage.ledger, "go")
    await run.result(timeout=20)
    for each in (run, beside):
        await stage.kept(each)
    (ended,) = stage.ledger.of(ENDED, below=run.id)
    assert begun.t < last.t < ended.t
    assert {row.process for row in (begun, last, ended)} == {worker.pid}
    loop, thread = stage.ledger.of(ABOUT)
    assert loop.more["thread"] != thread.more["thread"]


@requirement(
    "B-EXEC-02",
    "All coroutines of a worker process run on one event loop, so that what one of them has opened "
    "another can use.",
)
async def one_loop(stage: Stage) -> None:
    await stage.worker()
    await stage.worker()
    flow = swarm([chain(call("about"), call("work"), call("about"))] * 20, max_concurrency=8)
    run = await stage.mf.start(flow)
    await run.result(timeout=30)
    await stage.kept(run)
    loops: dict[int, set[int]] = {}
    for row in stage.ledger.of(ABOUT):
        loops.setdefault(row.pid, set()).add(row.more["loop"])
    assert len(stage.ledger.of(ABOUT)) == 40
    assert all(len(found) == 1 for found in loops.values()), loops


# --- how long -------------------------------------------------------------------------------------
@requirement(
    "B-EXEC-03",
    "When its timeout is over a coroutine is canceled, and may clean up; each attempt is given "
    "that time, and the last one ends the run as failed because of it.",
)
async def timeout_of_a_coroutine(stage: Stage) -> None:
    await stage.worker()
    retry = at_once_again(2)
    run = await stage.mf.start(call("tidy").options(timeout=0.5, retry=retry))
    error = (await failed(run)).error
    assert error is not None
    assert (error.cause, error.attempts) == (Cause.TIMEOUT, 3)
    assert "0.5 s" in error.message
    await stage.kept(run)
    begun = attempts(stage, run)  # one that got no time at all may be missing
    assert begun
    assert begun == attempts(stage, run, STOPPED) == attempts(stage, run, TIDIED)
    assert stage.ledger.of(ENDED) == []
    in_time = await stage.mf.start(call("tidy", seconds=0.01).options(timeout=20))
    await in_time.result(timeout=20)


@requirement(
    "B-EXEC-04",
    "When its timeout is over what a body gives in a thread is refused; it keeps its slot until it "
    "returns, and only then the next attempt begins.",
)
async def timeout_in_a_thread(stage: Stage) -> None:
    await stage.worker(slots=1)
    late = call("held_in_thread", gate="first", attempts=1)
    run = await stage.mf.start(late.options(timeout=0.3, retry=at_once_again(1)))
    await stage.ledger.has(BEGUN, below=run.id)
    await is_now(run, Status.RETRYING)
    beside = await stage.mf.start(call("step"))
    open_gate(stage.ledger, "first")
    assert await beside.result(timeout=20) == {"n": 1}
    last_fence = await run.result(timeout=20)
    first, second = stage.ledger.of(BEGUN, below=run.id)
    over, _ = stage.ledger.of(ENDED, below=run.id)
    assert (first.attempt, second.attempt) == (1, 2)
    assert (over.fence, last_fence) == (first.fence, second.fence)
    assert over.t < second.t
    assert over.t < stage.ledger.of(BEGUN, below=beside.id)[0].t

    last = await stage.mf.start(call("held_in_thread", gate="last").options(timeout=0.3))
    assert (await failed(last)).error is not None
    (begun,) = await stage.ledger.has(BEGUN, below=last.id)
    assert stage.ledger.of(ENDED, below=last.id) == []
    after = await stage.mf.start(call("step"))
    open_gate(stage.ledger, "last")
    assert await after.result(timeout=20) == {"n": 1}
    (over,) = stage.ledger.of(ENDED, below=last.id)
    assert begun.t < over.t < stage.ledger.of(BEGUN, below=after.id)[0].t
    assert await last.status() is Status.FAILED
    error = await last.error()
    assert error is not None
    assert error.cause is Cause.TIMEOUT

    await stage.worker(slots=4)  # where a slot is free the next attempt waits all the same
    again = await stage.mf.start(
        call("held_in_thread", gate="again", attempts=1).options(
            timeout=0.3, retry=at_once_again(1)
        )
    )
    await is_now(again, Status.RETRYING)
    for _ in range(5):
        more = await stage.mf.start(chain(call("step"), call("step")))
        await more.result(timeout=20)
    open_gate(stage.ledger, "again")
    await again.result(timeout=20)
    _, second = stage.ledger.of(BEGUN, below=again.id)
    over, _ = stage.ledger.of(ENDED, below=again.id)
    assert over.t < second.t
    for each in (run, beside, last, after, again):
        await stage.kept(each)


# --- how often ------------------------------------------------------------------------------------
@requirement(
    "B-EXEC-05",
    "The error of what has failed names the task, the key and the cause, has the traceback as "
    "text, and is the same for who waits, who looks and who is called back.",
)
async def errors(stage: Stage) -> None:
    await stage.worker()
    for task in ("refuse", "refuse_in_thread"):
        flow = chain(call("step"), call(task, customer=17).on_error(call("blamed", of="step")))
        run = await stage.mf.start(flow.on_error(call("blamed", of="chain")))
        raised = await failed(run)
        error = raised.error
        assert error is not None
        assert (error.cause, error.task, error.key) == (Cause.BODY, task, f"{run.id}/1")
        assert error.type == "mageflow_conformance.backends.tasks.executing.Refused"
        assert error.message == "there is no customer 17"
        assert error.caused_by == "KeyError: 17"
        for text in ("Traceback", "look_up", "KeyError: 17", "Refused: there is no customer 17"):
            assert text in error.traceback
        for text in (f"'{task}'", f"{run.id}/1", error.message, "Refused"):
            assert text in str(raised)
        assert await run.error() == await run["1"].error() == error
        await stage.kept(run)
        blamed = stage.ledger.of(BLAMED, below=run.id)
        owners = {row.more["of"]: row.more["owner"] for row in blamed}
        assert owners == {"step": f"{run.id}/1", "chain": run.id}
        for row in blamed:
            assert (row.more["about"], row.more["cause"]) == (error.key, "body")


@requirement(
    "B-EXEC-06",
    "A body runs exactly as often as its retries say: attempts are numbered from 1, each runs "
    "once, and the engine adds none.",
)
async def exactly_as_many(stage: Stage) -> None:
    await stage.worker()
    await stage.worker()
    never, always = 0, 99
    wanted = [  # retries, attempts that fail, attempts that there are
        (0, never, 1),
        (0, always, 1),
        (3, always, 4),
        (3, 2, 3),
        (3, never, 1),
    ]
    runs = []
    for retries, fails, count in wanted:
        for _ in range(3):
            flow = call("falter", fails=fails).options(retry=at_once_again(retries))
            runs.append((await stage.mf.start(flow), fails, count))
    plain = await stage.mf.start(call("falter", fails=always))  # the task says nothing of retries
    runs.append((plain, always, 1))
    for run, fails, count in runs:
        if fails == always:
            assert (await failed(run)).error == await run.error()
        else:
            assert await run.result(timeout=30) == count
    for _ in range(10):  # what the engine would send again has come by then
        more = await stage.mf.start(chain(*[call("step")] * 3))
        await more.result(timeout=20)
    for run, _, count in runs:
        await stage.kept(run)
        rows = stage.ledger.of(BEGUN, below=run.id)
        assert [row.attempt for row in rows] == list(range(1, count + 1))
        assert len({row.fence for row in rows}) == count


@requirement(
    "B-EXEC-07",
    "Which errors are retried is said by their kinds, with what derives from them; those that "
    "never are stand before those that are.",
)
async def retries_by_kind(stage: Stage) -> None:
    await stage.worker()
    refused = "mageflow_conformance.backends.tasks.executing.Refused"
    cases: list[tuple[str, Retry, int]] = [
        ("KeyError", at_once_again(1, on=(KeyError,)), 2),
        ("ValueError", at_once_again(1, on=(KeyError,)), 1),
        ("Unheard", at_once_again(1, on=(LookupError,)), 2),
        ("Unheard", at_once_again(1, on=("LookupError",), never=(KeyError,)), 1),
        ("KeyError", at_once_again(1, never=(ValueError,)), 2),
        ("Refused", at_once_again(1, on=(refused,)), 2),
        ("Refused", at_once_again(1, on=(OSError, ValueError)), 1),
    ]
    runs = [
        await stage.mf.start(call("falter", fails=9, error=kind).options(retry=retry))
        for kind, retry, _ in cases
    ]
    for run, (kind, _, count) in zip(runs, cases, strict=True):
        error = (await failed(run)).error
        assert error is not None
        assert error.type.endswith(ERRORS[kind].__name__)
        assert error.attempts == count, kind
        await stage.kept(run)
        assert attempts(stage, run, FAILED) == list(range(1, count + 1))


# --- what they know -------------------------------------------------------------------------------
@requirement(
    "B-EXEC-08",
    "A body's context tells its run, key and task, its attempt, a fence that rises, a key for side "
    "effects that all its attempts share, the run's labels, and the engine's own context.",
)
async def context(stage: Stage) -> None:
    await stage.worker()
    again = call("about", fails=2).options(retry=at_once_again(2))
    flow = chain(again, call("about_in_thread"), swarm([call("about")]))
    run = await stage.mf.start(flow, labels={"team": "grün", "order": "7"})
    await run.result(timeout=30)
    await stage.kept(run)
    rows = stage.ledger.of(ABOUT)
    facts = [row.more["facts"] for row in rows]
    where = [("about", 1), ("about", 2), ("about", 3), ("about_in_thread", 1), ("about", 1)]
    assert [(each["task"], each["attempt"]) for each in facts] == where
    assert [each["key"] for each in facts] == [f"{run.id}/{p}" for p in ("0", "0", "0", "1", "2/0")]
    for each in facts:
        assert each["run"] == run.id
        assert each["labels"] == {"team": "grün", "order": "7"}
        assert each["native"] == stage.harness.context
        assert (each["alive"], each["cancelled"]) == (True, False)
    fences = [each["fence"] for each in facts[:3]]
    assert fences == sorted(set(fences))
    effects = [each["idempotency"] for each in facts]
    assert len(set(effects[:3])) == 1
    assert len(set(effects)) == 3


# --- how many -------------------------------------------------------------------------------------
@requirement(
    "B-EXEC-09",
    "As many bodies as a worker has slots run side by side in it: with eight, eight that wait for "
    "each other all end.",
)
async def side_by_side(stage: Stage) -> None:
    worker = await stage.worker(slots=8)
    runs = [await stage.mf.start(call("meet", many=8, i=i)) for i in range(8)]
    assert [await run.result(timeout=30) for run in runs] == list(range(8))
    rows = stage.ledger.of(BEGUN, task="meet") + stage.ledger.of(ENDED, task="meet")
    assert at_once(rows) == 8
    assert {row.process for row in rows} == {worker.pid}
    for run in runs:
        await stage.kept(run)


@requirement(
    "B-EXEC-10",
    "Never more bodies run in a worker at the same time than it has slots, of coroutines and those "
    "in threads together.",
)
async def slots(stage: Stage) -> None:
    await stage.worker(slots=3)
    await stage.worker(slots=3)
    tasks: list[Callable[[int], Any]] = [
        lambda i: call("item", i=i, pace=0.25),
        lambda i: call("work", n=i, pace=0.25),
    ]
    starts = [stage.mf.start(tasks[i % 2](i)) for i in range(24)]
    runs = await asyncio.gather(*starts)
    run = await stage.mf.start(swarm([call("meet", many=3, i=i) for i in range(6)]))
    for each in (*runs, run):
        await each.result(timeout=40)
    by_pid: dict[int, list[Row]] = {}
    for row in stage.ledger.rows():
        by_pid.setdefault(row.process, []).append(row)
    most = {pid: at_once(rows) for pid, rows in by_pid.items()}
    assert max(most.values()) <= 3, most
    met = stage.ledger.of(BEGUN, task="meet") + stage.ledger.of(ENDED, task="meet")
    assert at_once(met) >= 3
    assert len(stage.ledger.of(BEGUN)) == 30


@requirement(
    "B-EXEC-11",
    "Never more bodies run in threads of one process at the same time than `threads` says; "
    "coroutines run beside them, as far as slots are free.",
)
async def limited_threads(stage: Stage) -> None:
    await stage.worker(slots=8, threads=2)
    runs = [await stage.mf.start(call("held_in_thread", gate="go")) for _ in range(5)]
    most = 5 if stage.harness.forks else 2  # each child has threads of its own
    await stage.ledger.has(BEGUN, most)
    beside = await stage.mf.start(chain(call("step"), call("step"), call("step")), {"n": 0})
    assert await beside.result(timeout=20) == {"n": 3}
    assert len(stage.ledger.of(BEGUN, task="held_in_thread")) == most
    open_gate(stage.ledger, "go")
    for run in runs:
        await run.result(timeout=30)
    rows = [row for row in stage.ledger.rows() if row.more.get("task") == "held_in_thread"]
    assert at_once(rows) == most
    assert all(
        at_once([row for row in rows if row.pid == pid]) <= 2 for pid in {row.pid for row in rows}
    )
    for run in (*runs, beside):
        await stage.kept(run)


@requirement(
    "B-EXEC-12",
    "A body that tries to end its process, or cancels itself, fails as any other does; its worker "
    "works on.",
)
async def exits(stage: Stage) -> None:
    worker = await stage.worker()
    for task in ("leave", "leave_in_thread"):
        for how in ("SystemExit", "KeyboardInterrupt", "CancelledError"):
            run = await stage.mf.start(call(task, how=how))
            error = (await failed(run)).error
            assert error is not None
            assert (error.cause, error.task) == (Cause.BODY, task)
            assert how in error.type + error.message
            await stage.kept(run)
            assert len(stage.ledger.of(BEGUN, below=run.id)) == 1
    after = await stage.mf.start(call("step"))
    assert await after.result(timeout=20) == {"n": 1}
    assert {row.process for row in stage.ledger.of(BEGUN)} == {worker.pid}
    worker.must_run()
