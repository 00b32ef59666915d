"""S-SWARM: items side by side, up to a limit."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Status, Verdict


@requirement(
    "S-SWARM-01",
    "A swarm never has more items begun and not ended than its limit; each end begins the next, "
    "in their order.",
)
async def limit(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(5), max_concurrency=2))
    await flow.sends("/0", "/1")
    second = await flow.begin("/1")
    await second.done(1)
    await flow.sends("/0", "/2")
    await (await flow.begin("/0")).fails()
    await flow.sends("/2", "/3")
    view = await flow.view()
    assert (view.begun, view.done, view.failed, view.children) == (2, 1, 1, 5)
    await flow.serve(9)
    assert await flow.value() == [None, 1, 9, 9, 9]
    assert (await flow.view()).begun == 0


@requirement(
    "S-SWARM-02",
    "An item keeps its slot while it retries, while it is suspended, and as a container from "
    "step to step.",
)
async def slots(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), chain(task(), task()), *tasks(2), max_concurrency=2))
    await (await flow.begin("/0")).fails(retry_in=300.0)
    await (await flow.begin("/1/0")).done(1)
    await flow.sends("/1/1")
    await flow.suspend("/1")
    assert (await flow.knock("/1/1")).verdict is Verdict.PARK
    assert await flow.due() == []
    assert (await flow.view()).begun == 2
    await flow.cancel("/0")
    await flow.sends("/2")


@requirement(
    "S-SWARM-03",
    "The result of a swarm has its items' results in their order, whatever the order in which "
    "they ended.",
)
async def order_of_results(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(6), max_concurrency=None))
    bodies = [await flow.begin(f"/{n}") for n in range(6)]
    for n in (5, 0, 3, 1, 4, 2):
        await bodies[n].done(n)
    assert await flow.value() == [0, 1, 2, 3, 4, 5]


@requirement(
    "S-SWARM-04",
    "Failures are tolerated while some item succeeds; a swarm of which none does has failed, "
    "with the first ten errors and the count of all.",
)
async def failures(bench: Bench) -> None:
    some = await bench.start(swarm(*tasks(3)))
    await (await some.begin("/0")).fails()
    await (await some.begin("/1")).done(1)
    await (await some.begin("/2")).fails()
    assert await some.value() == [None, 1, None]
    assert (await some.view()).failures == (0, 2)
    none = await bench.start(swarm(*tasks(12)))
    for n in range(12):
        await (await none.begin(f"/{n}")).fails(text=f"error {n}")
    error = await none.error()
    assert (error.type, error.failed) == ("mageflow.SwarmFailed", 12)
    assert [each.message for each in error.failures] == [f"error {n}" for n in range(10)]
    assert (await none.view()).failures == tuple(range(10))


@requirement(
    "S-SWARM-05",
    "At the n-th failure no further item begins; those that have begun go on to their end, and "
    "the swarm has failed then.",
)
async def stops(bench: Bench) -> None:
    steps = chain(task(), task())
    flow = await bench.start(
        swarm(task(), steps, *tasks(2), max_concurrency=2, stop_after_n_failures=1)
    )
    running = await flow.begin("/1/0")
    await (await flow.begin("/0")).fails()
    assert await flow.due() == []
    assert await running.holds()
    await running.done(1)
    await flow.sends("/1/1")
    await (await flow.begin("/1/1")).done(2)
    assert await flow.status() is Status.FAILED
    assert await flow.statuses() == {
        "/0": Status.FAILED, "/1": Status.DONE, "/2": Status.SKIPPED, "/3": Status.SKIPPED
    }  # fmt: skip


@requirement(
    "S-SWARM-06",
    "With interrupt_running the n-th failure cancels the items that run, and the swarm has "
    "failed when their bodies have ended.",
)
async def interrupts(bench: Bench) -> None:
    flow = await bench.start(
        swarm(*tasks(3), max_concurrency=3, stop_after_n_failures=1, interrupt_running=True)
    )
    running = await flow.begin("/1")
    await (await flow.begin("/0")).fails()
    assert not await running.holds()
    assert await flow.status() is Status.CANCELING
    assert (await flow.knock("/2")).verdict is Verdict.SKIP
    await running.done("as if nothing was")
    assert await flow.status() is Status.FAILED
    assert await flow.status("/2") is Status.CANCELED
    assert (await flow.error()).failed == 1


@requirement(
    "S-SWARM-07",
    "An empty closed swarm is done at once, with an empty list.",
)
async def empty(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(), swarm(swarm())))
    await bench.settle()
    assert await flow.status() is Status.DONE
    assert await flow.text() == "[[]]"
    assert await flow.text("/0") == "[]"


@requirement(
    "S-SWARM-08",
    "A swarm of 2,000 items without limit begins in many steps: each item is sent once, and "
    "each result is in its place.",
)
async def wide(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(2_000), max_concurrency=None))
    await flow.sends(*(f"/{n}" for n in range(2_000)))
    again = [job.key for job in flow.jobs() if job.send > 1]
    assert len(flow.jobs()) == 2_000, f"{len(again)} items were sent twice, as {again[:3]}"

    async def run(position: int) -> None:
        await (await flow.begin(f"/{position}")).done(position)

    for first in range(0, 2_000, 50):
        await asyncio.gather(*(run(position) for position in range(first, first + 50)))
    view = await flow.view()
    assert (view.status, view.begun, view.done) == (Status.DONE, 0, 2_000)
    assert await flow.value() == list(range(2_000))


@requirement(
    "S-SWARM-09",
    "Items that end at the same time are all counted, and free a slot each.",
)
async def at_once(bench: Bench) -> None:
    handles = [bench.first, await bench.another()]
    flow = await bench.start(swarm(*tasks(60), max_concurrency=20))
    for first in (0, 20, 40):
        paths = [f"/{n}" for n in range(first, first + 20)]
        await flow.sends(*paths)
        bodies = [await flow.begin(path, handles[n % 2]) for n, path in enumerate(paths)]
        await asyncio.gather(*(body.done(1) for body in bodies))
    view = await flow.view()
    assert (view.status, view.done, view.begun) == (Status.DONE, 60, 0)
