"""S-CALLBACK: what is due when its owner has ended, once."""

from __future__ import annotations

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, swarm, task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Status, Verdict


@requirement(
    "S-CALLBACK-01",
    "A success callback is sent when its owner is done, once, with the owner's message and "
    "result; error callbacks are not.",
)
async def success(bench: Bench) -> None:
    flow = await bench.start(task(ok=[task("work-1"), task("work-2")], err=[task("no")]), "m")
    body = await flow.begin()
    await body.done("A")
    await flow.sends("/!success-0", "/!success-1")
    assert len(flow.jobs()) == 3, "a callback was sent twice"
    await body.done("A")
    for path in ("/!success-0", "/!success-1"):
        callback = await flow.runs_once(path)
        given = callback.work.input
        assert (given.message, given.previous, given.error) == ('"m"', '"A"', None)
        await callback.done()
    assert list(await flow.statuses()) == ["/!success-0", "/!success-1"]


@requirement(
    "S-CALLBACK-02",
    "An error callback is sent when its owner has failed, once, with the failed task's message "
    "and the error, which names what failed and the owner.",
)
async def error(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task(), ok=[task("no")], err=[task()]), "m")
    await (await flow.begin("/0")).done("A")
    body = await flow.begin("/1")
    await body.fails(text="boom")
    await flow.sends("/!error-0")
    callback = await flow.begin("/!error-0")
    given = callback.work.input
    assert given.message == '"m"'
    assert given.error is not None
    assert (given.error.message, given.error.key) == ("boom", flow.key("/1"))
    assert given.error.owner == flow.id
    await callback.done()
    assert len(flow.jobs()) == 3
    assert await flow.status() is Status.FAILED


@requirement(
    "S-CALLBACK-03",
    "A run is settled when its root has ended and no callback is left, and not before; "
    "callbacks change nothing for their owners.",
)
async def settled(bench: Bench) -> None:
    flow = await bench.start(swarm(task(ok=[task(err=[task()])]), task()))
    await (await flow.begin("/0")).done(0)
    await (await flow.begin("/1")).done(1)
    assert await flow.status() is Status.DONE
    assert not await flow.has_settled()
    await (await flow.begin("/0/!success-0")).fails()
    assert (await flow.status(), await flow.status("/0")) == (Status.DONE, Status.DONE)
    assert not await flow.has_settled(), "the callback has a callback"
    await (await flow.begin("/0/!success-0/!error-0")).done()
    assert await flow.has_settled()
    assert await flow.value() == [0, 1]


@requirement(
    "S-CALLBACK-04",
    "What was canceled or skipped has no callbacks.",
)
async def none_due(bench: Bench) -> None:
    no = [task("no")]
    either = task(ok=no, err=no)
    flow = await bench.start(chain(either, either, ok=no, err=no))
    await flow.cancel()
    assert await flow.has_settled()
    other = await bench.start(chain(task(), either))
    await (await other.begin("/0")).fails()
    assert await other.has_settled()
    await bench.settle()
    assert {job.task for job in bench.backend.jobs} == {"work"}


@requirement(
    "S-CALLBACK-05",
    "Callbacks obey a suspend above them also when their owner has ended, and are sent when "
    "that is resumed.",
)
async def suspended(bench: Bench) -> None:
    flow = await bench.start(task(ok=[task()]))
    body = await flow.begin()
    await flow.suspend()
    await body.done(1)
    assert (await flow.knock("/!success-0")).verdict is Verdict.PARK
    await flow.resume()
    await (await flow.begin("/!success-0")).done()
    assert await flow.has_settled()


@requirement(
    "S-CALLBACK-06",
    "A cancel spares the callbacks that were due before it, parked ones too; one by itself can "
    "be canceled.",
)
async def spared(bench: Bench) -> None:
    item = task(ok=[task()])
    flow = await bench.start(swarm(item, item, item, max_concurrency=3))
    await (await flow.begin("/0")).done(0)
    await (await flow.begin("/1")).done(1)
    running = await flow.begin("/0/!success-0")
    await flow.suspend()
    assert (await flow.knock("/1/!success-0")).verdict is Verdict.PARK
    await flow.cancel()
    assert await flow.status() is Status.CANCELED
    assert await running.holds()
    await running.done()
    await flow.begin("/1/!success-0")
    assert not await flow.has_settled()
    await flow.cancel("/1/!success-0")
    assert await flow.status("/1/!success-0") is Status.CANCELING


@requirement(
    "S-CALLBACK-07",
    "Callbacks are due once for each generation of their owner.",
)
async def by_generation(bench: Bench) -> None:
    flow = await bench.start(task(ok=[task()], err=[task()]))
    await (await flow.begin()).fails(text="one")
    await flow.retry()
    await (await flow.begin()).fails(text="two")
    await flow.retry()
    await (await flow.begin()).done(1)
    expected = ["/!error-0", "/!error-0@2", "/!success-0@3"]
    await flow.sends(*expected)
    first = await flow.begin("/!error-0")
    assert first.work.input.error is not None
    assert first.work.input.error.message == "one", "of its own generation"
    await first.done()
    await flow.serve()
    assert await flow.statuses() == dict.fromkeys(expected, Status.DONE)
    assert len(flow.jobs()) == 6
