"""S-TIME: delays, deadlines, and tasks that nobody knows."""

from __future__ import annotations

from datetime import UTC, datetime

from mageflow_conformance.stores.bench import INEXACT, SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.flow import Flow
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.failure import Cause
from mageflow_core.machine import Policy, Status, Verdict


async def ends_as(flow: Flow, status: Status, path: str = "") -> None:
    async def look() -> bool:
        return await flow.status(path) is status

    await flow.bench.eventually(look, about=f"{flow.key(path)} to be {status}")


@requirement(
    "S-TIME-01",
    "A delayed task is queued, and sent when its time has come and not before; so is one with "
    "an eta, and one whose eta is over is sent at once.",
)
async def delay(bench: Bench) -> None:
    now = bench.store.now()
    soon, past = (datetime.fromtimestamp(now + add, UTC) for add in (SOON, -5.0))
    late, eta, at_once = [
        await bench.start(each) for each in (task(delay=SOON), task(eta=soon), task(eta=past))
    ]
    await at_once.begin()
    for flow, view in [(late, await late.view()), (eta, await eta.view())]:
        assert (view.status, view.attempt) == (Status.QUEUED, 1)
        assert view.due_at is not None
        assert now + SOON - INEXACT <= view.due_at <= bench.store.now() + SOON + INEXACT
        body = await flow.begin()
        assert bench.store.now() >= view.due_at - INEXACT, "it was sent before its time"
        await body.done(1)
        assert (await flow.view()).due_at is None


@requirement(
    "S-TIME-02",
    "A delayed container begins when its time has come; a delayed item holds its slot.",
)
async def delayed_containers(bench: Bench) -> None:
    flow = await bench.start(swarm(chain(task(), delay=SOON), *tasks(2), max_concurrency=2))
    await flow.sends("/1")
    await (await flow.begin("/1")).done(1)
    assert "/0/0" not in flow.waiting()
    body = await flow.begin("/0/0")
    await flow.sends("/2")
    await body.done(0)
    assert (await flow.view("/0")).started_at is not None


@requirement(
    "S-TIME-03",
    "A delay runs on while suspended, and a canceled one is no longer due.",
)
async def delay_and_marks(bench: Bench) -> None:
    flow, canceled = await bench.start(task(delay=SOON)), await bench.start(task(delay=SOON))
    await flow.suspend()
    await canceled.cancel()
    await bench.eventually(lambda: flow.waiting() == [""], about="a suspended delay")
    assert (await flow.knock()).verdict is Verdict.PARK
    await flow.resume()
    await flow.begin()
    await bench.passes(SOON)
    assert canceled.jobs() == []


@requirement(
    "S-TIME-04",
    "When the deadline of a run passes it has failed with DeadlineExceeded, with error "
    "callbacks: at once if nothing runs, also while suspended, else when its bodies have "
    "stopped.",
)
async def deadline(bench: Bench) -> None:
    tell = [task("tell")]
    idle = await bench.start(chain(task(), err=tell, deadline=SOON))
    await idle.suspend()
    running = await bench.start(chain(task(), task(), err=tell, deadline=SOON))
    body = await running.begin("/0")
    assert await body.holds()
    shown = (await running.run()).deadline
    assert shown is not None
    await ends_as(idle, Status.FAILED)
    await ends_as(running, Status.CANCELING)
    assert bench.store.now() >= shown - INEXACT, "it came too early"
    assert not await body.holds()
    await body.released()
    assert await running.status() is Status.FAILED
    for flow in (idle, running):
        error = await flow.error()
        assert (error.cause, error.type) == (Cause.DEADLINE, "mageflow.DeadlineExceeded")
        assert error.key == flow.id
    assert "/0" not in await running.due()
    await running.begin("/!error-0")
    await idle.begin("/!error-0")


@requirement(
    "S-TIME-05",
    "A run that has ended in time has no deadline left, and a retry of it by hand counts anew.",
)
async def deadline_over(bench: Bench) -> None:
    flow, failed = [await bench.start(chain(task(), deadline=SOON)) for _ in range(2)]
    first = (await failed.run()).deadline
    await (await flow.begin("/0")).done(1)
    await (await failed.begin("/0")).fails()
    await bench.passes(SOON / 2)
    await failed.retry()
    again = (await failed.run()).deadline
    assert first is not None
    assert again is not None
    assert again >= first + SOON / 2 - INEXACT, "it does not count from the retry"
    await ends_as(failed, Status.FAILED)
    over = (await failed.view()).ended_at
    assert over is not None
    assert over >= again - INEXACT, "it came too early"
    assert (await failed.error()).cause is Cause.DEADLINE
    assert await flow.status() is Status.DONE


@requirement(
    "S-TIME-06",
    "work() says when to come again, not later than the next thing is due; the process that it "
    "told another time is told by on_due when something becomes due earlier.",
)
async def told_of_what_is_due(bench: Bench) -> None:
    await bench.start(task(delay=900.0))
    await bench.settle()
    bench.first.dues.clear()
    flow = await bench.start(task(delay=2.0))
    due = (await flow.view()).due_at
    assert due is not None
    latest = due + bench.clock.now() - bench.store.now() + INEXACT
    await bench.eventually(
        lambda: any(time <= latest for time in bench.first.dues), about="on_due", within=2.0
    )
    again = await bench.store.work()
    assert again is not None
    assert again <= latest, "work() would come too late"


@requirement(
    "S-TIME-07",
    "A node that was given to a worker that does not know its task fails with UnknownTask when "
    "no live worker has known it for unknown_task_timeout.",
    policy=Policy(unknown_task_timeout=SOON),
)
async def unknown(bench: Bench) -> None:
    flow = await bench.start(chain(task("new-task", err=[task()])))
    queued = (await flow.view("/0")).queued_at
    assert queued is not None
    for _ in range(3):
        await bench.store.unknown(flow.key("/0"))
    assert await flow.status("/0") is Status.QUEUED
    await ends_as(flow, Status.FAILED)
    assert bench.store.now() >= queued + SOON - INEXACT, "it came too early"
    error = await flow.error()
    assert (error.type, error.task) == ("mageflow.UnknownTask", "new-task")
    await flow.begin("/0/!error-0")
    await bench.store.unknown("nobody")


@requirement(
    "S-TIME-08",
    "A node whose task a live worker has come to know is sent again, and does not fail; nor "
    "does one that ran in between, or was canceled.",
    policy=Policy(unknown_task_timeout=SOON),
)
async def known_meanwhile(bench: Bench) -> None:
    known, ran, canceled = [await bench.start(task(name)) for name in ("new-task", "work", "work")]
    for flow in (known, ran, canceled):
        await bench.store.unknown(flow.id)
    bench.first.tasks = frozenset({"work", "new-task"})
    await bench.first.renew()
    body = await ran.begin()
    await canceled.cancel()
    sent = len(known.jobs())
    await bench.eventually(lambda: len(known.jobs()) > sent, about="a task that is known now")
    assert await known.status() is Status.QUEUED
    await body.done(1)
    await bench.passes(SOON)
    assert await canceled.status() is Status.CANCELED
    assert await ran.status() is Status.DONE
    await known.begin()


@requirement(
    "S-TIME-09",
    "200 delays that end at one time are all served, each once.",
)
async def many(bench: Bench) -> None:
    flow = await bench.start(swarm(*[task(delay=SOON)] * 200, max_concurrency=None))
    assert await flow.due() == []
    await bench.eventually(lambda: len(flow.waiting()) == 200, about="200 delayed tasks")
    await bench.settle()
    assert len(flow.jobs()) == 200
