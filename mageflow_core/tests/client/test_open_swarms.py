"""Swarms that take items while they run."""

from __future__ import annotations

from typing import Any

import pytest

from mageflow_core import Mageflow, swarm
from mageflow_core.errors import (
    SwarmClosed,
)

# --- open swarms ----------------------------------------------------------------------------------


async def test_an_open_swarm_takes_items_until_it_is_closed(mf: Mageflow, add: Any) -> None:
    run = await mf.start(swarm([add], open=True), {"a": 1})
    (second,) = await run.add(add.sign(b=10))
    third, fourth = await run.add([add.sign(b=20), add.sign(b=30)])
    assert [node.key for node in (second, third, fourth)] == [f"{run.key}/{n}" for n in (1, 2, 3)]
    assert await second.result(timeout=10) == 11
    assert await run.add() == []
    await run.close()
    await run.close()  # twice is no error
    assert await run.result(timeout=10) == [2, 11, 21, 31]


async def test_adding_with_a_key_adds_once(mf: Mageflow, add: Any) -> None:
    run = await mf.start(swarm(open=True), {"a": 1})
    first = await run.add(add, key="one")
    again = await run.add(add, key="one")
    assert [node.key for node in first] == [node.key for node in again]
    await run.close()
    assert await run.result(timeout=10) == [2]


async def test_items_add_to_their_own_swarm(mf: Mageflow) -> None:
    from mageflow_core import Context

    @mf.task
    async def walk(n: int, ctx: Context) -> int:
        whole = await mf.load(ctx.run_id)
        if n < 5:
            await whole.add(walk.sign(n=n + 1))
        else:
            await whole.close()
        return n

    run = await mf.start(swarm([walk], open=True), {"n": 0})
    assert await run.result(timeout=10) == [0, 1, 2, 3, 4, 5]


async def test_a_swarm_with_a_number_of_tasks_closes_itself(mf: Mageflow, add: Any) -> None:
    run = await mf.start(swarm([add], open=True, max_tasks=3), {"a": 1})
    with pytest.raises(SwarmClosed, match="more than its max_tasks"):
        await run.add(add, add, add)
    await run.add(add, add)
    assert await run.result(timeout=10) == [2, 2, 2]


async def test_a_swarm_that_is_idle_for_long_closes_itself(
    make_app: Any, clock: Any, until: Any
) -> None:
    mf: Mageflow = await make_app(clock=clock)

    @mf.task
    async def work() -> int:
        return 1

    run = await mf.start(swarm([work], open=True, idle_timeout=60))
    await run[0].wait(timeout=10)
    assert not (await run.view()).status.ended
    clock.advance(61)
    assert await run.result(timeout=10) == [1]
