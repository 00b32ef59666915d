"""Waiting costs nothing until there is something to look at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest
from handles import Handle, Stores, asked_for
from simulation import chain, swarm, task

from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core.errors import NotOpen, RunNotFound, StoreUnavailable
from mageflow_core.machine import Policy, Verb
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import NodeView, Until
from mageflow_core.stores.redis import views

NEVER = 10_000.0


class Waiters:
    """Tasks that wait; none is left when the test ends."""

    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[Any]] = []

    async def begin(
        self,
        store: Handle,
        key: str = "r",
        until: Until = "ended",
        ask: Callable[[str], Coroutine[Any, Any, Any]] | None = None,
    ) -> asyncio.Task[Any]:
        """Returns when it has looked once."""
        looked = asyncio.Event()
        reader = store.store._reader
        original = reader.each

        async def each(*arguments: Any) -> Any:
            found = await original(*arguments)
            looked.set()
            return found

        setattr(reader, "each", each)  # noqa: B010 - methods are not assigned to
        task = asyncio.create_task(ask(key) if ask else store.store.wait(key, until))
        self.tasks.append(task)
        done = asyncio.create_task(looked.wait())
        await asyncio.wait([task, done], return_when=asyncio.FIRST_COMPLETED)
        done.cancel()
        setattr(reader, "each", original)  # noqa: B010
        return task


@pytest.fixture(autouse=True)
def _polls_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(views, "LOOK_AGAIN", NEVER)


@pytest.fixture
async def waiters() -> AsyncIterator[Waiters]:
    made = Waiters()
    yield made
    for each in made.tasks:
        each.cancel()
        with suppress(asyncio.CancelledError, NotOpen, RunNotFound):
            await each


async def soon(waiting: Awaitable[NodeView]) -> NodeView:
    return await asyncio.wait_for(waiting, 5)


# --- what ends ----------------------------------------------------------------------------------
async def test_what_has_ended_is_not_waited_for(stores: Stores) -> None:
    store = await stores.open()
    await store.create(chain(task("ok-a")))
    await store.run("r/0")
    for key in ("r", "r/0"):
        assert (await soon(store.store.wait(key, "ended"))).key == key


@pytest.mark.parametrize("key", ["r", "r/0"])
async def test_a_waiter_is_told_by_whoever_ends_it(
    stores: Stores, waiters: Waiters, key: str
) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    await store.create(chain(task("ok-a")))
    waiting = await waiters.begin(store, key)
    assert not waiting.done()
    # When
    await other.run("r/0", "1")
    # Then
    view = await soon(waiting)
    assert (view.key, view.status) == (key, "done")


async def test_a_waiter_looks_once_and_is_told_the_rest(stores: Stores, waiters: Waiters) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    await store.create(task("ok-a"))
    asked = await asked_for(store)
    waiting = await waiters.begin(store)
    # When
    await other.run("r", "1")
    await soon(waiting)
    # Then
    read = [fields for name, _, *fields in asked if name == "HMGET"]
    assert read == [["run", "n", "s0.1", "b0.1"]]


async def test_what_is_told_of_an_item_is_not_mixed_with_what_is_read_later(
    stores: Stores, waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given one who waits for the second item, and is told that it has begun
    store, other = await stores.open(), await stores.open()
    await store.create(chain(swarm(task("ok-a"), task("ok-b"), max_concurrency=1)))
    waiting = await waiters.begin(store, "r/0/1")
    asks, answer = asyncio.Event(), asyncio.Event()
    wire = store.store.server.wire
    command = wire.command

    async def late(*words: Any, **how: Any) -> Any:
        asks.set()
        await answer.wait()
        return await command(*words, **how)

    monkeypatch.setattr(wire, "command", late)
    await other.run("r/0/0")
    await asyncio.wait_for(asks.wait(), 5)
    # When all is over before the rest is read
    await other.run("r/0/1")
    answer.set()
    # Then
    assert (await soon(waiting)).status == "done"


@pytest.mark.parametrize(
    ("signature", "last"),
    [(task("ok-a"), "r"), (chain(task("ok-a")), "r/0")],
    ids=["task", "chain"],
)
@pytest.mark.parametrize(("size", "asks"), [(1_000, False), (10_000, True)])
async def test_a_short_result_is_told_with_the_end(
    stores: Stores, waiters: Waiters, *, signature: Signature[Any], last: str, size: int, asks: bool
) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    await store.create(signature)
    work = await other.begin(last)
    waiting = await waiters.begin(store, ask=store.store.outcome)
    asked = await asked_for(store)
    # When
    value = json.dumps("x" * size)
    await other.done(work, value)
    # Then
    view, text = await asyncio.wait_for(waiting, 5)
    assert (view.status, text) == ("done", value)
    assert bool(asked) == asks


async def test_a_waiter_of_a_step_is_told_by_the_end_of_the_chain(
    stores: Stores, waiters: Waiters
) -> None:
    # Given
    store = await stores.open()
    await store.create(chain(task("bad-a"), task("ok-b")))
    waiting = await waiters.begin(store, "r/1")
    # When
    await store.fails(await store.begin("r/0"))
    # Then
    assert (await soon(waiting)).status == "skipped"


async def test_a_waiter_of_an_item_is_told_by_the_cancel_of_its_swarm(
    stores: Stores, waiters: Waiters
) -> None:
    # Given
    store = await stores.open()
    await store.create(swarm(task("ok-a"), task("ok-b"), max_concurrency=1))
    waiting = await waiters.begin(store, "r/1")
    # When
    await store.steer("r", Verb.CANCEL)
    # Then
    assert (await soon(waiting)).status == "canceled"


async def test_a_waiter_of_a_settled_run_waits_for_its_callbacks(
    stores: Stores, waiters: Waiters
) -> None:
    # Given
    store = await stores.open()
    await store.create(chain(task("ok-a"), ok=[task("ok-b")]))
    settled = await waiters.begin(store, "r", "settled")
    below = await waiters.begin(store, "r/0", "settled")
    # When
    await store.run("r/0")
    await asyncio.sleep(0)
    await store.store.view("r")
    assert not settled.done()
    await store.run("r/!success-0")
    # Then
    assert (await soon(settled)).key == "r"
    assert (await soon(below)).key == "r/0"


async def test_many_wait_for_different_nodes_and_each_returns_at_its_time(
    stores: Stores, waiters: Waiters
) -> None:
    # Given
    store = await stores.open()
    await store.create(swarm(*[task("ok-a")] * 5))
    waiting = [await waiters.begin(store, f"r/{n}") for n in range(5)]
    whole = await waiters.begin(store, "r")
    # When
    for number, each in enumerate(waiting):
        assert not each.done()
        await store.run(f"r/{number}")
        # Then
        assert (await soon(each)).status == "done"
    assert (await soon(whole)).done == 5


async def test_waiters_of_one_node_are_all_told(stores: Stores, waiters: Waiters) -> None:
    store = await stores.open()
    await store.create(task("ok-a"))
    waiting = [await waiters.begin(store) for _ in range(5)]
    await store.run()
    assert {(await soon(each)).status for each in waiting} == {"done"}


async def test_what_ends_between_asking_to_be_told_and_looking_is_seen(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(task("ok-a"))
    original = store.store._reader.each

    async def each(*arguments: Any) -> Any:
        setattr(store.store._reader, "each", original)  # noqa: B010 - methods are not assigned to
        found = await original(*arguments)
        await store.run()
        return found

    setattr(store.store._reader, "each", each)  # noqa: B010
    # Then
    assert (await soon(store.store.wait("r", "ended"))).status == "done"


# --- what it costs ------------------------------------------------------------------------------
async def test_waiting_asks_the_server_nothing(stores: Stores, waiters: Waiters) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    await store.create(chain(*[task("ok-a")] * 3))
    waiting = await waiters.begin(store)
    await store.forget_counts()
    # When: others work, of which nothing concerns the waiter
    await other.run("r/0")
    await other.run("r/1")
    # Then
    assert await other.count("publish") == 0
    assert not waiting.done()


async def test_nothing_is_told_of_nodes_that_nobody_waits_for(stores: Stores) -> None:
    store = await stores.open()
    await store.create(chain(*[task("ok-a")] * 3))
    await store.run("r/0")
    assert "w" not in await store.fields()
    assert await store.count("publish") == 0


async def test_who_waits_no_longer_is_not_listened_for(stores: Stores, waiters: Waiters) -> None:
    # Given
    store = await stores.open()
    await store.create(task("ok-a"))
    waiting = await waiters.begin(store)
    assert await store.ask("PUBSUB", "CHANNELS", "ns:run:*") == ["ns:run:r"]
    # When
    waiting.cancel()

    # Then
    async def gone() -> bool:
        return not await store.ask("PUBSUB", "CHANNELS", "ns:run:*")

    await eventually(gone)
    assert store.store._waiting == set()


async def test_all_waiters_of_a_process_share_a_connection(
    stores: Stores, waiters: Waiters
) -> None:
    # Given
    store = await stores.open()
    for run in ("a", "b", "c"):
        await store.create(task("ok-a"), run=run)
    before = await store.ask("INFO", "clients")
    # When
    for run in ("a", "b", "c", "a"):
        await waiters.begin(store, run)
    # Then
    after = await store.ask("INFO", "clients")
    counts = [int(text.split("connected_clients:")[1].split()[0]) for text in (before, after)]
    assert counts[1] == counts[0] + 1


# --- what goes wrong ----------------------------------------------------------------------------
async def test_who_begins_to_wait_while_the_server_is_frozen_is_told_so(
    server: RedisServer, stores: Stores
) -> None:
    # Given a server that is frozen before it has confirmed that somebody listens
    store = await stores.open(patience=0.1)
    await store.create(task("ok-a"))
    server.pause()
    try:
        # When somebody waits, then that is not for ever
        with pytest.raises(StoreUnavailable):
            await soon(store.store.wait("r", "ended"))
    finally:
        server.resume()
    # And when it goes on, then it can be waited for
    await store.run()
    assert (await soon(store.store.wait("r", "ended"))).status == "done"


@pytest.mark.parametrize("key", ["nothing", "nothing/0", "r/7", "r/!error-0"])
async def test_what_is_not_there_is_not_waited_for(stores: Stores, key: str) -> None:
    store = await stores.open()
    await store.create(chain(task("ok-a")))
    with pytest.raises(RunNotFound):
        await soon(store.store.wait(key, "ended"))
    assert store.store._waiting == set()


async def test_a_waiter_is_told_that_its_run_was_removed(stores: Stores, waiters: Waiters) -> None:
    # Given
    store = await stores.open_at(policy=Policy(pending_ttl=10.0))
    await store.create(task("ok-a"), None)
    waiting = await waiters.begin(store)
    # When
    stores.advance(10)
    await store.look()
    # Then
    with pytest.raises(RunNotFound):
        await soon(waiting)


async def test_a_waiter_is_told_that_its_store_was_closed(stores: Stores, waiters: Waiters) -> None:
    # Given
    store = await stores.open()
    await store.create(task("ok-a"))
    waiting = [await waiters.begin(store), await waiters.begin(store, until="settled")]
    # When
    await store.store.close()
    # Then
    for each in waiting:
        with pytest.raises(NotOpen, match="closed"):
            await soon(each)


async def test_with_a_store_that_is_closed_nobody_begins_to_wait(stores: Stores) -> None:
    store = await stores.open()
    await store.create(task("ok-a"))
    await store.store.close()
    with pytest.raises(NotOpen):
        await soon(store.store.wait("r", "ended"))


async def test_what_was_not_told_is_seen_when_the_connection_stands_again(
    stores: Stores, waiters: Waiters
) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    await store.create(task("ok-a"))
    waiting = await waiters.begin(store)
    # When
    assert await other.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
    await other.run()
    # Then
    assert (await soon(waiting)).status == "done"


async def test_what_was_lost_on_the_way_is_seen_a_little_later(
    stores: Stores, waiters: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(views, "LOOK_AGAIN", 0.05)
    store, other = await stores.open(), await stores.open()
    await store.create(chain(task("ok-a")))
    waiting = await waiters.begin(store, "r/0")
    # When: nobody is told, as if the message had been lost
    setattr(store.store.channel, "_tell", lambda *_: None)  # noqa: B010 - methods are not assigned to
    await other.run("r/0")
    # Then
    assert (await soon(waiting)).status == "done"
