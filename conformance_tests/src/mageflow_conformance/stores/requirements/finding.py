"""S-FIND: runs by what they are."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, swarm, task
from mageflow_conformance.stores.flow import Flow
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Policy, Status
from mageflow_core.stores.protocol import NewRun, Query


async def found(bench: Bench, *, limit: int = 100, **how: Any) -> list[str]:
    """Ids of all runs that match, page by page."""
    ids: list[str] = []
    after = None
    for _ in range(1_000):
        page = await bench.store.find(Query(limit=limit, after=after, **how))
        assert len(page.runs) <= limit, "a page is longer than asked for"
        ids += [run.id for run in page.runs]
        after = page.next
        if after is None:
            return ids
    raise AssertionError("the pages do not end")


async def in_a_row(bench: Bench, count: int, **how: Any) -> list[Flow]:
    """Runs that were made at different times."""
    flows = []
    for _ in range(count):
        flows.append(await bench.start(task(), **how))
        await bench.passes(0.005)
    return flows


@requirement(
    "S-FIND-01",
    "Runs are found newest first, page by page, each once, whatever the size of a page.",
)
async def newest_first(bench: Bench) -> None:
    assert await found(bench) == []
    expected = [flow.id for flow in reversed(await in_a_row(bench, 7))]
    for limit in (1, 2, 3, 7, 100):
        assert await found(bench, limit=limit) == expected, f"pages of {limit}"


@requirement(
    "S-FIND-02",
    "Runs are found by task, name, labels, and times of making (from since on, before until), "
    "and by any of these together.",
)
async def by_what_they_are(bench: Bench) -> None:
    first = await bench.start(task("work-a").label(team="röd", env="test"))
    await bench.passes(0.02)
    second = await bench.start(chain(task("work-b")).named("nightly: 😀").label(team="röd"))
    await bench.passes(0.02)
    third = await bench.start(task("work-a"))
    at = (await second.run()).created_at
    cases: list[tuple[dict[str, Any], list[Flow]]] = [
        ({"task": "work-a"}, [third, first]),
        ({"task": "work-b"}, []),
        ({"name": "nightly: 😀"}, [second]),
        ({"labels": {"team": "röd"}}, [second, first]),
        ({"labels": {"team": "röd", "env": "test"}}, [first]),
        ({"labels": {"team": "blue"}}, []),
        ({"since": at}, [third, second]),
        ({"until": at}, [first]),
        ({"since": at, "task": "work-a"}, [third]),
        ({"labels": {"team": "röd"}, "name": "nightly: 😀", "since": at}, [second]),
        ({"task": "work-a", "labels": {"env": "test"}, "status": Status.DONE}, []),
    ]
    for query, expected in cases:
        for limit in (1, 100):
            ids = await found(bench, limit=limit, **query)
            assert ids == [flow.id for flow in expected], (query, limit, ids)


@requirement(
    "S-FIND-03",
    "Runs are found by the status that they show now, and counted by it: pending, queued, "
    "active, retrying, suspended, interrupted, canceling, done, failed, canceled.",
)
async def by_status(bench: Bench) -> None:
    flows: dict[Status, Flow] = {Status.PENDING: await bench.create(task())}
    for status in Status:
        if status not in (Status.PENDING, Status.SKIPPED):
            flows[status] = await bench.start(task())
    bodies = {
        status: await flows[status].begin()
        for status in flows
        if status in (Status.ACTIVE, Status.RETRYING, Status.DONE, Status.FAILED, Status.CANCELING)
    }
    await bodies[Status.RETRYING].fails(retry_in=500.0)
    await bodies[Status.DONE].done(1)
    await bodies[Status.FAILED].fails()
    await flows[Status.SUSPENDED].suspend()
    await flows[Status.INTERRUPTED].interrupt()
    await flows[Status.CANCELING].cancel()
    await flows[Status.CANCELED].cancel()
    for status, flow in flows.items():
        assert await found(bench, status=status) == [flow.id], status
    assert await found(bench, status=Status.SKIPPED) == []
    counts = {status: n for status, n in (await bench.store.counts()).items() if n}
    assert counts == dict.fromkeys(flows, 1), counts
    await flows[Status.SUSPENDED].resume()
    await bodies[Status.CANCELING].released()
    assert len(await found(bench, status=Status.QUEUED)) == 2
    assert len(await found(bench, status=Status.CANCELED)) == 2
    assert await found(bench, status=Status.SUSPENDED) == []


@requirement(
    "S-FIND-04",
    "A page goes on where the last one ended although runs were made, changed and removed in "
    "between: none that was there all the time is missed or shown twice.",
    policy=Policy(result_ttl=0.05),
)
async def stable_pages(bench: Bench) -> None:
    flows = await in_a_row(bench, 9)
    page = await bench.store.find(Query(limit=3))
    ids, after = [run.id for run in page.runs], page.next
    gone = [flows[7], flows[4]]
    for flow in gone:
        await (await flow.begin()).done(1)
    await in_a_row(bench, 3)

    async def removed() -> bool:
        counts = await bench.store.counts()
        return sum(counts.values()) == 10

    await bench.eventually(removed, about="two runs to be removed")
    while after is not None:
        page = await bench.store.find(Query(limit=3, after=after))
        ids, after = ids + [run.id for run in page.runs], page.next
    assert ids == [flows[n].id for n in (8, 7, 6, 5, 3, 2, 1, 0)], ids


@requirement(
    "S-FIND-05",
    "Runs that were made at the same moment are all found, once, in pages of any size.",
)
async def same_moment(bench: Bench) -> None:
    news = [NewRun(id=f"run-{n:02}", signature=task(), message="1") for n in range(40)]
    with bench.clock.standing_still():  # which counts for stores that go by it
        await asyncio.gather(*(bench.store.create(new) for new in news))
    for limit in (1, 7, 100):
        ids = await found(bench, limit=limit)
        assert len(ids) == 40, (limit, len(ids))
        assert set(ids) == {new.id for new in news}, limit


@requirement(
    "S-FIND-06",
    "What is found is what view() gives, with progress, labels and errors.",
)
async def views(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), task()).label(a="b"), "m", start_key="k")
    await (await flow.begin("/0")).fails()
    await (await flow.begin("/1")).fails()
    (run,) = (await bench.store.find(Query())).runs
    assert run == await flow.run()
    assert run.root.error is not None
    assert (run.root.failed, run.start_key, run.message) == (2, "k", '"m"')
