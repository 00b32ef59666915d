"""Messages and results: where they are kept, and how they are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from handles import Handle, Stores
from simulation import chain, graph, swarm, task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Policy, Verb
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.redis.records import INLINE

Sig = Signature[Any]


def of_size(size: int, letter: str = "x") -> str:
    """JSON text of so many bytes."""
    width = len(letter.encode())
    count, rest = divmod(size - len('""'), width)
    text = json.dumps(letter * count + "y" * rest, ensure_ascii=False)
    assert len(text.encode()) == size
    return text


async def finished(store: Handle, value: str, signature: Sig | None = None) -> None:
    await store.create(signature or task("ok-a"))
    await store.run("r", value)


async def values_of_their_own(store: Handle) -> set[str]:
    """Places of values that have keys of their own."""
    return {key.partition("}:v:r")[2] for key in await store.keys("*}:v:*")}


# --- where --------------------------------------------------------------------------------------
@pytest.mark.parametrize("letter", ["x", "é", "€", "🧙"])
@pytest.mark.parametrize(("size", "own"), [(INLINE, False), (INLINE + 1, True)])
async def test_a_result_of_more_than_64_kb_has_a_key_of_its_own(
    stores: Stores, letter: str, size: int, own: bool
) -> None:
    # Given
    store = await stores.open()
    value = of_size(size, letter)
    # When
    await finished(store, value)
    # Then
    assert await values_of_their_own(store) == ({""} if own else set())
    assert (await store.fields())["v"] == ("" if own else value)
    assert await store.store.value("r") == value


@pytest.mark.parametrize(("size", "own"), [(INLINE, False), (INLINE + 1, True)])
async def test_so_has_a_message(stores: Stores, size: int, own: bool) -> None:
    # Given
    store = await stores.open()
    message = of_size(size, "é")
    # When
    await store.create(task("ok-a"), message)
    # Then
    assert await values_of_their_own(store) == ({"$"} if own else set())
    assert (await store.store.view("r")).message == message
    assert (await store.begin()).input.message == message


async def test_the_message_of_a_start_takes_the_place_of_none(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(task("ok-a"), None)
    assert (await store.store.view("r")).message == "null"
    # When
    assert await store.store.start("r", of_size(INLINE + 5), "s") is None
    # Then
    assert (await store.store.view("r")).message == of_size(INLINE + 5)


# --- reading ------------------------------------------------------------------------------------
@pytest.mark.parametrize("shift", range(5))
@pytest.mark.parametrize("letter", ["é", "€", "🧙"])
async def test_a_character_may_stand_across_the_border_of_two_pieces(
    stores: Stores, letter: str, shift: int
) -> None:
    # Given
    store = await stores.open()
    value = json.dumps("y" * shift + letter * 40_000, ensure_ascii=False)
    # When
    await finished(store, value)
    # Then
    assert await store.store.value("r") == value


async def test_no_reply_has_more_than_64_kb_of_a_long_value(stores: Stores) -> None:
    # Given
    store = await stores.open()
    value = of_size(5 * INLINE + 1, "é")
    await finished(store, value)
    await store.forget_counts()
    replies = []
    wire = store.store.server.wire
    original = wire.command

    async def command(*arguments: Any, key: str) -> Any:
        reply = await original(*arguments, key=key)
        replies.append(reply)
        return reply

    setattr(wire, "command", command)  # noqa: B010 - methods are not assigned to
    # When
    assert await store.store.value("r") == value
    # Then
    texts = [text for text in replies if isinstance(text, str)]
    assert len(texts) == 6
    assert max(len(text.encode("utf-8", "surrogateescape")) for text in texts) == INLINE


@pytest.mark.parametrize(
    "value",
    [
        "9007199254740993",
        "-0.0",
        "1e400",
        "[]",
        "{}",
        '[[],{"a":{}}]',
        '"\\u0000\\ud83d\\ude00"',
        ' {"spaces" : true}\n',
        json.dumps("\x00\x7f\u2028é🧙", ensure_ascii=False),
    ],
)
async def test_a_value_is_a_text_that_nobody_changes(stores: Stores, value: str) -> None:
    # Given
    store = await stores.open()
    await store.create(chain(task("ok-a"), task("ok-b")), value)
    # When
    first = await store.begin("r/0")
    await store.done(first, value)
    second = await store.begin("r/1")
    # Then
    assert (first.input.message, second.input.previous) == (value, value)
    assert await store.store.value("r/0") == value


async def test_what_has_no_result_yet_has_no_value(stores: Stores) -> None:
    store = await stores.open()
    await store.create(chain(task("ok-a"), swarm(task("ok-b"))))
    for key in ("r", "r/0", "r/1", "r/1/0"):
        assert await store.store.value(key) is None


@pytest.mark.parametrize("key", ["none", "none/0", "r/5", "r~1"])
async def test_a_value_of_what_is_not_there_is_not_found(stores: Stores, key: str) -> None:
    store = await stores.open()
    await store.create(chain(task("ok-a")))
    for ask in (store.store.value(key), store.store.values(key, 0, 5)):
        with pytest.raises(RunNotFound):
            await ask


# --- anew ---------------------------------------------------------------------------------------
async def test_a_value_that_takes_the_place_of_another_may_be_shorter_or_longer(
    stores: Stores,
) -> None:
    # Given
    store = await stores.open()
    await finished(store, of_size(3 * INLINE))
    for value in (of_size(9), of_size(INLINE + 1), of_size(2 * INLINE, "é"), of_size(INLINE)):
        await store.rewrite("n", st="queued", val=None, res=None, carried=None)
        # When
        await store.run("r", value)
        # Then
        assert await store.store.value("r") == value


# --- gone ---------------------------------------------------------------------------------------
async def all_keys(store: Handle) -> set[str]:
    """But those of the namespace, and those that set the time."""
    return {key for key in await store.keys() if "{ns:all}" not in key} - {"clock", "told"}


async def clear(stores: Stores, store: Handle) -> None:
    """Serve all that is due, until nothing is; by then all leases have ended too."""
    stores.advance(100)
    while await store.scores("r", "due") or await store.scores("r", "leases"):
        await store.look()


async def test_with_a_run_all_goes_that_was_kept_of_it(stores: Stores) -> None:
    # Given
    store = await stores.open_at(policy=Policy(result_ttl=10.0))
    long = of_size(INLINE + 1)
    flow = chain(
        task("ok-a"),
        swarm(task("ok-b"), task("ok-b"), open=True),
        graph({"x": task("bad-x")}),
        err=[task("ok-tidy")],
    )
    await store.create(flow.named("n").label(a="b"), long)
    await store.steer("r/1", Verb.SUSPEND)
    await store.run("r/0", long)
    assert (await store.claim("r/1/0")).verdict == "park"
    assert any("}:p:" in key for key in await all_keys(store))
    await store.add("r/1", task("ok-c"))
    await store.steer("r/1", Verb.RESUME)
    await store.look()
    for number in range(3):
        await store.run(f"r/1/{number}", long)
    assert await store.store.close_swarm("r", "/1") is None
    await store.fails(await store.begin("r/2/x"))
    await store.run("r/!error-0", long)
    assert (await store.store.view("r")).settled_at is not None
    assert await values_of_their_own(store) == {
        "$", "/0", "/1/0", "/1/1", "/1/2", "/!error-0",
    }  # fmt: skip
    # When
    stores.advance(100)
    await clear(stores, store)
    # Then
    assert await all_keys(store) == set()


async def test_many_long_values_go_some_at_a_time_and_the_run_at_once(stores: Stores) -> None:
    # Given
    store = await stores.open_at(width=20, policy=Policy(result_ttl=10.0))
    await store.create(swarm(*[task("ok-a")] * 50))
    long = of_size(INLINE + 1)
    jobs = store.ear.take()
    while jobs:
        for job in jobs:
            await store.run(job.key, long)
        jobs = [*store.ear.take(), *await store.look()]
    assert len(await values_of_their_own(store)) == 50
    stores.advance(10)
    # When
    await store.look()
    left = len(await values_of_their_own(store))
    # Then
    assert left == 30
    with pytest.raises(RunNotFound):
        await store.store.view("r")
    await clear(stores, store)
    assert await all_keys(store) == set()


async def test_a_run_of_the_same_id_that_comes_meanwhile_is_not_touched(stores: Stores) -> None:
    # Given
    store = await stores.open_at(width=1, policy=Policy(result_ttl=10.0))
    long = of_size(INLINE + 1)
    await store.create(task("ok-a"), long)
    await store.run("r", long)
    stores.advance(10)
    await store.look()
    # When
    await store.create(task("ok-b"), "1")
    await store.look()
    # Then
    assert (await store.store.view("r")).signature == task("ok-b")
    await store.run("r", "2")
    assert await store.store.value("r") == "2"


# --- put together -------------------------------------------------------------------------------
NESTS = {
    "swarm": swarm(*[task("ok-a")] * 5),
    "chain of swarms": chain(swarm(task("ok-a")), swarm(task("ok-b"), task("ok-c"))),
    "graph": graph({"x": task("ok-x"), "y": task("ok-y"), "z": task("ok-z")}, {"y": ("x",)}),
    "swarm of graphs": swarm(*[graph({"x": swarm(task("ok-a"), chain(task("ok-b")))})] * 3),
    "swarm of swarms": swarm(*[swarm(*[swarm(task("ok-a"))] * 3)] * 3, swarm()),
    "open": swarm(task("ok-a"), open=True),
}


@pytest.mark.parametrize("name", NESTS)
async def test_a_container_has_the_same_result_as_in_memory(stores: Stores, name: str) -> None:
    # Given
    store, memory = await stores.open(), stores.in_memory()
    for each in (store, memory):
        await each.create(NESTS[name])
        await each.play(lambda key: json.dumps(f"result of {key}"))
        await each.store.close_swarm("r", "")
    # Then
    expected = await memory.store.value("r")
    assert expected is not None
    assert await store.store.value("r") == expected
    if name.startswith("swarm"):
        for first, count in ((0, 2), (1, 99), (7, 1)):
            assert await store.store.values("r", first, count) == list(
                await memory.store.values("r", first, count)
            )


async def test_items_without_a_result_are_null(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(swarm(*[task("ok-a")] * 4))
    await store.run("r/1", "1")
    # Then
    assert await store.store.values("r", 0, 9) == ["null", "1", "null", "null"]
    # When
    await store.fails(await store.begin("r/0"))
    await store.steer("r/2", Verb.CANCEL)
    await store.run("r/3", "3")
    # Then
    assert await store.store.value("r") == "[null,1,null,3]"


@pytest.mark.parametrize(
    ("signature", "most"),
    [
        (swarm(*[task("ok-a")] * 2_500, max_concurrency=None), 25),
        (graph({"x": swarm(*[task("ok-a")] * 900, max_concurrency=None)}), 12),
        (swarm(*[swarm(*[task("ok-a")] * 90)] * 10, max_concurrency=None), 15),
    ],
    ids=["wide", "in a graph", "nested"],
)
async def test_a_result_takes_a_request_for_each_level_and_1000_fields(
    stores: Stores, signature: Sig, most: int
) -> None:
    # Given
    store = await stores.open()
    await store.create(signature)
    await store.play_all("1")
    await store.forget_counts()
    # When
    value = await store.store.value("r")
    # Then
    assert value is not None
    assert value.count("1") == sum(1 for letter in value if letter == ",") + 1
    assert await store.count("hmget") <= most
