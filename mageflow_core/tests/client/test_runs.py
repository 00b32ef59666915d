"""Runs from outside: starting, finding, reading, waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from mageflow_core import Cause, Mageflow, Run, Status, chain, graph, sign, swarm
from mageflow_core.errors import (
    AlreadyStarted,
    DataError,
    DeadlineExceeded,
    RunNotFound,
    StartKeyConflict,
    WaitTimeout,
)


class Page(BaseModel):
    url: str
    size: int = 0


@dataclass
class Point:
    x: int
    y: int


# --- storing and starting -------------------------------------------------------------------------


async def test_building_signatures_stores_nothing(mf: Mageflow, add: Any) -> None:
    chain(add, swarm(add.sign(a=1), add), graph({"a": add}))
    assert await mf.find() == []


async def test_awaiting_a_signature_stores_a_new_pending_run_each_time(
    mf: Mageflow, add: Any
) -> None:
    signature = sign(add, task_identifiers={"order": "7"})
    first, second = await mf.store(signature), await mf.store(signature)
    assert first.key != second.key
    assert first.labels == {"order": "7"}
    assert await first.status() is Status.PENDING
    await first.start({"a": 1})
    assert await first.result(timeout=10) == 2
    assert await second.status() is Status.PENDING


async def test_a_stored_run_starts_once(mf: Mageflow, add: Any) -> None:
    run = await mf.store(add)
    await run.start({"a": 1})
    with pytest.raises(AlreadyStarted, match="build a new one from its signature"):
        await run.start({"a": 1})
    assert await run.result(timeout=10) == 2


async def test_a_started_run_cannot_be_started(mf: Mageflow, add: Any) -> None:
    run = await mf.start(add, {"a": 1})
    with pytest.raises(AlreadyStarted):
        await run.start()


async def test_a_canceled_pending_run_cannot_be_started(mf: Mageflow, add: Any) -> None:
    run = await mf.store(add)
    assert await run.cancel()
    with pytest.raises(AlreadyStarted, match="canceled"):
        await run.start({"a": 1})


async def test_a_task_and_a_signature_run_by_themselves(mf: Mageflow, add: Any) -> None:
    assert await add.run({"a": 1}) == 2
    assert await add.run({"a": 1}, b=5) == 6
    async with mf:
        assert await chain(add, add).run({"a": 1}, timeout=10) == 3
        run = await add.sign(b=2).start({"a": 1})
        assert await run.result(timeout=10) == 3
        stored = await add.sign(b=2)
        assert await stored.status() is Status.PENDING


# --- start keys -----------------------------------------------------------------------------------


async def test_a_start_key_gives_the_run_that_has_it(mf: Mageflow, add: Any) -> None:
    first = await mf.start(add, {"a": 1}, key="order-7")
    again = await mf.start(add, {"a": 1}, key="order-7")
    assert again.key == first.key
    assert len(await mf.find()) == 1
    assert (await first.info()).start_key == "order-7"


@pytest.mark.parametrize("other", ["signature", "message"])
async def test_a_start_key_with_other_content_is_a_conflict(
    mf: Mageflow, add: Any, other: str
) -> None:
    run = await mf.start(add, {"a": 1}, key="order-7")
    signature, message = (chain(add), {"a": 1}) if other == "signature" else (add, {"a": 2})
    with pytest.raises(StartKeyConflict, match="order-7"):
        await mf.start(signature, message, key="order-7")
    assert [found.key for found in await mf.find()] == [run.key]


async def test_one_start_key_in_two_namespaces_is_two_runs(make_app: Any) -> None:
    ids = set()
    for namespace in ("one", "two"):
        mf: Mageflow = await make_app(namespace=namespace)

        @mf.task
        async def work() -> None: ...

        ids.add((await mf.start(work, key="same")).key)
    assert len(ids) == 2


# --- finding --------------------------------------------------------------------------------------


async def test_runs_are_found_by_what_is_known_of_them(mf: Mageflow, add: Any, hold: Any) -> None:
    # Given runs of several kinds
    done = await mf.start(add, {"a": 1}, labels={"order": "7", "shop": "x"})
    other = await mf.start(chain(add, name="pipeline"), {"a": 1}, labels={"order": "8"})
    active = await mf.start(hold)
    await done.wait(timeout=10)
    await other.wait(timeout=10)
    while await active.status() != "active":  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)

    async def keys(**query: Any) -> list[str]:
        return [run.key for run in await mf.find(**query)]

    # Then each question gives those that fit
    assert await keys() == [active.key, other.key, done.key]
    assert await keys(status="done") == [other.key, done.key]
    assert await keys(status=Status.ACTIVE) == [active.key]
    assert await keys(task="add") == [done.key]
    assert await keys(name="pipeline") == [other.key]
    assert await keys(labels={"order": "7"}) == [done.key]
    assert await keys(labels={"order": "7", "shop": "y"}) == []
    since = (await other.info()).created_at
    assert await keys(since=since) == [active.key, other.key]
    assert await keys(until=since) == [done.key]
    await active.cancel()


async def test_pages_together_are_all_runs_once(mf: Mageflow, add: Any) -> None:
    runs = [await mf.start(add, {"a": n}) for n in range(25)]
    found: list[str] = []
    after = None
    pages = 0
    while True:
        page = await mf.find(limit=10, after=after)
        found += [run.key for run in page]
        pages += 1
        after = page.next
        if after is None:
            break
    assert found == [run.key for run in reversed(runs)]
    assert pages == 3


async def test_a_run_that_was_found_can_be_used(mf: Mageflow, add: Any) -> None:
    await mf.start(add, {"a": 1}, labels={"order": "7"})
    (run,) = await mf.find(labels={"order": "7"})
    assert await run.result(timeout=10) == 2
    assert run.labels == {"order": "7"}


# --- loading --------------------------------------------------------------------------------------


async def test_runs_and_nodes_are_loaded_by_key(mf: Mageflow, add: Any) -> None:
    started = await mf.start(chain(add, swarm(add, add)), {"a": 1})
    await started.wait(timeout=10)
    run = await mf.load(started.key)
    assert isinstance(run, Run)
    assert await run.result() == [3, 3]
    node = await mf.load(f"{started.key}/1/0")
    assert not isinstance(node, Run)
    assert await node.result() == 3
    assert node.run_id == started.key
    assert "node" in repr(node)


@pytest.mark.parametrize("key", ["nowhere", "nowhere/1", "{}/7", "{}/x", "{}~3", "{}/0/!error-0"])
async def test_what_is_not_there_is_not_found(mf: Mageflow, add: Any, key: str) -> None:
    run = await mf.start(chain(add), {"a": 1})
    with pytest.raises(RunNotFound, match="no"):
        await mf.load(key.format(run.key))


# --- reading --------------------------------------------------------------------------------------


async def test_a_tree_shows_what_there_is_and_what_was_left_out(mf: Mageflow, add: Any) -> None:
    run = await mf.start(chain(add, swarm([add] * 7)), {"a": 1})
    await run.wait(timeout=10)
    tree = await run.tree(width=3)
    assert tree.node.key == run.key
    assert [child.node.kind for child in tree.children] == ["task", "swarm"]
    assert len(tree.children[1].children) == 3
    assert tree.children[1].more == 4
    shallow = await run.tree(depth=1)
    assert (shallow.children, shallow.more) == ((), 2)


async def test_nodes_come_depth_first(mf: Mageflow, add: Any) -> None:
    run = await mf.start(chain(swarm(add, add), add), {"a": 1})
    keys = [node.key.removeprefix(run.key) for node in await run.nodes()]
    assert keys == ["", "/0", "/0/0", "/0/1", "/1"]
    await run.cancel()


async def test_the_history_tells_what_happened_in_order(mf: Mageflow, add: Any) -> None:
    run = await mf.start(chain(add, add), {"a": 1})
    await run.settled(timeout=10)
    events = await run.history()
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert (events[0].what, events[0].path) == ("started", "")
    assert ("done", "") in [(event.what, event.path) for event in events]


async def test_a_view_has_times_and_the_worker(mf: Mageflow, add: Any) -> None:
    run = await mf.start(add, {"a": 1})
    view = await run.wait(timeout=10)
    assert view.queued_at is not None
    assert view.started_at is not None
    assert view.ended_at is not None
    assert view.queued_at <= view.started_at <= view.ended_at
    site: Any = mf._site
    assert view.worker == site.worker.id
    assert await run.error() is None


async def test_a_graphs_nodes_are_there_by_name(mf: Mageflow, add: Any) -> None:
    run = await mf.start(graph({"x": add, "y": add.sign(b=2)}), {"a": 1})
    await run.wait(timeout=10)
    assert await run["x"].result() == 2
    assert await run["y"].result() == 3


# --- waiting --------------------------------------------------------------------------------------


async def test_waiting_ends_after_its_timeout_and_the_run_goes_on(mf: Mageflow, hold: Any) -> None:
    run = await mf.start(hold)
    with pytest.raises(WaitTimeout, match=r"has not ended within 0\.01 s; it goes on"):
        await run.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        await run.settled(timeout=0.01)
    assert not (await run.view()).status.ended
    await run.cancel()


async def test_many_wait_for_one_run(mf: Mageflow, add: Any) -> None:
    run = await mf.start(add, {"a": 1})
    results = await asyncio.gather(*(run.result(timeout=10) for _ in range(50)))
    assert results == [2] * 50


async def test_a_run_is_settled_after_its_callbacks(mf: Mageflow, add: Any) -> None:
    gate = asyncio.Event()
    noted = False

    @mf.task
    async def note(result: int) -> None:
        nonlocal noted
        await gate.wait()
        noted = True

    run = await mf.start(add.sign().on_success(note), {"a": 1})
    assert await run.result(timeout=10) == 2
    assert not noted
    gate.set()
    await run.settled(timeout=10)
    assert noted


# --- times ----------------------------------------------------------------------------------------


async def test_a_deadline_ends_a_run_and_says_so(make_app: Any, clock: Any) -> None:
    mf: Mageflow = await make_app(clock=clock)
    stopped = asyncio.Event()
    began = asyncio.Event()

    @mf.task
    async def hold() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    run = await mf.start(chain(hold).options(deadline=60))
    await began.wait()
    assert (await run.info()).deadline == clock.now() + 60
    clock.advance(61)
    with pytest.raises(DeadlineExceeded, match="deadline of the run passed") as ended:
        await run.result(timeout=10)
    assert ended.value.error is not None
    assert ended.value.error.cause is Cause.DEADLINE
    assert stopped.is_set()


async def test_a_settled_run_is_gone_after_its_ttl(make_app: Any, clock: Any, until: Any) -> None:
    mf: Mageflow = await make_app(clock=clock, result_ttl=100)

    @mf.task
    async def work() -> int:
        return 1

    usual = await mf.start(work)
    longer = await mf.start(work, ttl=1_000)
    await usual.settled(timeout=10)
    await longer.settled(timeout=10)
    clock.advance(101)

    async def gone() -> bool:
        return [run.key for run in await mf.find()] == [longer.key]

    await until(gone)
    with pytest.raises(RunNotFound, match="may have expired"):
        await usual.status()
    assert await longer.result() == 1


async def test_what_was_never_started_is_gone_in_time_and_what_runs_is_not(
    make_app: Any, clock: Any, until: Any
) -> None:
    mf: Mageflow = await make_app(clock=clock, pending_ttl=100, result_ttl=1)

    @mf.task
    async def hold() -> None:
        await asyncio.Event().wait()

    await mf.store(hold)
    running = await mf.start(hold)
    clock.advance(101)

    async def one_left() -> bool:
        return [run.key for run in await mf.find()] == [running.key]

    await until(one_left)
    await running.cancel()


# --- typed results --------------------------------------------------------------------------------


async def test_models_come_back_as_models_through_every_container(mf: Mageflow) -> None:
    @mf.task
    async def fetch(url: str) -> Page:
        return Page(url=url, size=len(url))

    @mf.task
    async def points() -> list[Point]:
        return [Point(1, 2)]

    page = Page(url="u", size=1)
    message = {"url": "u"}

    async def result(signature: Any) -> Any:
        return await (await mf.start(signature, message)).result(timeout=10)

    assert await result(fetch) == page
    assert await result(chain(fetch)) == page
    assert await result(swarm(fetch, points)) == [page, [Point(1, 2)]]
    assert await result(chain(swarm(chain(fetch)))) == [page]
    assert await result(graph({"page": fetch, "all": swarm(points)})) == {
        "page": page,
        "all": [[Point(1, 2)]],
    }
    run = await mf.start(swarm(fetch, points), message)
    await run.wait(timeout=10)
    assert [each async for each in run.results()] == [page, [Point(1, 2)]]
    assert await run[0].result() == page
    loaded = await mf.load(run.key)
    assert await loaded.result() == [page, [Point(1, 2)]]


async def test_a_failed_item_leaves_none_among_models(mf: Mageflow) -> None:
    @mf.task
    async def fetch(url: str) -> Page:
        if url == "bad":
            raise ValueError
        return Page(url=url)

    run = await mf.start(swarm(fetch.sign(url="a"), fetch.sign(url="bad")))
    assert await run.result(timeout=10) == [Page(url="a"), None]
    assert [each async for each in run.results()] == [Page(url="a"), None]


async def test_what_no_page_has_given_is_no_cursor(mf: Mageflow) -> None:
    for cursor in ("nonsense", "-", "12", "x-abc", "1.5-"):
        with pytest.raises(DataError, match="is no cursor"):
            await mf.find(after=cursor)
