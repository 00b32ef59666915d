"""S-LOST: workers that go away, and what they had claimed."""

from __future__ import annotations

from mageflow_conformance.stores.bench import SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.requirement import Instead, requirement
from mageflow_core.machine import Done, Policy, Status

LEASE = SOON


@requirement(
    "S-LOST-01",
    "What a worker that leaves had claimed runs again at once, with the same attempt and a new "
    "fence; what others have claimed is left alone.",
)
async def leaves(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(swarm(*tasks(4)))
    bodies = [await flow.begin(f"/{n}", (bench.first, other)[n % 2]) for n in range(4)]
    await other.leave(crashed=False)
    await flow.sends("/1", "/3")
    assert [await body.holds() for body in bodies] == [True, False, True, False]
    again = await flow.begin("/1")
    assert (again.work.attempt, again.work.fence > bodies[1].work.fence) == (1, True)
    assert (await flow.view("/1")).crashes == 0, "it has left, and did not crash"
    for body in (bodies[0], bodies[2]):
        await body.done(1)


@requirement(
    "S-LOST-02",
    "A worker that has crashed costs nothing the first time, then about 30 s of delay, and no "
    "attempt.",
)
async def crashes(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(task())
    await flow.begin(by=other)
    await other.leave(crashed=True)
    await other.renew()
    await flow.begin(by=other)
    now = bench.store.now()
    await other.leave(crashed=True)
    view = await flow.view()
    assert (view.status, view.crashes, view.attempt) == (Status.QUEUED, 2, 1)
    assert view.due_at is not None
    assert now + 14 <= view.due_at <= bench.store.now() + 46, view.due_at - now
    assert await flow.due() == []


@requirement(
    "S-LOST-03",
    "A node is run again after max_crashes crashes, and one more fails it with WorkerLost.",
    policy=Policy(max_crashes=1),
)
async def too_many(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(chain(task("poison", err=[task()])))
    for _ in range(2):
        await flow.begin("/0", other)
        await other.leave(crashed=True)
        await other.renew()
    assert await flow.status() is Status.FAILED
    error = await flow.error()
    assert (error.type, error.task) == ("mageflow.WorkerLost", "poison")
    assert error.key == flow.key("/0")
    assert "2 times" in error.message
    await flow.sends("/0/!error-0")


@requirement(
    "S-LOST-04",
    "A thread that was timed out is freed when its worker is gone: the next attempt begins at "
    "its time, and that is no crash.",
    policy=Policy(max_crashes=0),
)
async def held(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(task())
    await (await flow.begin(by=other)).fails(retry_in=0.05, held=True)
    await other.leave(crashed=True)
    body = await flow.begin()
    assert body.work.attempt == 2
    assert (await flow.view()).crashes == 0


async def keeps_silent_claims(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(task())
    body = await flow.begin(by=other)
    other.falls_silent()
    await bench.passes(2 * LEASE)
    assert await flow.due() == []
    assert await body.holds()
    await body.done(1)


@requirement(
    "S-LOST-05",
    "What a worker had claimed that says nothing for a lease's time runs again, counted as a "
    "crash, and what it says afterwards is refused.",
    claim="shared",
    instead=Instead(
        text="A claim is kept however long its worker says nothing: it dies with the store.",
        check=keeps_silent_claims,
    ),
    lease=LEASE,
)
async def expires(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(chain(task(), task()))
    began = bench.store.now()
    late = await flow.begin("/0", other)
    other.falls_silent()
    body = await flow.begin("/0")
    assert bench.store.now() >= began + LEASE / 2, "its lease was taken from a worker that lived"
    assert (await flow.view("/0")).crashes == 1
    assert await late.says(Done(value='"zombie"'))
    await body.done("A")
    assert await flow.value("/0") == "A"
    await flow.sends("/1")


async def always_renewed(bench: Bench) -> None:
    assert await bench.first.renew()
    await bench.passes(2 * LEASE)
    assert await bench.first.renew()


@requirement(
    "S-LOST-06",
    "A worker that renews keeps what it has claimed for any time; one whose leases were lost is "
    "told so when it renews, and then goes on with new ones.",
    claim="shared",
    instead=Instead(text="Renewing always succeeds.", check=always_renewed),
    lease=LEASE,
)
async def renewed(bench: Bench) -> None:
    other = await bench.another()
    kept, lost = await bench.start(task()), await bench.start(task())
    body = await kept.begin()
    late = await lost.begin(by=other)
    other.falls_silent()
    again = await lost.begin()
    await bench.passes(2 * LEASE)
    assert await body.holds(), "a worker that renewed has lost what it had claimed"
    assert not await other.renew(), "it is not told that its leases were lost"
    assert await other.renew()
    assert await late.says(Done(value="1"))
    await again.done(1)
    third = await bench.start(task())
    mine = await third.begin(by=other)
    assert await mine.holds()
    await mine.done(1)
    await body.done(1)


@requirement(
    "S-LOST-07",
    "A worker that leaves twice, or was never there, changes nothing.",
)
async def nobody(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(task())
    body = await flow.begin()
    for worker in (other.worker, other.worker, "nobody"):
        await other.store.leave(worker, crashed=True)
    assert await body.holds()
    assert await flow.due() == []
