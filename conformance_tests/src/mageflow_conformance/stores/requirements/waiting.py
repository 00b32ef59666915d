"""S-WAIT: waiting for an end, without asking again and again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

from mageflow_conformance.stores.bench import SOON, Bench, Handle
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.raising import raises_not_found
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Policy, Status
from mageflow_core.stores.protocol import NodeView

Until = Literal["ended", "settled"]
Waiter = asyncio.Task[NodeView]


@asynccontextmanager
async def waiters(
    *calls: tuple[Handle, str], until: Until = "ended"
) -> AsyncIterator[list[Waiter]]:
    """Begin to wait, and give up in the end if nothing has come of it."""
    made = [asyncio.create_task(handle.store.wait(key, until)) for handle, key in calls]
    try:
        await asyncio.sleep(0)
        yield made
    finally:
        for waiter in made:
            waiter.cancel()
        await asyncio.gather(*made, return_exceptions=True)


@requirement(
    "S-WAIT-01",
    "Waiting for what has ended, or has settled, returns at once.",
)
async def at_once(bench: Bench) -> None:
    flow = await bench.start(task())
    await (await flow.begin()).done(1)
    until: Until
    for until in ("ended", "settled"):
        async with asyncio.timeout(2):
            view = await bench.store.wait(flow.id, until)
        assert view.status is Status.DONE


@requirement(
    "S-WAIT-02",
    "Waiters are woken when what they wait for ends, on the handle that ended it and on others, "
    "and not before.",
)
async def woken(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(chain(task(), task()))
    keys = (flow.id, flow.key("/0"), flow.key("/1"))
    calls = [(handle, key) for handle in (bench.first, other) for key in keys]
    async with waiters(*calls) as (run, first, second, run2, first2, second2):
        await (await flow.begin("/0")).done(1)
        await bench.eventually(lambda: first.done() and first2.done(), about="waiters of a step")
        assert not any(waiter.done() for waiter in (run, second, run2, second2))
        body = await flow.begin("/1", other)
        await body.done(2)
        rest = (run, second, run2, second2)
        await bench.eventually(lambda: all(w.done() for w in rest), about="waiters of a run")
        assert {waiter.result().status for waiter in (first, *rest)} == {Status.DONE}


@requirement(
    "S-WAIT-03",
    "Waiting until a run is settled is waiting for its callbacks too.",
)
async def settled(bench: Bench) -> None:
    flow = await bench.start(task(ok=[task()]))
    async with waiters((bench.first, flow.id), until="settled") as (waiter,):
        await (await flow.begin()).done(1)
        callback = await flow.begin("/!success-0")
        assert not waiter.done()
        await callback.done()
        await bench.eventually(waiter.done, about="a run that is settled")
        assert waiter.result().status is Status.DONE


@requirement(
    "S-WAIT-04",
    "Those who wait for a node that never begins are woken when a container above it has ended, "
    "by an outcome, a cancel or a timer.",
)
async def never_begun(bench: Bench) -> None:
    failed = await bench.start(chain(task(), chain(task())))
    canceled = await bench.start(chain(task(), chain(task())))
    late = await bench.start(chain(task(), chain(task()), deadline=SOON))
    flows = (failed, canceled, late)
    async with waiters(*((bench.first, flow.key("/1/0")) for flow in flows)) as made:
        await (await failed.begin("/0")).fails()
        await canceled.cancel()
        await bench.eventually(lambda: all(w.done() for w in made), about="all to be woken")
        statuses = [waiter.result().status for waiter in made]
    assert statuses == [Status.SKIPPED, Status.CANCELED, Status.SKIPPED]


@requirement(
    "S-WAIT-05",
    "Those who wait for a run that is removed get RunNotFound.",
    policy=Policy(pending_ttl=SOON),
)
async def removed(bench: Bench) -> None:
    flow = await bench.create(task())
    async with waiters((bench.first, flow.id)) as (waiter,):
        await bench.eventually(waiter.done, about="a waiter of a run that is removed")
        await raises_not_found(waiter)


@requirement(
    "S-WAIT-06",
    "Hundreds can wait at the same time, and those who give up disturb nobody.",
)
async def many(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(50), max_concurrency=None))
    keys = [flow.key(f"/{n}") for n in range(50)] * 4
    async with waiters(*((bench.first, key) for key in keys)) as made:
        for waiter in made[:100]:
            waiter.cancel()
        for n in range(50):
            await (await flow.begin(f"/{n}")).done(n)
        rest = made[100:]
        await bench.eventually(lambda: all(w.done() for w in rest), about="those who still wait")
        assert {waiter.result().status for waiter in rest} == {Status.DONE}


@requirement(
    "S-WAIT-07",
    "No end is missed between reading and waiting: those who begin to wait while a node ends "
    "are woken.",
)
async def no_gap(bench: Bench) -> None:
    other = await bench.another()
    for _ in range(20):
        flow = await bench.start(task())
        body = await flow.begin(by=other)
        waiting = asyncio.create_task(bench.store.wait(flow.id, "ended"))
        ending = asyncio.create_task(body.done(1))
        async with asyncio.timeout(2):
            await asyncio.gather(waiting, ending)
        assert waiting.result().status is Status.DONE


@requirement(
    "S-WAIT-08",
    "Who waits for an outcome gets the result with it, of a task or a container, and none where "
    "there is none.",
)
async def outcomes(bench: Bench) -> None:
    flow = await bench.start(chain(task(), swarm(*tasks(2), max_concurrency=1)))
    keys = (flow.id, flow.key("/0"), flow.key("/1"), flow.key("/1/0"), flow.key("/1/1"))
    waiting = [asyncio.create_task(bench.store.outcome(key)) for key in keys]
    await asyncio.sleep(0)
    await (await flow.begin("/0")).done("A")
    await (await flow.begin("/1/0")).done("B")
    await (await flow.begin("/1/1")).done("C")
    failed = await bench.start(task())
    waiting.append(asyncio.create_task(bench.store.outcome(failed.id)))
    await (await failed.begin()).fails()
    async with asyncio.timeout(5):
        found = await asyncio.gather(*waiting)
    values = [None if text is None else json.loads(text) for _, text in found]
    assert values == [["B", "C"], "A", ["B", "C"], "B", "C", None]
    assert [view.status for view, _ in found] == [*[Status.DONE] * 5, Status.FAILED]
