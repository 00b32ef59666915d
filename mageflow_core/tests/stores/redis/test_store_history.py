"""The history of a run: what has happened, in order, the latest of it."""

from __future__ import annotations

import asyncio

import pytest
from handles import Handle, Stores
from simulation import chain, graph, swarm, task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Event, Policy, Verb


async def lines(store: Handle, run: str = "r") -> list[tuple[str, str]]:
    return [(event.what, event.path) for event in await store.store.history(run)]


async def steered(store: Handle, count: int) -> list[tuple[str, str]]:
    """That many lines more, each unlike the one before."""
    verbs = [(Verb.SUSPEND, Verb.RESUME)[number % 2] for number in range(count)]
    for verb in verbs:
        assert (await store.steer("r", verb)).applied
    return [(verb.value, "") for verb in verbs]


async def test_a_history_says_what_happened_when_where_and_by_whom(stores: Stores) -> None:
    # Given
    store = await stores.open_at()
    start = stores.clock.time
    await store.create(chain(task("ok-a"), task("bad-b")))
    stores.advance(1)
    await store.run("r/0")
    stores.advance(1.5)
    await store.fails(await store.begin("r/1", worker="w2"))
    # Then
    history = await store.store.history("r")
    assert all(type(event) is Event for event in history)
    told = [(event.at - start, event.what, event.path, event.worker) for event in history]
    assert told == [
        (0.0, "started", "", None),
        (0.0, "begun", "", None),
        (1.0, "done", "/0", "w1"),
        (2.5, "failed", "/1", "w2"),
        (2.5, "failed", "", None),
    ]
    assert history[3].detail == "body"


async def test_items_of_swarms_have_no_lines(stores: Stores) -> None:
    store = await stores.open()
    await store.create(swarm(task("ok-a"), graph({"x": task("ok-x")})))
    await store.run("r/0")
    await store.run("r/1/x")
    assert "/0" not in [path for _, path in await lines(store)]
    assert ("done", "/1/x") in await lines(store)


@pytest.mark.parametrize("count", [0, 1, 4, 5, 6, 9, 10, 11, 23])
async def test_only_the_latest_lines_are_kept_in_their_order(stores: Stores, count: int) -> None:
    # Given
    store = await stores.open(policy=Policy(history=5))
    await store.create(swarm(task("ok-a")))
    expected = [("started", ""), ("begun", "")]
    # When
    expected += await steered(store, count)
    # Then
    assert await lines(store) == expected[-5:]
    kept = [name for name in await store.fields() if name.startswith("h")]
    assert len(kept) == min(5, len(expected))


async def test_a_run_keeps_as_many_lines_as_who_made_it_has_said(stores: Stores) -> None:
    # Given
    small, large = [await stores.open(policy=Policy(history=size)) for size in (3, 50)]
    await small.create(swarm(task("ok-a")))
    # When
    expected = [("started", ""), ("begun", ""), *await steered(large, 8)]
    # Then
    assert await lines(large) == await lines(small) == expected[-3:]


async def test_a_step_that_is_asked_again_adds_no_line(stores: Stores) -> None:
    store = await stores.open()
    await store.create(task("ok-a"))
    work = await store.begin()
    for _ in range(3):
        assert await store.done(work) is None
    assert await lines(store) == [("started", ""), ("done", "")]


async def test_a_stored_run_has_a_history_of_nothing(stores: Stores) -> None:
    store = await stores.open()
    await store.create(task("ok-a"), None)
    assert await lines(store) == []


async def test_what_is_not_there_has_no_history(stores: Stores) -> None:
    store = await stores.open()
    with pytest.raises(RunNotFound):
        await store.store.history("nothing")


async def test_histories_are_read_while_they_grow(stores: Stores) -> None:
    # Given
    store = await stores.open(policy=Policy(history=4))
    await store.create(swarm(task("ok-a")))
    # When
    read, _ = await asyncio.gather(
        asyncio.gather(*(lines(store) for _ in range(20))), steered(store, 20)
    )
    # Then
    assert all(0 < len(each) <= 4 for each in read)
