"""S-SPACE, S-SHARE, S-TWIN, S-WORKER: namespaces, handles, event loops and processes."""

from __future__ import annotations

import asyncio
from collections import Counter

from mageflow_conformance.stores.bench import SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.flow import Body
from mageflow_conformance.stores.raising import raises_not_found
from mageflow_conformance.stores.requirement import Instead, requirement
from mageflow_conformance.stores.threads import on_another_loop
from mageflow_core.machine import Status
from mageflow_core.stores.protocol import Query


@requirement(
    "S-SPACE-01",
    "Two namespaces of one store never see each other: not their runs, jobs, workers, counts or "
    "signals, also where ids are the same.",
)
async def namespaces(bench: Bench) -> None:
    other = await bench.elsewhere()
    mine = await bench.start(task(), "mine", id="same")
    await raises_not_found(other.store.view("same"))
    theirs = await other.start(swarm(task()), "theirs", id="same")
    body = await mine.begin()
    assert body.work.input.message == '"mine"'
    await theirs.begin("/0")
    await theirs.cancel()
    await bench.settle()
    await other.settle()
    assert await body.holds()
    await body.done(1)
    assert (await mine.status(), await theirs.status()) == (Status.DONE, Status.CANCELING)
    for each in (bench, other):
        assert [run.id for run in (await each.store.find(Query())).runs] == ["same"]
        assert sum((await each.store.counts()).values()) == 1
        assert [worker.id for worker in await each.store.workers()] == [each.first.worker]
        assert len(each.backend.jobs) == 1
    assert bench.first.signals == []


async def alone(bench: Bench) -> None:
    flow = await bench.start(task())
    second = bench.harness.make(bench.options, hastened=False)
    await second.open(bench.first)
    try:
        await raises_not_found(second.view(flow.id))
    finally:
        await second.close()
    assert await flow.status() is Status.QUEUED


@requirement(
    "S-SHARE-01",
    "What one handle has stored and changed is what all others read, at once.",
    claim="shared",
    instead=Instead(text="Two handles hold nothing in common.", check=alone),
)
async def seen_by_all(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(chain(task(), task()), "m")
    assert await other.store.view(flow.id) == await flow.run()
    body = await flow.begin("/0", other)
    assert (await flow.view("/0")).worker == other.worker
    await body.done("A")
    assert await flow.text("/0") == await other.store.value(flow.key("/0")) == '"A"'
    await flow.suspend()
    assert (await other.store.node(flow.id)).status is Status.SUSPENDED
    assert await other.store.history(flow.id) == await bench.store.history(flow.id)


@requirement(
    "S-SHARE-02",
    "Workers of two processes that take jobs at the same time run each item of a swarm once, "
    "and within its limit.",
)
async def side_by_side(bench: Bench) -> None:
    handles = [bench.first, await bench.another()]
    flow = await bench.start(swarm(*tasks(120), max_concurrency=3))
    granted: Counter[str] = Counter()
    running = most = 0

    async def work(number: int) -> None:
        nonlocal running, most
        while not await flow.has_settled():
            for path in flow.waiting():
                claimed = await flow.claim(path, by=handles[number % 2])
                if claimed.work is None:
                    flow.take(path)
                    continue
                granted[path] += 1
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1  # before it is said: the next one may begin with the report
                flow.take(path)
                await Body(flow, path, claimed.work, handles[number % 2]).done(number)
            await bench.settle()

    await asyncio.gather(*(work(number) for number in range(6)))
    assert await flow.status() is Status.DONE
    assert len(granted) == 120
    assert set(granted.values()) == {1}, "an item has run twice"
    assert most <= 3, f"{most} items ran at the same time"


@requirement(
    "S-SHARE-03",
    "Of two that start one stored run at the same time one is refused.",
)
async def started_by_two(bench: Bench) -> None:
    other = await bench.another()
    for _ in range(5):
        flow = await bench.create(task())
        answers = await asyncio.gather(
            bench.store.start(flow.id, "1", "mine"), other.store.start(flow.id, "2", "theirs")
        )
        assert sorted(answer is None for answer in answers) == [False, True], answers
        body = await flow.begin()
        assert body.work.input.message == ("1" if answers[0] is None else "2")


async def lives_alone(bench: Bench) -> None:
    assert bench.first.raw.twin() is None
    assert await bench.store.workers()


@requirement(
    "S-TWIN-01",
    "A twin works on another event loop, in a thread, on the same runs and with the same "
    "leases, while the first handle goes on.",
    claim="shared",
    instead=Instead(text="A store that lives on one loop has no twin.", check=lives_alone),
    lease=SOON,
)
async def twin(bench: Bench) -> None:
    made = bench.first.raw.twin()
    assert made is not None, "a shared store must have a twin"
    flow = await bench.start(task())
    body = await flow.begin()
    bench.first.falls_silent()

    async def keep(seconds: float) -> str:
        """What the other loop does: renew the worker's leases, and read."""
        inner = Bench(bench.harness, namespace=bench.namespace, lease=bench.lease)
        handle = await inner.adopt(made)
        handle.worker = bench.first.worker
        try:
            await handle.renew()
            await inner.passes(seconds)
            return str((await handle.store.node(flow.id)).status)
        finally:
            await made.close()

    other = await bench.another()
    assert await on_another_loop(keep(2 * SOON)) == Status.ACTIVE
    assert await body.holds(), "its leases were lost although its twin has renewed them"
    assert (await flow.view()).crashes == 0
    await body.done(1)
    assert await other.store.value(flow.id) == "1"


@requirement(
    "S-WORKER-01",
    "Live workers are listed by their ids with what they said of themselves last, and not after "
    "they have left.",
)
async def workers(bench: Bench) -> None:
    other = await bench.another()
    other.tasks = frozenset({"work", "more"})
    await other.renew()
    listed = {info.id: info for info in await bench.store.workers()}
    assert list(listed) == sorted([bench.first.worker, other.worker])
    info = listed[other.worker]
    assert (info.tasks, info.slots) == (frozenset({"work", "more"}), 10)
    assert info.backends == frozenset({"bench"})
    assert abs(info.seen_at - bench.store.now()) < 5
    await other.leave(crashed=False)
    assert [each.id for each in await bench.store.workers()] == [bench.first.worker]


async def listed_until_it_leaves(bench: Bench) -> None:
    other = await bench.another()
    other.falls_silent()
    await bench.passes(2 * SOON)
    assert len(await bench.store.workers()) == 2


@requirement(
    "S-WORKER-02",
    "A worker that says nothing for a lease's time is not listed any more.",
    claim="shared",
    instead=Instead(text="A worker is listed until it leaves.", check=listed_until_it_leaves),
    lease=SOON,
)
async def silent_workers(bench: Bench) -> None:
    other = await bench.another()
    other.falls_silent()

    async def only_one() -> bool:
        return [each.id for each in await bench.store.workers()] == [bench.first.worker]

    await bench.eventually(only_one, about="a silent worker to be dropped from the list")
