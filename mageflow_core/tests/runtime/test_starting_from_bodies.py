"""Runs started and items added inside bodies; waiting there; continuations."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from mageflow_core import (
    Context,
    Mageflow,
    Node,
    Retry,
    SwarmReport,
    chain,
    swarm,
)
from mageflow_core.errors import TaskFailed, WouldDeadlock
from mageflow_core.runtime.running import Running

AGAIN = Retry(retries=1, delay=0)


async def keys_of(mf: Mageflow) -> set[str]:
    return {run.key for run in await mf.find(limit=1_000)}


# --- idempotent starts ---------------------------------------------------------------------------


async def test_a_retried_body_finds_again_what_it_started(mf: Mageflow) -> None:
    # Given a body that starts a run and then fails, once
    @mf.task
    async def leaf(n: int) -> int:
        return n

    @mf.task(retry=AGAIN)
    async def root(ctx: Context) -> str:
        run = await leaf.start({"n": 1})
        if ctx.attempt == 1:
            raise ValueError("after it was started")
        return run.key

    # When it has been retried
    run = await root.start()
    started = await run.result(timeout=10)
    # Then there is one such run
    assert await keys_of(mf) == {run.key, started}


async def test_what_was_started_is_found_again_in_any_order(mf: Mageflow) -> None:
    # Given a body that starts the same things in another order each time, equal ones among them
    seen: list[dict[str, str]] = []

    @mf.task
    async def leaf(n: int) -> int:
        return n

    @mf.task(retry=Retry(retries=9, delay=0))
    async def root(ctx: Context) -> None:
        numbers = [1, 2, 3, 1]
        random.Random(ctx.attempt).shuffle(numbers)
        keys: dict[str, str] = {}
        for n in numbers:
            name = f"{n}" if f"{n}" not in keys else f"{n} again"
            keys[name] = (await leaf.start({"n": n})).key
        seen.append(keys)
        if ctx.attempt < 10:
            raise ValueError

    run = await root.start()
    await run.result(timeout=10)
    # Then each attempt has found the same four
    assert len(seen) == 10
    assert all(keys == seen[0] for keys in seen)
    assert len(await keys_of(mf)) == 5


async def test_a_key_finds_again_what_differs_between_attempts(mf: Mageflow) -> None:
    @mf.task
    async def leaf(n: int) -> int:
        return n

    @mf.task(retry=AGAIN)
    async def root(ctx: Context) -> str:
        run = await mf.start(leaf, {"n": ctx.attempt}, key="the one")
        if ctx.attempt == 1:
            raise ValueError
        return run.key

    run = await root.start()
    started = await run.result(timeout=10)
    assert await keys_of(mf) == {run.key, started}
    assert await (await mf.load(started)).result(timeout=10) == 1


async def test_bodies_of_two_nodes_start_runs_of_their_own(mf: Mageflow) -> None:
    @mf.task
    async def leaf() -> None: ...

    @mf.task
    async def root() -> str:
        return (await leaf.start()).key

    keys = await (await mf.start(swarm(root, root))).result(timeout=10)
    assert len(set(keys)) == 2


async def test_a_retry_by_hand_starts_anew(mf: Mageflow) -> None:
    started: list[str] = []

    @mf.task
    async def leaf() -> None: ...

    @mf.task
    async def root() -> None:
        started.append((await leaf.start()).key)
        raise ValueError

    run = await root.start()
    await run.wait(timeout=10)
    await run.retry()
    await run.wait(timeout=10)
    assert len(set(started)) == 2


async def test_a_retried_body_finds_again_what_it_added(mf: Mageflow) -> None:
    # Given an item that adds to its own swarm, fails, and adds again
    @mf.task
    async def leaf(n: int) -> int:
        return n

    @mf.task(retry=AGAIN)
    async def grow(ctx: Context, n: int = 0) -> int:
        whole = await mf.load(ctx.run_id)
        numbers = [1, 2] if ctx.attempt == 1 else [2, 1]
        for number in numbers:
            await whole.add(leaf.sign(n=number))
        if ctx.attempt == 1:
            raise ValueError
        await whole.close()
        return 0

    run = await mf.start(swarm([grow], open=True))
    # Then each was added once
    assert await run.result(timeout=10) == [0, 1, 2]


def test_the_ordinal_counts_among_equal_contents_only() -> None:
    first, second = Running("run/0", 1), Running("run/0", 1)
    one = [first.id_for(content, None) for content in ("a", "b", "a")]
    other = [second.id_for(content, None) for content in ("a", "a", "b")]
    assert [one[0], one[2], one[1]] == other
    assert len(set(one)) == 3


def test_ids_differ_between_nodes_generations_and_keys() -> None:
    made = {
        Running("run/0", 1).id_for("a", None),
        Running("run/1", 1).id_for("a", None),
        Running("run/0", 2).id_for("a", None),
        Running("run/0", 1).id_for("a", "a"),
        Running("run/0", 1).id_for("a", "a:1"),
    }
    assert len(made) == 5
    assert all(len(name) == 32 and "/" not in name and "~" not in name for name in made)


# --- waiting in a body ----------------------------------------------------------------------------


async def test_a_body_that_waits_for_its_own_run_is_refused(mf: Mageflow) -> None:
    @mf.task
    async def stuck(ctx: Context) -> None:
        await (await mf.load(ctx.run_id)).wait()

    run = await stuck.start()
    with pytest.raises(TaskFailed, match="return the signature instead"):
        await run.result(timeout=10)


async def test_a_body_that_waits_for_an_item_of_its_own_swarm_is_refused(mf: Mageflow) -> None:
    @mf.task
    async def leaf() -> None: ...

    @mf.task
    async def stuck(ctx: Context) -> None:
        whole = await mf.load(ctx.run_id)
        (item,) = await whole.add(leaf)
        await whole.close()
        with pytest.raises(WouldDeadlock):
            await item.result()
        raise LookupError("refused")

    run = await mf.start(swarm([stuck], open=True, max_concurrency=1))
    await run.wait(timeout=10)
    error = await run[0].error()
    assert error is not None
    assert error.message == "refused"


async def test_a_callback_that_waits_for_its_run_to_settle_is_refused(mf: Mageflow) -> None:
    @mf.task
    async def work() -> None: ...

    @mf.task
    async def stuck(ctx: Context) -> None:
        await (await mf.load(ctx.run_id)).settled()

    run = await mf.start(work.sign().on_success(stuck))
    await run.settled(timeout=10)
    (callback,) = [node async for node in run.children()]
    error = await callback.error()
    assert error is not None
    assert error.type.endswith("WouldDeadlock")


async def test_other_waits_in_a_body_are_warned_of(mf: Mageflow) -> None:
    @mf.task
    async def leaf() -> int:
        return 3

    @mf.task
    async def waiting() -> int:
        run = await leaf.start()
        with pytest.warns(RuntimeWarning, match="holds its slot meanwhile"):
            return await run.result()

    assert await waiting.run() == 3


async def test_waiting_for_what_has_ended_is_no_reason_to_warn(mf: Mageflow) -> None:
    @mf.task
    async def leaf() -> int:
        return 3

    @mf.task
    async def look(key: str) -> int:
        node: Node[int] = await mf.load(key)
        return await node.result()

    run = await leaf.start()
    await run.wait(timeout=10)
    assert await look.run({"key": run.key}) == 3


# --- reports --------------------------------------------------------------------------------------


async def test_a_swarms_report_comes_to_callbacks_and_to_the_next_step(mf: Mageflow) -> None:
    # Given a swarm of which one item fails
    seen: dict[str, Any] = {}

    @mf.task
    async def work(n: int) -> int:
        if n == 2:
            raise ValueError("two")
        return n

    async def describe(report: SwarmReport) -> list[Any]:
        failures = [(f.index, f.error.message) for f in report.failures]
        return [await report.load(), failures, report.counts.total, report.counts.failed]

    @mf.task
    async def after(report: SwarmReport) -> None:
        seen["callback"] = await describe(report)

    @mf.task
    async def following(report: SwarmReport) -> None:
        seen["step"] = await describe(report)

    @mf.task
    def in_a_thread(report: SwarmReport) -> None:
        seen["thread"] = [report.results, [f.index for f in report.failures]]

    many = swarm([work.sign(n=n) for n in range(4)]).on_success(after, in_a_thread)
    # When it has ended
    run = await mf.start(chain(many, following))
    await run.settled(timeout=10)
    # Then all of them have its results and its failures
    expected = [[0, 1, None, 3], [(2, "two")], 4, 1]
    assert seen["callback"] == expected
    assert seen["step"] == expected
    assert seen["thread"] == [[0, 1, None, 3], [2]]


async def test_a_report_says_so_where_reading_it_would_block_the_loop(mf: Mageflow) -> None:
    @mf.task
    async def work() -> int:
        return 1

    @mf.task
    async def wrong(report: SwarmReport) -> list[Any]:
        return report.results

    run = await mf.start(chain(swarm(work), wrong))
    with pytest.raises(TaskFailed, match=r"await report\.load"):
        await run.result(timeout=10)


async def test_a_failed_swarms_report_comes_to_its_error_callback(mf: Mageflow) -> None:
    seen: list[tuple[int, int]] = []

    @mf.task
    async def fail() -> None:
        raise ValueError

    @mf.task
    async def note(report: SwarmReport) -> None:
        seen.append((report.counts.failed, len(report.failures)))

    run = await mf.start(swarm([fail] * 12).on_error(note))
    await run.settled(timeout=10)
    assert seen == [(12, 10)]


async def test_many_bodies_run_side_by_side(mf: Mageflow) -> None:
    # Given bodies of which each waits for all
    barrier = asyncio.Barrier(40)

    @mf.task
    async def meet() -> int:
        await barrier.wait()
        return 1

    run = await mf.start(swarm([meet] * 40, max_concurrency=None))
    assert await run.result(timeout=10) == [1] * 40
