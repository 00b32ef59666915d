"""S-READ: nodes, children and history as people see them."""

from __future__ import annotations

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task, tasks
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Policy, Status
from mageflow_core.names import split_key


@requirement(
    "S-READ-01",
    "Children are given by position, in parts, with continuations and callbacks after them, "
    "also those whose turn has not come.",
)
async def children(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(5), max_concurrency=1, ok=[task(), task()]))
    read = bench.store.children
    before = await read(flow.id, 2, 9)
    assert [view.key for view in before] == [flow.key(f"/{n}") for n in (2, 3, 4)]
    assert {view.status for view in before} == {Status.PENDING}
    for position in range(5):
        await (await flow.begin(f"/{position}")).done(1)
    pages = [[split_key(v.key)[1] for v in await read(flow.id, at, 3)] for at in (0, 3, 6, 9)]
    assert pages == [["/0", "/1", "/2"], ["/3", "/4", "/!success-0"], ["/!success-1"], []]
    other = await bench.start(graph({"z": task(), "a": task()}, {"z": ("a",)}))
    assert list(await other.statuses()) == ["/z", "/a"], "in the order of the graph's nodes"
    continued = await bench.start(task())
    await (await continued.begin()).returns(task())
    assert await continued.statuses() == {"~1": Status.QUEUED}


@requirement(
    "S-READ-02",
    "A node shows its kind, task, name, role, depth and the times of what happened to it.",
)
async def nodes(bench: Bench) -> None:
    flow = await bench.start(chain(task(ok=[task("tell").named("told")]), swarm(task())))
    before = await flow.view("/1/0")
    assert (before.status, before.depth, before.attempt) == (Status.PENDING, 3, 0)
    assert (before.queued_at, before.started_at, before.ended_at) == (None, None, None)
    body = await flow.begin("/0")
    await body.done(1)
    view = await flow.view("/0")
    assert (view.key, view.kind, view.task, view.role) == (flow.key("/0"), "task", "work", "child")
    callback = await flow.view("/0/!success-0")
    assert (callback.name, callback.role, callback.depth) == ("told", "callback", 3)
    item = await flow.view("/1/0")
    assert (item.status, item.attempt, item.generation) == (Status.QUEUED, 1, 1)
    assert item.queued_at is not None
    assert item.queued_at >= view.ended_at - 0.002  # type: ignore[operator]
    container = await flow.view("/1")
    assert (container.kind, container.children, container.begun) == ("swarm", 1, 1)


@requirement(
    "S-READ-03",
    "The history has what happened to the run, its containers, and tasks outside of swarms, in "
    "order and with times; items of swarms are not in it.",
)
async def history(bench: Bench) -> None:
    flow = await bench.start(chain(task(), swarm(task())))
    await (await flow.begin("/0")).fails(retry_in=0.0)
    await (await flow.begin("/0")).done(1)
    await flow.suspend("/1")
    await flow.resume("/1")
    await (await flow.begin("/1/0")).done(1)
    assert await flow.events() == [
        ("started", ""), ("begun", ""), ("retrying", "/0"), ("done", "/0"), ("begun", "/1"),
        ("suspend", "/1"), ("resume", "/1"), ("done", "/1"), ("done", ""),
    ]  # fmt: skip
    events = await bench.store.history(flow.id)
    times = [event.at for event in events]
    assert times == sorted(times)
    assert events[3].worker == bench.first.worker
    assert events[2].detail == "body"


@requirement(
    "S-READ-04",
    "The history has no more lines than it may have, the latest ones.",
    policy=Policy(history=10),
)
async def capped(bench: Bench) -> None:
    flow = await bench.start(task())
    for _ in range(15):
        await flow.suspend()
        await flow.resume()
    events = await flow.events()
    assert len(events) == 10
    assert events == [("suspend", ""), ("resume", "")] * 5


@requirement(
    "S-READ-05",
    "Reading changes nothing, also of nodes that nothing is stored of yet.",
)
async def changes_nothing(bench: Bench) -> None:
    flow = await bench.start(chain(task(), swarm(*tasks(3))))
    before = await flow.run()
    for path in ("/1", "/1/2"):
        for _ in range(2):
            view = await flow.view(path)
            assert view.status is Status.PENDING
            await flow.text(path)
            await bench.store.signature(flow.key(path))
    await flow.statuses("/1")
    assert await flow.run() == before
    await flow.serve(1)
    assert await flow.value() == [1, 1, 1]
