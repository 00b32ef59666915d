"""S-REMOVE: how long runs are kept, and that nothing is left of them."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import INEXACT, SOON, Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task, tasks
from mageflow_conformance.stores.flow import Flow, batched
from mageflow_conformance.stores.raising import raises_not_found
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Done, Policy, Status
from mageflow_core.stores.protocol import Query


async def are_gone(bench: Bench) -> None:
    """Return when the store has no run any more."""

    async def look() -> bool:
        return not sum((await bench.store.counts()).values())

    await bench.eventually(look, within=10.0, about="all runs to be removed")


@requirement(
    "S-REMOVE-01",
    "A run is kept for its time to live from when it has settled, and is gone then from all "
    "that reads; its own ttl counts before the policy's.",
    policy=Policy(result_ttl=SOON),
)
async def after_its_ttl(bench: Bench) -> None:
    short, longer = await bench.start(task(ok=[task()])), await bench.start(task(), ttl=500.0)
    for flow in (short, longer):
        await (await flow.begin()).done("A")
    await bench.passes(SOON)
    assert await short.value() == "A", "a callback is left"
    await (await short.begin("/!success-0")).done()
    settled = (await short.run()).settled_at
    assert settled is not None
    assert await short.value() == "A"

    async def gone() -> bool:
        return len((await bench.store.find(Query())).runs) == 1

    await bench.eventually(gone, about="a run to be removed")
    assert bench.store.now() >= settled + SOON - INEXACT, "it was removed too early"
    await raises_not_found(bench.store.view(short.id))
    await raises_not_found(bench.store.value(short.id))
    await raises_not_found(bench.store.history(short.id))
    assert await longer.value() == "A"
    assert sum((await bench.store.counts()).values()) == 1


@requirement(
    "S-REMOVE-02",
    "What was stored and never started is removed after pending_ttl; what was started is not "
    "removed before it has ended.",
    policy=Policy(result_ttl=0.1, pending_ttl=SOON),
)
async def never_started(bench: Bench) -> None:
    pending, started = await bench.create(task()), await bench.start(chain(task(), task()))
    late = await bench.create(task())
    assert await late.start() is None
    await bench.passes(SOON)

    async def gone() -> bool:
        return sum((await bench.store.counts()).values()) == 2

    await bench.eventually(gone, about="a run that was never started to be removed")
    await raises_not_found(bench.store.view(pending.id))
    assert await started.status() is Status.ACTIVE
    assert await late.status() is Status.QUEUED


@requirement(
    "S-REMOVE-03",
    "A retry by hand withdraws the removal of a settled run.",
    policy=Policy(result_ttl=SOON),
)
async def retried(bench: Bench) -> None:
    flow = await bench.start(task())
    await (await flow.begin()).fails()
    await flow.retry()
    await bench.passes(SOON)
    assert await flow.status() is Status.QUEUED
    await (await flow.begin()).done(1)
    assert await flow.value() == 1
    await are_gone(bench)


async def everything(bench: Bench) -> Flow:
    """A run with jobs, timers, parked nodes, items, claims, marks, callbacks and large values."""
    nodes = {
        "a": swarm(task(), open=True), "b": task(delay=1e6), "c": task(), "d": task(),
        "e": task(ok=[task()]),
    }  # fmt: skip
    flow = await bench.start(chain(graph(nodes), ok=[task()]).label(a="b").named("n"), "x" * 80_000)
    await flow.add(task("work-d"), task("work-e"), path="/0/a")
    await flow.begin("/0/a/0")
    await (await flow.begin("/0/c")).fails(retry_in=1e6)
    await (await flow.begin("/0/d")).returns(swarm(*tasks(3)))
    await (await flow.begin("/0/e")).done("x" * 100_000)
    await (await flow.begin("/0/e/!success-0")).done(1)
    await flow.suspend("/0/a")
    await flow.knock("/0/a/1")
    await bench.store.unknown(flow.key("/0/a/1"))
    return flow


@requirement(
    "S-REMOVE-04",
    "Nothing is left of a removed run: no job, timer, claim, parked place, index entry or value.",
    wants="size",
    policy=Policy(result_ttl=0.1, cancel_grace=0.1),
)
async def leaves_nothing(bench: Bench) -> None:
    await bench.first.leave(crashed=False)
    before = await bench.size()
    await bench.first.renew()
    flow = await everything(bench)
    between = await bench.size()
    assert between > before, "the harness does not see what is stored"
    await flow.cancel()
    await are_gone(bench)
    await bench.settle()
    await bench.first.leave(crashed=False)
    after = await bench.size()
    assert after == before, f"{after} where there were {before}"


@requirement(
    "S-REMOVE-05",
    "A wide run is removed in many steps, and nothing is left of it either.",
    wants="size",
    policy=Policy(result_ttl=0.1),
)
async def wide(bench: Bench) -> None:
    await bench.first.leave(crashed=False)
    before = await bench.size()
    await bench.first.renew()
    flow = await bench.start(swarm(*tasks(1_500), max_concurrency=None))
    await bench.settle()
    await flow.suspend()
    for paths in batched(flow.waiting()[:700], 50):
        await asyncio.gather(*map(flow.knock, paths))
    await flow.cancel()
    await are_gone(bench)
    await bench.settle()
    await bench.first.leave(crashed=False)
    after = await bench.size()
    assert after == before, f"{after} where there were {before}"


@requirement(
    "S-REMOVE-06",
    "What comes late for a removed run does nothing, and is told so.",
    policy=Policy(result_ttl=0.1, cancel_grace=0.1),
)
async def too_late(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(2)))
    body, job = await flow.begin("/0"), flow.jobs("/1")[0]
    await flow.cancel()
    await are_gone(bench)
    assert (await flow.deliver(job)).work is None
    assert not await body.holds()
    await bench.store.unknown(flow.key("/1"))
    await bench.store.sent([job])
    await raises_not_found(bench.store.node(flow.id))
    assert await body.says(Done(value="1")), "an outcome for a run that is gone is accepted"
    await bench.settle()
    assert sum((await bench.store.counts()).values()) == 0
