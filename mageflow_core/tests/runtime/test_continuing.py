"""Tasks that return what is to follow, and branches."""

from __future__ import annotations

from typing import Any

import pytest

from mageflow_core import (
    Cause,
    Context,
    Mageflow,
    Retry,
    ReturnValue,
    Signature,
    SwarmReport,
    branch,
    chain,
    swarm,
)
from mageflow_core.errors import TaskFailed

# --- continuations --------------------------------------------------------------------------------


async def test_a_task_that_returns_a_chain_is_replaced_by_it(mf: Mageflow) -> None:
    @mf.task
    async def add(n: int, by: int = 1) -> int:
        return n + by

    @mf.task
    async def choose(n: int) -> Signature[Any]:
        return chain(add.sign(by=10), add.sign(by=100))

    run = await mf.start(chain(choose, add), {"n": 1})
    assert await run.result(timeout=10) == 112
    assert [child.key async for child in run[0].children()] == [f"{run.key}/0~1"]


async def test_a_task_that_returns_a_chain_whose_last_step_returns_a_swarm(mf: Mageflow) -> None:
    @mf.task
    async def leaf(n: int, by: int) -> int:
        return n + by

    @mf.task
    async def fan(n: int) -> Signature[Any]:
        return swarm([leaf.sign(by=by) for by in (1, 2, 3)])

    @mf.task
    async def begin(n: int) -> Signature[Any]:
        return chain(leaf.sign(by=10), fan)

    @mf.task
    async def total(numbers: ReturnValue[list[int]], report: SwarmReport) -> list[int]:
        return [sum(numbers), report.counts.succeeded]

    run = await mf.start(chain(begin, total), {"n": 0})
    assert await run.result(timeout=10) == [36, 3]


async def test_a_loop_of_continuations_does_not_nest(mf: Mageflow) -> None:
    # Given a task that goes on with itself 500 times
    deepest = 0

    @mf.task
    async def count(n: int, ctx: Context) -> Any:
        return count.sign(n=n + 1) if n < 500 else n

    run = await mf.start(count, {"n": 0})
    # Then it comes to its end, at no depth
    assert await run.result(timeout=30) == 500
    async for child in run.children():
        deepest = max(deepest, (await child.view()).depth)
    assert deepest == 2


async def test_a_loop_without_an_end_is_ended(make_app: Any) -> None:
    mf: Mageflow = await make_app(max_continuations=5)

    @mf.task
    async def forever() -> Any:
        return forever.sign()

    run = await forever.start()
    with pytest.raises(TaskFailed, match="max_continuations"):
        await run.result(timeout=10)
    error = await run.error()
    assert error is not None
    assert error.cause is Cause.LIMIT


async def test_a_continuation_that_nests_too_deep_fails_its_task(mf: Mageflow) -> None:
    @mf.task
    async def leaf() -> int:
        return 1

    @mf.task
    async def deep() -> Any:
        signature: Any = leaf.sign()
        for _ in range(31):
            signature = chain(signature)
        return signature

    run = await deep.start()
    with pytest.raises(TaskFailed, match="deeper than 32"):
        await run.result(timeout=10)
    error = await run.error()
    assert error is not None
    assert (error.cause, error.task) == (Cause.LIMIT, "deep")


async def test_a_continuation_with_a_task_that_nobody_knows_fails_its_task(mf: Mageflow) -> None:
    @mf.task
    async def lost() -> Any:
        return chain("unheard")

    run = await lost.start()
    with pytest.raises(TaskFailed, match="no task is named 'unheard'"):
        await run.result(timeout=10)
    error = await run.error()
    assert error is not None
    assert (error.cause, error.task) == (Cause.UNKNOWN_TASK, "lost")


async def test_callbacks_of_a_continued_task_wait_for_what_stands_in(mf: Mageflow) -> None:
    seen: list[int] = []

    @mf.task
    async def leaf(n: int) -> int:
        return n + 1

    @mf.task
    async def go_on(n: int) -> Signature[Any]:
        return chain(leaf, leaf)

    @mf.task
    async def note(result: ReturnValue[int]) -> None:
        seen.append(result)

    run = await mf.start(go_on.sign().on_success(note), {"n": 1})
    await run.settled(timeout=10)
    assert seen == [3]


async def test_the_retries_of_a_continued_task_do_not_cover_what_stands_in(mf: Mageflow) -> None:
    runs = 0

    @mf.task
    async def fail() -> None:
        nonlocal runs
        runs += 1
        raise ValueError("in the continuation")

    @mf.task(retry=Retry(retries=5, delay=0))
    async def go_on() -> Signature[Any]:
        return chain(fail)

    with pytest.raises(TaskFailed, match="in the continuation"):
        await (await go_on.start()).result(timeout=10)
    assert runs == 1


# --- branch ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "result"), [(5, 10), (50, 51)])
async def test_a_branch_runs_the_case_of_its_condition(mf: Mageflow, n: int, result: int) -> None:
    @mf.task
    async def small(n: int) -> bool:
        return n < 10

    @mf.task
    async def double(n: int) -> int:
        return 2 * n

    @mf.task
    async def add(n: int) -> int:
        return n + 1

    flow = branch(small, then=double, otherwise=add)
    assert await (await mf.start(flow, {"n": n})).result(timeout=10) == result


@pytest.mark.parametrize(("kind", "result"), [("a", "A"), (2, "B"), (None, "C"), ("z", "other")])
async def test_a_branch_compares_results_as_json(mf: Mageflow, kind: Any, result: str) -> None:
    @mf.task
    async def tell(kind: Any) -> Any:
        return kind

    @mf.task
    async def say(word: str) -> str:
        return word

    flow = branch(
        tell,
        {"a": say.sign(word="A"), 2: say.sign(word="B"), None: say.sign(word="C")},
        otherwise=say.sign(word="other"),
    )
    assert await (await mf.start(flow, {"kind": kind})).result(timeout=10) == result


async def test_a_branch_in_a_chain_hands_on_what_it_got(mf: Mageflow) -> None:
    @mf.task
    async def start(n: int) -> int:
        return n + 1

    @mf.task
    async def big(n: int) -> bool:
        return n > 10

    @mf.task
    async def double(n: int) -> int:
        return 2 * n

    flow = chain(start, branch(big, then=double), start)
    assert await (await mf.start(flow, {"n": 1})).result(timeout=10) == 3
    assert await (await mf.start(flow, {"n": 10})).result(timeout=10) == 23
