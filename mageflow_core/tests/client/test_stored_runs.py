"""Stored runs that stand where a signature may."""

from __future__ import annotations

from typing import Any

import pytest

from mageflow_core import Mageflow, Status, chain, swarm
from mageflow_core.errors import (
    AlreadyStarted,
    SignatureError,
    SignatureTooLarge,
)

# --- stored runs inside signatures ----------------------------------------------------------------


async def test_a_stored_run_becomes_the_node_where_it_stands(mf: Mageflow, add: Any) -> None:
    # Given stored runs that stand in a new one
    first, second = await mf.store(add.sign(b=10)), await mf.store(add.sign(b=100))
    run = await mf.start(chain(first, swarm(add, second)), {"a": 1})
    assert await run.result(timeout=10) == [12, 111]
    # Then they can be loaded by their own keys
    node = await mf.load(first.key)
    assert node.key == f"{run.key}/0"
    assert await node.result() == 11
    assert (await mf.load(second.key)).key == f"{run.key}/1/1"


async def test_the_handle_of_a_stored_run_follows_it_to_where_it_stands(
    mf: Mageflow, add: Any
) -> None:
    # Given handles of a stored run that stands in another one
    stored = await mf.store(add.sign(b=10))
    (found,) = await mf.find()
    run = await mf.start(chain(stored, add), {"a": 1})
    # Then both say what became of it there
    assert await stored.result(timeout=10) == 11
    assert await found.status() is Status.DONE
    assert (stored.key, stored.run_id) == (f"{run.key}/0", run.key)
    assert (await stored.info()).id == run.key
    with pytest.raises(AlreadyStarted, match="stands for a part of run"):
        await stored.start({"a": 1})


async def test_starting_by_a_stored_run_starts_that_one(mf: Mageflow, add: Any) -> None:
    stored = await mf.store(add)
    run = await mf.start(stored, {"a": 1})
    assert await run.result(timeout=10) == 2
    assert await stored.result(timeout=10) == 2
    assert (await mf.load(stored.id)).key == run.key


async def test_items_added_to_what_a_task_was_continued_by_have_keys_of_their_own(
    mf: Mageflow, add: Any, until: Any
) -> None:
    # Given a task that goes on as an open swarm
    @mf.task
    async def fan() -> Any:
        return swarm(open=True)

    run = await mf.start(fan, {"a": 1})

    async def continued() -> bool:
        return (await run.view()).status == "active" and bool([n async for n in run.children()])

    await until(continued)
    # When an item is added by the task's key
    (item,) = await run.add(add)
    await run.close()
    # Then it is a node that can be asked
    assert await item.result(timeout=10) == 2
    assert await run.result(timeout=10) == [2]


async def test_a_stored_run_can_be_a_callback(mf: Mageflow, add: Any) -> None:
    callback = await mf.store(add.sign(b=5))
    run = await mf.start(add.sign().on_success(callback), {"a": 1})
    await run.settled(timeout=10)
    assert await (await mf.load(callback.key)).result() == 7


async def test_a_run_that_was_started_cannot_stand_in_another(mf: Mageflow, add: Any) -> None:
    run = await mf.start(add, {"a": 1})
    with pytest.raises(SignatureError, match="was started, or stands elsewhere"):
        await mf.start(chain(add, run), {"a": 1})
    assert len(await mf.find()) == 1


async def test_a_run_that_stands_in_one_cannot_stand_in_another(mf: Mageflow, add: Any) -> None:
    stored = await mf.store(add)
    await mf.start(chain(stored), {"a": 1})
    with pytest.raises(SignatureError, match="was started, or stands elsewhere"):
        await mf.start(chain(stored), {"a": 1})
    with pytest.raises(AlreadyStarted, match="stands for a part of run"):
        await stored.start({"a": 1})


async def test_a_stored_run_cannot_stand_in_two_places(mf: Mageflow, add: Any) -> None:
    stored = await mf.store(add)
    with pytest.raises(SignatureError, match="stands in two places"):
        await mf.start(swarm(stored, stored), {"a": 1})
    await stored.start({"a": 1})
    assert await stored.result(timeout=10) == 2


async def test_a_stored_run_becomes_the_item_that_is_added(mf: Mageflow, add: Any) -> None:
    # Given
    items = await swarm(open=True).start()
    stored = await add.sign(a=1, b=2)

    # When
    (item,) = await items.add(stored)
    await items.close()

    # Then
    assert await items.result(timeout=5) == [3]
    assert (await mf.load(stored.key)).key == item.key


async def test_a_stored_run_that_was_started_cannot_be_added(mf: Mageflow, add: Any) -> None:
    # Given
    items = await swarm(open=True).start()
    stored = await add.sign(a=1, b=2)
    await stored.start()

    # When / Then
    with pytest.raises(SignatureError, match="was started"):
        await items.add(stored)
    assert (await items.view()).children == 0


async def test_a_swarm_grows_to_max_nodes_and_no_further(make_app: Any) -> None:
    # Given
    app = await make_app(max_nodes=3)
    items = await app.start(swarm(open=True))
    task = app.task(name="same")(lambda x: x)

    # When / Then
    await items.add([task.sign(x=1), task.sign(x=2)])
    with pytest.raises(SignatureTooLarge, match="max_nodes"):
        await items.add([task.sign(x=3), task.sign(x=4)])
    assert (await items.view()).children == 2


async def test_starting_a_stored_run_with_labels_starts_that_one(mf: Mageflow, add: Any) -> None:
    # Given
    stored = await add.sign(a=1)

    # When
    run = await mf.start(stored, {"b": 2}, labels={"team": "docs"})

    # Then
    assert await run.result(timeout=5) == 3
    assert (await mf.load(stored.id)).key == run.key
    assert [found.key for found in await mf.find(labels={"team": "docs"})] == [run.key]
