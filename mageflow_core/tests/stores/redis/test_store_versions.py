"""A run whose record is of a newer version is left alone by all that older ones do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from handles import Handle, Stores
from handles.handle import beside
from simulation import chain, swarm, task

from mageflow_core.errors import StoreError
from mageflow_core.machine import Verb
from mageflow_core.stores.protocol import Created
from mageflow_core.stores.redis.records import VERSION


async def becomes_newer(store: Handle) -> None:
    await store.rewrite("run", v=VERSION + 1)


async def everything(store: Handle) -> dict[str, Any]:
    """All that is kept of runs, by key. Fields of hashes have no order that would stay."""
    found: dict[str, Any] = {}
    for key in await store.keys("{ns:*"):
        if ":all}" in key:
            continue
        if await store.ask("TYPE", key) == "hash":
            words = await store.ask("HGETALL", key)
            found[key] = dict(zip(words[::2], words[1::2], strict=True))
        else:
            found[key] = await store.ask("DUMP", key)
    return found


@pytest.fixture
async def store(stores: Stores) -> Handle:
    return await stores.open_at()


async def test_a_worker_gives_its_job_back(store: Handle) -> None:
    # Given
    await store.create(task("ok-a"))
    await becomes_newer(store)
    before = await everything(store)
    # When
    verdict, why, work = await store.claim()
    # Then
    assert (verdict, why, work) == ("release", "its record is of a newer version", None)
    assert await everything(store) == before


async def test_an_outcome_is_refused(store: Handle) -> None:
    # Given
    await store.create(task("ok-a"))
    work = await store.begin()
    await becomes_newer(store)
    before = await everything(store)
    # Then
    assert await store.done(work) == "its record is of a newer version"
    assert await everything(store) == before


CALLS: dict[str, Callable[[Handle], Awaitable[Any]]] = {
    "start": lambda store: store.store.start("r", "1", "s"),
    "reserve": lambda store: store.store.reserve("r", "other"),
    "alias": lambda store: store.store.alias("r", "other/0"),
    "add": lambda store: store.add("r", task("ok-b")),
    "close": lambda store: store.store.close_swarm("r", ""),
    **{verb.value: lambda store, verb=verb: store.steer("r", verb) for verb in Verb},  # type: ignore[misc]
}


@pytest.mark.parametrize("name", CALLS)
async def test_who_would_change_it_is_told_to_upgrade(store: Handle, name: str) -> None:
    # Given
    await store.create(swarm(task("ok-a"), open=True), None)
    await becomes_newer(store)
    before = await everything(store)
    # Then
    with pytest.raises(StoreError, match="run r was stored by a newer MageFlow: upgrade this one"):
        await CALLS[name](store)
    assert await everything(store) == before


@pytest.mark.parametrize(("content", "conflict"), [("same", False), ("other", True)])
async def test_it_is_not_made_again(store: Handle, content: str, conflict: bool) -> None:
    await store.create(task("ok-a"), content="same")
    await becomes_newer(store)
    created = await store.create(task("ok-a"), content=content)
    assert created == Created(fresh=False, conflict=conflict)


async def test_a_reconciler_passes_it_over_and_does_not_come_again_at_once(
    stores: Stores, store: Handle
) -> None:
    # Given: something of every kind that is due
    await store.create(
        swarm(task("ok-a", delay=5.0), task("ok-b"), task("ok-c"), max_concurrency=None)
    )
    await store.begin("r/1")
    await store.store.unknown("r/2")
    await becomes_newer(store)
    before = await everything(store)
    stores.advance(5_000)
    # When
    jobs = await store.look()
    time = await store.store.work()
    # Then
    assert jobs == []
    assert await everything(store) == before
    assert time is not None
    assert time > stores.clock.time


async def test_others_in_its_bucket_are_served_all_the_same(stores: Stores, store: Handle) -> None:
    # Given
    await store.renew("w1")
    await store.create(task("ok-a", delay=5.0))
    await becomes_newer(store)
    await store.create(chain(task("ok-b", delay=6.0)), run=beside("r"))
    stores.advance(5)
    # When
    time = await store.store.work()
    # Then
    assert time is not None
    assert time - stores.clock.time == pytest.approx(1.0)
    stores.advance(1)
    assert [job.key for job in await store.look()] == [f"{beside('r')}/0"]


@pytest.mark.parametrize("how", ["leaves", "is lost"])
async def test_a_worker_that_had_claimed_it_leaves_all_the_same(
    stores: Stores, store: Handle, how: str
) -> None:
    # Given
    await store.create(swarm(task("ok-a")))
    await store.begin("r/0")
    await store.create(task("ok-b"), run=beside("r"))
    await store.begin(beside("r"))
    await becomes_newer(store)
    store.ear.take()
    # When
    async with asyncio.timeout(5):
        if how == "leaves":
            await store.store.leave("w1", crashed=False)
        else:
            stores.advance(30)
            store.look_everywhere()
            await store.store.work()
            assert not await store.renew("w1")
    # Then
    assert store.ear.keys == [beside("r")]
    assert (await store.scores("r", "jobs"))["r/0"] >= 1e14


async def test_a_job_of_it_that_was_sent_is_not_confirmed(store: Handle) -> None:
    await store.create(task("ok-a"))
    await becomes_newer(store)
    before = await everything(store)
    await store.store._confirmations._confirm(store.ear.jobs[0])
    assert await everything(store) == before
