"""Reads of one run, by as few requests as the deepest of them needs."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from handles import Handle, Stores, asked_for
from simulation import chain, graph, swarm, task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Draft
from mageflow_core.stores.redis import reader
from mageflow_core.stores.redis.reader import Reader, lineage
from mageflow_core.stores.redis.snapshot import Snapshot


@pytest.fixture
async def store(stores: Stores) -> Handle:
    made = await stores.open()
    await made.create(swarm(*[task("ok-a")] * 30, ok=[task("ok-b")]))
    return made


def test_a_node_is_read_with_those_above_it() -> None:
    assert lineage("/0/x~2/!error-0") == ["n/0/x~2/!error-0", "n/0/x~2", "n/0/x", "n/0", "n"]
    assert lineage("") == ["n"]


async def test_what_is_read_ahead_is_one_request(store: Handle) -> None:
    # Given
    asked = await asked_for(store)
    # When
    node = await Reader(store.store.server).one("r", "/3", lambda draft: draft.get("/3"))
    # Then
    assert node.path == "/3"
    assert asked == [("HMGET", store.store.server.keys.run("r"), "run", "n/3", "n")]


async def test_what_several_miss_is_asked_for_at_once(store: Handle) -> None:
    # Given
    asked = await asked_for(store)
    paths = [f"/{n}" for n in range(20)]
    # When
    nodes = await Reader(store.store.server).each(
        Snapshot("r"), [partial(Draft.get, path=path) for path in paths]
    )
    # Then
    assert [node.path for node in nodes] == paths
    assert len(asked) == 2
    assert asked[1][2:] == tuple(f"n{path}" for path in paths)


async def test_answers_come_in_the_order_of_the_questions(store: Handle) -> None:
    def deep(draft: Draft) -> str:
        return draft.get("/1").signature.kind

    found = await Reader(store.store.server).each(Snapshot("r"), [deep, lambda _: "at once", deep])
    assert found == ["task", "at once", "task"]


async def test_what_was_read_before_is_not_read_again(store: Handle) -> None:
    # Given
    reading, snapshot = Reader(store.store.server), Snapshot("r")
    await reading.each(snapshot, [lambda draft: draft.get("/1")])
    asked = await asked_for(store)
    # When
    await reading.each(snapshot, [lambda draft: draft.get("/1")])
    # Then
    assert asked == []


async def test_a_request_has_a_bearable_number_of_fields(
    store: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(reader, "AT_ONCE", 10)
    asked = await asked_for(store)
    # When
    children = await store.store.children("r", 0, 30)
    # Then
    assert [child.key for child in children] == [f"r/{n}" for n in range(30)]
    assert max(len(each) - 2 for each in asked) == 10


@pytest.mark.parametrize("path", ["", "/3"])
async def test_what_is_not_there_is_not_found(store: Handle, path: str) -> None:
    with pytest.raises(RunNotFound, match="no run 'nothing'"):
        await Reader(store.store.server).one("nothing", path, lambda draft: draft.run)


async def test_an_error_of_the_function_is_its_own(store: Handle) -> None:
    def fails(_: Draft) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Reader(store.store.server).one("r", "", fails)


# --- views --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "most"), [("view", 6), ("node", 2), ("children", 4), ("signature", 4), ("holds", 1)]
)
async def test_a_view_takes_a_few_requests_however_wide_the_run_is(
    stores: Stores, name: str, most: int
) -> None:
    # Given
    store = await stores.open()
    await store.create(chain(swarm(*[task("ok-a")] * 300), task("ok-b")))
    asked = await asked_for(store)
    # When
    ways: dict[str, Any] = {
        "view": lambda: store.store.view("r"),
        "node": lambda: store.store.node("r/0/3"),
        "children": lambda: store.store.children("r/0", 0, 300),
        "signature": lambda: store.store.signature("r"),
        "holds": lambda: store.store.holds("r/0/3", "c"),
    }
    await ways[name]()
    # Then
    assert len(asked) <= most


async def test_children_are_those_by_position_then_what_came_of_them(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(
        graph({"b": task("ok-b"), "a": task("bad-a")}, ok=[task("ok-c")], err=[task("ok-d")])
    )
    await store.run("r/b")
    await store.fails(await store.begin("r/a"))
    # Then
    expected = ["r/b", "r/a", "r/!error-0"]
    assert [child.key for child in await store.store.children("r", 0, 10)] == expected
    for position, key in enumerate(expected):
        assert [child.key for child in await store.store.children("r", position, 1)] == [key]
    assert list(await store.store.children("r", 3, 10)) == []


async def test_what_has_not_begun_is_shown_as_it_will_be(stores: Stores) -> None:
    # Given
    store = await stores.open()
    await store.create(chain(task("ok-a"), swarm(task("ok-b").named("n")), task("ok-c")))
    before = await store.fields()
    # Then
    view = await store.store.node("r/1/0")
    assert (view.status, view.task, view.name, view.depth) == ("pending", "ok-b", "n", 3)
    assert await store.fields() == before


@pytest.mark.parametrize(
    "key", ["r/30", "r/-1", "r/x", "r/00", "r/0/0", "r/!success-0", "r~1", "s"]
)
async def test_a_key_that_names_nothing_is_not_found_by_any_way_of_reading(
    store: Handle, key: str
) -> None:
    ways = store.store
    for ask in (ways.node(key), ways.children(key, 0, 1), ways.signature(key), ways.value(key)):
        with pytest.raises(RunNotFound):
            await ask


async def test_a_claim_holds_until_it_is_lost_or_a_mark_tells_its_body_to_stop(
    stores: Stores,
) -> None:
    # Given
    store = await stores.open()
    await store.create(chain(task("ok-a")))
    work = await store.begin("r/0")
    # Then
    assert await store.store.holds("r/0", work.claim)
    assert not await store.store.holds("r/0", "another")
    assert not await store.store.holds("r", work.claim)
    assert not await store.store.holds("nothing", work.claim)
    # When
    await store.store.leave("w1", crashed=False)
    # Then
    assert not await store.store.holds("r/0", work.claim)
