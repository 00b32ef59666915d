"""Runs are stored whole or not at all, in as few calls as they need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from handles import Handle, Stores
from hypothesis import given, note
from simulation import chain, graph, swarm, task
from simulation.profile import examples
from simulation.trees import shape
from strategies import signatures

from mageflow_core.client.loopthread import LoopThread
from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Policy, Status
from mageflow_core.signatures.codec import to_json
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Created, Query
from mageflow_core.stores.redis.store import BYTES_AT_ONCE

Sig = Signature[Any]
Step = Callable[..., Awaitable[Any]]


def different(count: int, **more: Any) -> Sig:
    """A swarm of so many, each unlike the others."""
    return swarm(*(task(f"ok-{number}") for number in range(count)), **more)


def bulky(count: int, size: int = 400_000) -> Sig:
    return swarm(*(task("ok-a").bind(x="x" * size, n=number) for number in range(count)))


def instead_of_steps(handle: Handle, step: Callable[[Step, Sequence[Any]], Awaitable[Any]]) -> None:
    """step: called in the place of every step of a run, with what makes that, and its arguments."""
    server = handle.store.server
    original = server.step

    async def made(*arguments: Any) -> Any:
        return await step(original, arguments)

    setattr(server, "step", made)  # noqa: B010 - methods are not assigned to


async def keys_of_runs(handle: Handle) -> list[str]:
    return [key for key in await handle.keys() if ":all}" not in key]


# --- what is stored -----------------------------------------------------------------------------
async def test_a_run_is_stored_as_it_was_given(stores: Stores) -> None:
    # Given
    store = await stores.open()
    made = chain(task("ok-a"), swarm(task("ok-b"))).named("n").label(x="y")
    # When
    created = await store.create(
        made, '{"ü": 1}', content="hash", start_key="key", ttl=5.0, run="run-1"
    )
    # Then
    assert created == Created(fresh=True)
    view = await store.store.view("run-1")
    assert (view.id, view.signature, view.message) == ("run-1", made, '{"ü": 1}')
    assert (view.start_key, view.alias_of, view.settled_at) == ("key", None, None)
    assert view.started_at == view.created_at
    assert abs(view.created_at - store.store.now()) < 5
    assert view.root.status is Status.ACTIVE


async def test_a_run_without_a_message_is_pending_and_goes_after_a_time(stores: Stores) -> None:
    # Given
    store = await stores.open_at(policy=Policy(pending_ttl=10.0))
    await store.create(task("ok-a"), None)
    assert (await store.store.view("r")).root.status is Status.PENDING
    assert store.ear.jobs == []
    # When
    stores.advance(10)
    await store.look()
    # Then
    with pytest.raises(RunNotFound):
        await store.store.view("r")


async def test_what_is_there_is_not_made_again_and_a_conflict_is_told(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(task("ok-a"), content="1")
    # Then
    assert await store.create(task("ok-a"), content="1") == Created(fresh=False)
    assert await store.create(task("ok-b"), content="2") == Created(fresh=False, conflict=True)
    assert (await store.store.view("r")).signature == task("ok-a")


@examples(15, 1_000)
@given(signatures)
def test_any_signature_comes_back_from_the_server(
    loop: LoopThread, opened: Handle, signature: Sig
) -> None:
    note(shape(signature))

    async def there_and_back() -> tuple[Sig, Sig]:
        await opened.ask("FLUSHDB")
        await opened.create(signature)
        view = await opened.store.view("r")
        return view.signature, await opened.store.signature("r")

    for found in loop.run(there_and_back()):
        assert to_json(found) == to_json(signature)


@pytest.fixture
def loop() -> Any:
    thread = LoopThread()
    yield thread
    thread.close()


@pytest.fixture
def opened(loop: LoopThread, server: Any) -> Any:
    stores = Stores(server)
    yield loop.run(stores.open())
    loop.run(stores.close())


async def test_a_later_plan_of_a_run_has_numbers_of_its_own(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(swarm(task("ok-a"), open=True))
    # When
    for name in ("ok-b", "ok-c"):
        await store.add("r", chain(task(name), task("ok-d")), task(name))
    # Then
    assert await store.store.signature("r/1/0") == task("ok-b")
    assert await store.store.signature("r/3") == chain(task("ok-c"), task("ok-d"))
    assert await store.store.signature("r/4") == task("ok-c")


# --- round trips --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("signature", "calls"),
    [
        (task("ok-a"), 1),
        (swarm(*[task("ok-a")] * 10_000), 1),
        (different(1_000), 1),
        (different(2_000), 2),
        (graph({f"n{number}": task("ok-a") for number in range(1_000)}), 1),
        (chain(*(swarm(task(f"ok-{number}")) for number in range(500))), 1),
        (bulky(2), 1),
        (bulky(5), 2),
        (swarm(task("ok-a").bind(x="x" * 2 * BYTES_AT_ONCE)), 2),
        (task("ok-a").bind(x="x" * 2 * BYTES_AT_ONCE), 1),
    ],
    ids=["one", "equals", "1000", "2000", "graph", "nested", "small", "big", "too big", "only one"],
)
async def test_a_call_is_made_for_each_1000_signatures_or_megabyte(
    stores: Stores, signature: Sig, calls: int
) -> None:
    # Given
    store = await stores.open()
    await store.create(signature, run="warm")  # the server has the scripts from now on
    await store.forget_counts()
    # When
    await store.create(signature)
    # Then
    assert await store.count("evalsha") == calls
    assert await store.store.signature("r") == signature
    assert await store.keys("*}:t:*") == []


async def test_no_call_is_much_longer_than_a_megabyte(stores: Stores) -> None:
    # Given
    store = await stores.open()
    sizes = []
    server = store.store.server
    original = server.wire.call

    async def call(script: Any, key: str, *arguments: Any) -> Any:
        sizes.append(sum(len(str(each)) for each in arguments))
        return await original(script, key, *arguments)

    setattr(server.wire, "call", call)  # noqa: B010 - methods are not assigned to
    # When
    await store.create(bulky(60, 100_000))
    # Then
    assert sum(sizes) > 6_000_000
    assert max(sizes) < BYTES_AT_ONCE + 110_000


# --- staging ------------------------------------------------------------------------------------
async def test_nothing_is_seen_of_a_run_before_its_last_call(stores: Stores) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    seen: list[Any] = []

    async def look_first(step: Step, arguments: Sequence[Any]) -> Any:
        seen.append(await other.store.find(Query()))
        seen.append(await other.store.counts())
        with pytest.raises(RunNotFound):
            await other.store.view("r")
        seen.append(await other.look())
        seen.append(len(await other.keys("*}:t:*")))
        return await step(*arguments)

    instead_of_steps(store, look_first)
    # When
    await store.create(different(2_000, max_concurrency=2))
    # Then
    page, counts, jobs, staged = seen
    assert (page.runs, counts, jobs, staged) == ((), {}, [], 1)
    assert [run.id for run in (await other.store.find(Query())).runs] == ["r"]
    assert store.ear.keys == ["r/0", "r/1"]


async def test_what_was_staged_goes_after_10_minutes_if_no_last_call_follows(
    stores: Stores,
) -> None:
    # Given
    store = await stores.open()

    async def die(step: Step, arguments: Sequence[Any]) -> Any:
        raise ConnectionError("the client is gone")

    instead_of_steps(store, die)
    # When
    with pytest.raises(ConnectionError):
        await store.create(different(4_000))
    # Then
    (staged,) = await keys_of_runs(store)
    assert ":t:r:" in staged
    assert 590_000 < await store.ask("PTTL", staged) <= 600_000


async def test_a_run_that_was_staged_stays(stores: Stores) -> None:
    store = await stores.open()
    await store.create(different(2_000))
    assert await store.ask("PTTL", store.store.server.keys.run("r")) == -1


@pytest.mark.parametrize("content", ["same", "other"])
async def test_of_a_run_that_is_there_nothing_stays_staged(stores: Stores, content: str) -> None:
    # Given
    store = await stores.open()
    await store.create(different(2_000), content="same")
    before = set(await keys_of_runs(store))
    # When
    created = await store.create(different(2_000), content=content)
    # Then
    assert created == Created(fresh=False, conflict=content == "other")
    assert set(await keys_of_runs(store)) == before


async def test_a_creation_whose_answer_was_lost_is_asked_again_and_leaves_nothing_staged(
    stores: Stores,
) -> None:
    # Given
    store = await stores.open()

    async def lose_the_answer(step: Step, arguments: Sequence[Any]) -> Any:
        if arguments[0] == "create":
            await step(*arguments)
        return await step(*arguments)

    instead_of_steps(store, lose_the_answer)
    # When
    created = await store.create(different(2_000, max_concurrency=2), content="c")
    # Then
    assert not created.conflict
    assert await store.keys("*}:t:*") == []
    assert store.ear.keys == ["r/0", "r/1"], "what the lost answer had made due is sent"
    assert (await store.store.view("r")).root.children == 2_000


async def test_two_that_create_the_same_run_at_once_make_one(stores: Stores) -> None:
    # Given
    store, other = await stores.open(), await stores.open()
    signature = different(2_000)
    raced: list[Created] = []

    async def be_second(step: Step, arguments: Sequence[Any]) -> Any:
        if not raced:
            raced.append(await other.create(signature, content="c"))
        return await step(*arguments)

    instead_of_steps(store, be_second)
    # When
    created = await store.create(signature, content="c")
    # Then
    assert (created.fresh, raced[0].fresh) == (False, True)
    assert await store.keys("*}:t:*") == []
    assert await store.store.signature("r") == signature
