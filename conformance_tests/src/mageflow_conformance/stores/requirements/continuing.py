"""S-CONTINUE: a task that returns a signature is replaced by it, in its place."""

from __future__ import annotations

from mageflow_conformance.stores.bench import INEXACT, SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Continued, Policy, Status


@requirement(
    "S-CONTINUE-01",
    "A task that returns a signature keeps its key, slot and callbacks; what follows stands at "
    "key~1, and its result is the node's.",
)
async def in_place(bench: Bench) -> None:
    flow = await bench.start(swarm(task(ok=[task()]), task(), max_concurrency=1), "m")
    await (await flow.begin("/0")).returns(chain(task(), task()))
    assert await flow.status("/0") is Status.ACTIVE
    await flow.sends("/0~1/0")
    await (await flow.begin("/0~1/0")).done("B")
    await (await flow.begin("/0~1/1")).done("C")
    assert await flow.value("/0") == "C"
    await flow.sends("/0/!success-0", "/1")
    assert (await flow.begin("/0/!success-0")).work.input.previous == '"C"'


@requirement(
    "S-CONTINUE-02",
    "What follows is given the replaced task's message and previous result, or the message as "
    "both where the task forwards it.",
)
async def given(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task(), task()), "m")
    await (await flow.begin("/0")).done("A")
    await (await flow.begin("/1")).returns(task())
    after = await flow.begin("/1~1")
    assert (after.work.input.message, after.work.input.previous) == ('"m"', '"A"')
    await after.done("B")
    await (await flow.begin("/2")).returns(task(), message_only=True)
    after = await flow.begin("/2~1")
    assert (after.work.input.message, after.work.input.previous) == ('"m"', '"m"')


@requirement(
    "S-CONTINUE-03",
    "A loop of continuations does not nest: they stand at key~1, key~2, key~3, and there are no "
    "more than may be.",
    policy=Policy(max_continuations=3),
)
async def loop(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    await (await flow.begin("/0")).returns(task())
    for number in (1, 2):
        await (await flow.begin(f"/0~{number}")).returns(task())
    await flow.sends("/0~3")
    assert (await flow.view("/0~3")).depth == (await flow.view("/0")).depth + 1
    await (await flow.begin("/0~3")).returns(task())
    error = await flow.error()
    assert error.type == "mageflow.TooManyContinuations"
    assert await flow.status("/0") is Status.FAILED


@requirement(
    "S-CONTINUE-04",
    "The outcome that continued, said again, begins nothing twice.",
)
async def said_again(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    for _ in range(3):
        await body.returns(task())
    await (await flow.runs_once("~1")).returns(task())
    await body.returns(task())
    await flow.sends("~2")
    assert list(await flow.statuses()) == ["~1", "~2"]
    await (await flow.runs_once("~2")).done(2)
    assert await flow.value() == 2


@requirement(
    "S-CONTINUE-05",
    "A failure in what was returned is the failure of the task that returned it.",
)
async def failure(bench: Bench) -> None:
    flow = await bench.start(chain(task(err=[task()]), task()))
    await (await flow.begin("/0")).returns(chain(task(), task()))
    await (await flow.begin("/0~1/0")).fails(text="deep")
    assert await flow.status("/0") is Status.FAILED
    assert await flow.status() is Status.FAILED
    assert (await flow.error()).key == flow.key("/0~1/0")
    callback = await flow.begin("/0/!error-0")
    assert callback.work.input.error is not None
    assert callback.work.input.error.owner == flow.key("/0")


@requirement(
    "S-CONTINUE-06",
    "Nothing follows a body that returns a signature when it is being canceled.",
)
async def canceled(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    body = await flow.begin("/0")
    await flow.cancel()
    assert await body.says(Continued(signature=task())) is None
    assert await flow.status() is Status.CANCELED
    assert await flow.due() == []
    assert len(flow.jobs()) == 1


@requirement(
    "S-CONTINUE-07",
    "What was returned is kept whole: options, arguments and callbacks; its delay is waited for.",
)
async def kept(bench: Bench) -> None:
    follows = task(ok=[task()], delay=SOON).bind(n=2**53 + 1, empty={})
    flow = await bench.start(task())
    await (await flow.begin()).returns(follows)
    due = (await flow.view("~1")).due_at
    assert due is not None
    body = await flow.begin("~1")
    assert bench.store.now() >= due - INEXACT
    assert body.work.signature == follows
    await body.done(1)
    await flow.sends("~1/!success-0")
