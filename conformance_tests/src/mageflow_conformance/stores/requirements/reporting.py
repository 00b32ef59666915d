"""S-REPORT: how an attempt ended, as its worker says."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import INEXACT, SOON, Bench
from mageflow_conformance.stores.builders import chain, task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.failure import Cause
from mageflow_core.machine import Done, Report, Returned, Status


@requirement(
    "S-REPORT-01",
    "A result ends its node as done, with the result, its times and its worker kept.",
)
async def done(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    assert await flow.text() is None, "there is no result yet"
    await body.done([1, {"two": None}])
    view = await flow.view()
    assert (view.status, view.worker, view.error) == (Status.DONE, bench.first.worker, None)
    assert await flow.value() == [1, {"two": None}]
    assert view.queued_at is not None
    assert view.started_at is not None
    assert view.ended_at is not None
    assert view.queued_at <= view.started_at <= view.ended_at
    assert (await flow.run()).settled_at is not None


@requirement(
    "S-REPORT-02",
    "An outcome that is said again is accepted and changes nothing, also when what follows has "
    "begun, and also if it says something else.",
)
async def said_again(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    body = await flow.begin("/0")
    for _ in range(3):
        await body.done("first")
    await body.done("something else")
    await body.fails()
    assert await flow.value("/0") == "first"
    await flow.runs_once("/1")
    sent = len(flow.jobs())
    await body.done("first")
    await bench.calm()
    assert len(flow.jobs()) == sent, "what was claimed is sent again"
    assert await flow.events() == [("started", ""), ("begun", ""), ("done", "/0")]


@requirement(
    "S-REPORT-03",
    "An outcome whose fence or claim is not that of the node is refused with a reason, and "
    "changes nothing.",
)
async def wrong_fence(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    good = Report("", body.work.claim, body.work.fence, Done(value='"forged"'))
    for forged in (
        good._replace(fence=body.work.fence + 1),
        good._replace(fence=body.work.fence - 1),
        good._replace(claim="somebody-else"),
    ):
        assert await bench.store.report(flow.id, forged), "an outcome of nobody is accepted"
        assert await flow.status() is Status.ACTIVE
    await body.done("real")
    assert await flow.value() == "real"


@requirement(
    "S-REPORT-04",
    "What a worker says whose lease was lost is refused, before and after its successor has "
    "claimed.",
)
async def zombie(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    other = await bench.another()
    late = await flow.begin("/0", by=other)
    await other.leave(crashed=True)
    assert await late.says(Done(value='"zombie"')), "refused before its successor"
    body = await flow.begin("/0")
    assert await late.says(Done(value='"zombie"')), "refused beside its successor"
    assert not await late.holds()
    await body.done("A")
    assert await late.says(Done(value='"zombie"')), "refused after its successor"
    assert await flow.value("/0") == "A"
    assert len(flow.jobs("/1")) == 1


@requirement(
    "S-REPORT-05",
    "A failure without another attempt ends its node as failed, with the error exactly as the "
    "worker made it.",
)
async def failed(bench: Bench) -> None:
    flow = await bench.start(task("work-a"))
    body = await flow.begin()
    await body.fails(text='ünlucky "quoted" 😀\n' + "x" * 20_000)
    view = await flow.view()
    assert view.status is Status.FAILED
    assert view.error == body.info('ünlucky "quoted" 😀\n' + "x" * 20_000)
    assert await flow.text() is None
    assert await flow.due() == []


@requirement(
    "S-REPORT-06",
    "A failure with a time for the next attempt leaves its node retrying until then, with the "
    "error shown; the next attempt has the next number, and its success leaves no error.",
)
async def retried(bench: Bench) -> None:
    flow = await bench.start(task())
    before = bench.store.now()
    body = await flow.begin()
    await body.fails(retry_in=SOON, text="not yet")
    view = await flow.view()
    assert (view.status, view.attempt) == (Status.RETRYING, 2)
    assert view.error is not None
    assert view.error.message == "not yet"
    assert view.due_at is not None
    assert before + SOON - INEXACT <= view.due_at <= bench.store.now() + SOON + INEXACT
    again = await flow.begin()
    assert bench.store.now() >= view.due_at - INEXACT, "it was sent before its time"
    assert again.work.attempt == 2
    assert {job.attempt for job in flow.jobs()} == {1, 2}
    await again.done(1)
    ended = await flow.view()
    assert (ended.status, ended.error) == (Status.DONE, None)


@requirement(
    "S-REPORT-07",
    "A released attempt is not counted: the node is sent again at once, with the same number "
    "and another job id.",
)
async def released(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    await body.released()
    assert await flow.status() is Status.QUEUED
    again = await flow.begin()
    assert (again.work.attempt, again.work.fence > body.work.fence) == (1, True)
    ids = [job.id for job in flow.jobs()]
    assert len(ids) == len(set(ids)) == 2, ids
    await body.says(Done(value='"it had let go"'))
    assert await flow.text() is None
    await again.done(1)


@requirement(
    "S-REPORT-08",
    "After a timeout whose thread still runs, the next attempt waits until that thread is said "
    "to have returned; what it returns is ignored.",
)
async def held(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    await body.fails(retry_in=0.05, held=True, cause=Cause.TIMEOUT)
    await bench.passes(0.15)
    assert await flow.due() == []
    assert await flow.status() is Status.RETRYING
    assert not await body.holds()
    await body.done("late")
    assert (await flow.status(), await flow.text()) == (Status.RETRYING, None)
    await body.thread_returns()
    assert (await flow.begin()).work.attempt == 2
    await body.says(Returned())


@requirement(
    "S-REPORT-09",
    "An outcome for a run or node that is not there is refused with a reason.",
)
async def nobody(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    for run_id, path in (("nobody", ""), (flow.id, "/1"), (flow.id, "/9")):
        message = Report(path, "claim", 1, Done(value="1"))
        assert await bench.store.report(run_id, message), (run_id, path)
    assert await flow.status("/1") is Status.PENDING


@requirement(
    "S-REPORT-10",
    "A timeout without another attempt fails the node at once, and lets the thread of it go.",
)
async def held_and_failed(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    await body.fails(held=True, cause=Cause.TIMEOUT, text="took longer than 3 s")
    assert await flow.status() is Status.FAILED
    assert (await flow.error()).cause is Cause.TIMEOUT
    assert await flow.has_settled()
    await body.says(Returned())
    assert await flow.due() == []


@requirement(
    "S-REPORT-11",
    "Of many outcomes that one claim says at the same time one is applied, and all are accepted.",
)
async def said_at_once(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    body = await flow.begin("/0")
    outcomes = [Done(value=f'"{n}"') for n in range(10)]
    answers = await asyncio.gather(*(body.says(outcome) for outcome in outcomes))
    assert answers == [None] * 10, answers
    assert await flow.value("/0") in [str(n) for n in range(10)]
    await flow.sends("/1")
    await flow.runs_once("/1")
