"""S-CANCEL: what is canceled waits for bodies, and no longer than its grace."""

from __future__ import annotations

from mageflow_conformance.stores.bench import SOON, Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task, tasks
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Done, Policy, Released, Status, Verdict


@requirement(
    "S-CANCEL-01",
    "A canceled container waits for the bodies below it at any depth, tells them to stop, and "
    "is canceled when the last has ended, however it has.",
)
async def waits_for_bodies(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(task(), chain(task(), task()), task())))
    bodies = [await flow.begin(path) for path in ("/0/0", "/0/1/0", "/0/2")]
    await flow.cancel()
    assert await flow.status() is Status.CANCELING
    for body in bodies:
        assert not await body.holds()
    await bodies[0].released()
    await bodies[1].done("too late to matter")
    assert await flow.status() is Status.CANCELING
    await bodies[2].fails(retry_in=1.0)
    assert await flow.status() is Status.CANCELED
    assert set((await flow.statuses("/0")).values()) == {Status.CANCELED}
    assert await flow.due() == []
    assert await flow.has_settled()


@requirement(
    "S-CANCEL-02",
    "When the grace of a cancel is over the node is canceled, and what its bodies still say is "
    "refused.",
    policy=Policy(cancel_grace=SOON),
)
async def grace(bench: Bench) -> None:
    flow, single = await bench.start(chain(task(), task())), await bench.start(task())
    bodies = [await flow.begin("/0"), await single.begin()]
    for each in (flow, single):
        await each.cancel()
        assert await each.status() is Status.CANCELING

    async def over() -> bool:
        statuses = {await each.status() for each in (flow, single)}
        return statuses == {Status.CANCELED}

    await bench.eventually(over, about="the end of a cancel's grace")
    for body in bodies:
        assert await body.says(Done(value="1")), "a body said something after its grace"
    assert await flow.value("/0") is None
    assert await flow.due() == []


@requirement(
    "S-CANCEL-03",
    "A canceled item frees its slot, leaves null in the result and is no failure, also when it "
    "is canceled ahead of its turn.",
)
async def item(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(4), max_concurrency=1, stop_after_n_failures=1))
    await flow.cancel("/2")
    await flow.cancel("/0")
    assert (await flow.knock("/0")).verdict is Verdict.SKIP
    await (await flow.begin("/1")).done(1)
    await flow.sends("/3")
    await (await flow.begin("/3")).done(3)
    assert await flow.value() == [None, 1, None, 3]
    view = await flow.view()
    assert (view.status, view.canceled, view.failed) == (Status.DONE, 2, 0)


@requirement(
    "S-CANCEL-04",
    "A canceled step cancels its chain, and a canceled node its graph, without error callbacks.",
)
async def containers(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task(), err=[task("no")]))
    body = await flow.begin("/0")
    await flow.cancel("/1")
    assert await flow.status() is Status.CANCELING
    await body.released()
    assert await flow.status() is Status.CANCELED
    other = await bench.start(graph({"a": task(), "b": task()}, {"b": ("a",)}, err=[task("no")]))
    await other.cancel("/a")
    assert await other.status() is Status.CANCELED
    assert await other.status("/b") is Status.CANCELED
    await bench.settle()
    assert {job.task for job in bench.backend.jobs} == {"work"}


@requirement(
    "S-CANCEL-05",
    "A worker that is lost under a cancel lets the cancel end.",
)
async def lost_worker(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(chain(swarm(task())))
    body = await flow.begin("/0/0", other)
    await flow.cancel()
    assert await flow.status() is Status.CANCELING
    await other.leave(crashed=True)
    await bench.settle()
    assert await flow.status() is Status.CANCELED
    assert await body.says(Released())


@requirement(
    "S-CANCEL-06",
    "A thread that was timed out and still runs does not delay a cancel, and changes nothing "
    "afterwards.",
)
async def held_thread(bench: Bench) -> None:
    flow = await bench.start(chain(task()))
    body = await flow.begin("/0")
    await body.fails(retry_in=0.05, held=True)
    await flow.cancel()
    assert await flow.status() is Status.CANCELED
    await body.says(Done(value="1"))
    await bench.passes(0.1)
    assert await flow.due() == []
    assert await flow.status() is Status.CANCELED


@requirement(
    "S-CANCEL-07",
    "Canceling a swarm of 2,000 items is one step: it is canceled when cancel() has answered, "
    "and so is each item.",
)
async def wide(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(2_000), max_concurrency=None))
    await bench.settle()
    await flow.cancel()
    assert await flow.status() is Status.CANCELED
    for path in ("/0", "/999", "/1999"):
        assert await flow.status(path) is Status.CANCELED
        assert (await flow.knock(path)).verdict is Verdict.SKIP
    assert await flow.has_settled()
