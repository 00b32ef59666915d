"""Shapes inside shapes, on the real engine, with the results that they must have."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from mageflow_core import (
    ErrorInfo,
    ErrorValue,
    Mageflow,
    ReturnValue,
    Signature,
    Status,
    chain,
    graph,
    swarm,
)
from mageflow_core.errors import SwarmFailed, TaskFailed


class Tasks:
    """A few tasks that count how often each call of them ran."""

    def __init__(self, mf: Mageflow) -> None:
        self.ran: Counter[str] = Counter()
        ran = self.ran

        @mf.task
        async def add(n: int, by: int = 1) -> int:
            ran[f"add {n} {by}"] += 1
            return n + by

        @mf.task
        async def total(numbers: list[int | None]) -> int:
            ran["total"] += 1
            return sum(n for n in numbers if n is not None)

        @mf.task
        async def collect(numbers: Any) -> Any:
            ran["collect"] += 1
            return {"numbers": numbers}

        @mf.task
        async def fail(n: Any = None) -> int:
            ran["fail"] += 1
            raise ValueError("failed on purpose")

        self.add, self.total, self.collect, self.fail = add, total, collect, fail


@pytest.fixture
def tasks(mf: Mageflow) -> Tasks:
    return Tasks(mf)


async def result_of(mf: Mageflow, signature: Any, message: Any = None) -> Any:
    run = await mf.start(signature, {} if message is None else message)
    return await run.result(timeout=10)


async def test_a_chain_in_a_swarm_in_a_chain(mf: Mageflow, tasks: Tasks) -> None:
    add = tasks.add
    flow = chain(add, swarm(chain(add, add.sign(by=10)), chain(add.sign(by=100), add)), tasks.total)
    # (0+1) → [1+1+10, 1+100+1] → 12 + 102
    assert await result_of(mf, flow, {"n": 0}) == 114


async def test_a_swarm_as_the_first_step(mf: Mageflow, tasks: Tasks) -> None:
    flow = chain(swarm(tasks.add.sign(by=1), tasks.add.sign(by=2)), tasks.total)
    assert await result_of(mf, flow, {"n": 10}) == 23


async def test_a_swarm_as_the_last_step(mf: Mageflow, tasks: Tasks) -> None:
    flow = chain(tasks.add, swarm(tasks.add.sign(by=1), tasks.add.sign(by=2)))
    assert await result_of(mf, flow, {"n": 10}) == [12, 13]


async def test_a_swarm_as_the_only_step(mf: Mageflow, tasks: Tasks) -> None:
    assert await result_of(mf, chain(swarm(tasks.add, tasks.add)), {"n": 1}) == [2, 2]


async def test_two_swarms_one_after_the_other(mf: Mageflow, tasks: Tasks) -> None:
    flow = chain(swarm(tasks.add, tasks.add), swarm(tasks.total, tasks.collect))
    assert await result_of(mf, flow, {"n": 1}) == [4, {"numbers": [2, 2]}]


async def test_a_group_of_chains_in_a_chain_in_a_chord_runs_its_13_tasks_once_each(
    mf: Mageflow, tasks: Tasks
) -> None:
    # Given a swarm of chains in a chain, beside others in a swarm, with a step that collects
    add = tasks.add
    groups = [
        chain(
            add.sign(by=1000 * g),
            swarm(
                chain(add.sign(by=100 * g + 1), add.sign(by=100 * g + 2)),
                chain(add.sign(by=100 * g + 3), add.sign(by=100 * g + 4)),
            ),
            tasks.total,
        )
        for g in (1, 2)
    ]
    flow = chain(swarm(groups), tasks.total)
    # When it runs
    run = await mf.start(flow, {"n": 0})
    # Then each of the 13 tasks ran once
    assert await run.result(timeout=10) == 2 * 1000 + 410 + 2 * 2000 + 810
    assert sum(tasks.ran.values()) == 13
    assert all(times == 1 for name, times in tasks.ran.items() if name != "total")
    assert tasks.ran["total"] == 3
    kinds = Counter([(await node.view()).kind for node in await run.nodes()])
    assert kinds == {"task": 13, "chain": 7, "swarm": 3}


async def test_a_swarm_of_swarms_with_failures_at_each_level(mf: Mageflow, tasks: Tasks) -> None:
    # Given failures in an inner swarm, an inner swarm that fails, and a failure beside both
    add, fail = tasks.add, tasks.fail
    flow = swarm(
        swarm(add, fail, add.sign(by=2)),
        swarm(fail, fail),
        fail,
        swarm(swarm(add, fail), fail),
    )
    # When it runs
    run = await mf.start(flow, {"n": 1})
    # Then what succeeded is there, with None where there is nothing
    assert await run.result(timeout=10) == [[2, None, 3], None, None, [[2, None], None]]
    view = await run.view()
    assert (view.done, view.failed, sorted(view.failures)) == (2, 2, [1, 2])
    assert [view.failed async for view in _views(run)] == [1, 2, 0, 1]


async def _views(run: Any) -> Any:
    async for child in run.children():
        yield await child.view()


async def test_a_swarm_of_which_all_items_failed_has_failed(mf: Mageflow, tasks: Tasks) -> None:
    run = await mf.start(chain(swarm([tasks.fail] * 3), tasks.total), {"n": 1})
    with pytest.raises(SwarmFailed, match="3 of 3 items of the swarm failed") as failed:
        await run.result(timeout=10)
    assert failed.value.error is not None
    assert failed.value.error.key == f"{run.key}/0"
    assert await run[1].status() is Status.SKIPPED
    assert tasks.ran["total"] == 0


async def test_an_empty_swarm_is_done_with_an_empty_list(mf: Mageflow, tasks: Tasks) -> None:
    assert await result_of(mf, swarm()) == []
    assert await result_of(mf, chain(swarm([]), tasks.total)) == 0
    assert await result_of(mf, swarm(swarm(), swarm(swarm()))) == [[], [[]]]


async def test_a_long_chain_of_empty_swarms_comes_to_its_end(mf: Mageflow) -> None:
    assert await result_of(mf, chain([swarm()] * 1_200)) == []


async def test_a_graph_in_a_chain_in_a_graph(mf: Mageflow, tasks: Tasks) -> None:
    add, total = tasks.add, tasks.total
    inner = graph(
        {"a": add.sign(by=1), "b": add.sign(by=2), "numbers": swarm(add, add)},
        depends_on={"numbers": ["a", "b"]},
    )
    outer = graph({"first": chain(add, inner), "second": add}, depends_on={"second": ["first"]})
    run = await mf.start(chain(inner, total), {"n": 1})
    assert await run.result(timeout=10) == 4
    assert set(await result_of(mf, outer, {"n": 1})) == {"second"}


async def test_a_diamond_gives_each_node_what_it_depends_on(mf: Mageflow) -> None:
    @mf.task
    async def load(n: int) -> int:
        return n

    @mf.task
    async def left(load: int) -> int:
        return load + 1

    @mf.task
    async def right(load: int) -> int:
        return load * 10

    @mf.task
    async def join(left: int, right: int) -> list[int]:
        return [left, right]

    flow = graph(
        {"join": join, "left": left, "right": right, "load": load},
        depends_on={"join": ["left", "right"], "left": "load", "right": "load"},
    )
    assert await result_of(mf, flow, {"n": 4}) == {"join": [5, 40]}


async def test_a_failure_in_a_graph_skips_what_depends_on_it(mf: Mageflow, tasks: Tasks) -> None:
    flow = graph(
        {"a": tasks.add, "bad": tasks.fail, "after": tasks.add, "beside": tasks.add},
        depends_on={"after": ["bad"], "beside": ["a"]},
        on_failure="continue",
    )
    run = await mf.start(flow, {"n": 1})
    await run.wait(timeout=10)
    found = {name: await run[name].status() for name in ("a", "bad", "after", "beside")}
    assert found == {"a": "done", "bad": "failed", "after": "skipped", "beside": "done"}


async def test_callbacks_have_callbacks_of_their_own(mf: Mageflow, tasks: Tasks) -> None:
    # Given callbacks on callbacks, of success and of error
    seen: list[str] = []

    @mf.task
    async def note(result: ReturnValue[Any], name: str) -> str:
        seen.append(f"{name}: {result}")
        return name

    @mf.task
    async def break_down(result: ReturnValue[Any]) -> None:
        raise LookupError("in the callback")

    @mf.task
    async def note_error(error: ErrorValue, name: str) -> None:
        seen.append(f"{name}: {error.message}")

    flow = tasks.add.sign().on_success(
        note.sign(name="first").on_success(note.sign(name="second")),
        break_down.sign().on_error(
            note_error.sign(name="of the callback").on_success(note.sign(name="at last"))
        ),
    )
    # When it runs
    run = await mf.start(flow, {"n": 1})
    assert await run.result(timeout=10) == 2
    await run.settled(timeout=10)
    # Then each ran once, and the run is done
    assert sorted(seen) == [
        "at last: {'n': 1}",  # `-> None` passes its message on
        "first: 2",
        "of the callback: in the callback",
        "second: first",
    ]
    assert await run.status() is Status.DONE


async def test_containers_as_callbacks(mf: Mageflow, tasks: Tasks) -> None:
    seen: list[Any] = []

    @mf.task
    async def note(numbers: Any) -> None:
        seen.append(numbers)

    callback = chain(swarm(tasks.add.sign(by=10), tasks.add.sign(by=20)), note)
    run = await mf.start(chain(tasks.add).on_success(callback), {"n": 1})
    await run.settled(timeout=10)
    assert seen == [[12, 22]]


async def test_callbacks_at_every_level_are_due_once(mf: Mageflow, tasks: Tasks) -> None:
    seen: Counter[str] = Counter()

    @mf.task
    async def note(result: ReturnValue[Any], name: str) -> None:
        seen[name] += 1

    @mf.task
    async def note_error(error: ErrorValue, name: str) -> None:
        seen[name] += 1

    def watched(signature: Signature[Any], name: str) -> Signature[Any]:
        return signature.on_success(note.sign(name=f"{name} done")).on_error(
            note_error.sign(name=f"{name} failed")
        )

    good = watched(chain(watched(tasks.add.sign(), "task")), "chain")
    bad = watched(chain(watched(tasks.fail.sign(), "bad task")), "bad chain")
    flow = watched(chain(watched(swarm(good, bad), "swarm"), tasks.fail, tasks.add), "whole")
    run = await mf.start(flow, {"n": 1})
    await run.settled(timeout=10)
    assert seen == {
        "task done": 1,
        "chain done": 1,
        "bad task failed": 1,
        "bad chain failed": 1,
        "swarm done": 1,
        "whole failed": 1,
    }


async def test_the_error_of_a_deep_failure_is_the_same_at_every_level(
    mf: Mageflow, tasks: Tasks
) -> None:
    seen: list[ErrorInfo] = []

    @mf.task
    async def note(error: ErrorValue) -> None:
        seen.append(error)

    flow = chain(chain(chain(tasks.fail).on_error(note)).on_error(note)).on_error(note)
    run = await mf.start(flow)
    with pytest.raises(TaskFailed, match="failed on purpose"):
        await run.result(timeout=10)
    await run.settled(timeout=10)
    assert {error.key for error in seen} == {f"{run.key}/0/0/0"}
    assert sorted(error.owner or "" for error in seen) == [
        run.key,
        f"{run.key}/0",
        f"{run.key}/0/0",
    ]


async def test_everything_nested_as_deep_as_it_may_be(mf: Mageflow, tasks: Tasks) -> None:
    flow: Signature[Any] = tasks.add.sign()
    for level in range(31):
        flow = chain(flow) if level % 2 else swarm(flow)
    result: Any = 2
    for level in range(31):
        result = result if level % 2 else [result]
    assert await result_of(mf, flow, {"n": 1}) == result


async def test_one_signature_in_many_places_is_many_nodes(mf: Mageflow, tasks: Tasks) -> None:
    same = chain(tasks.add, tasks.add)
    flow = swarm(same, chain(same, same), same)
    assert await result_of(mf, flow, {"n": 0}) == [2, 4, 2]
    assert await result_of(mf, flow, {"n": 1}) == [3, 5, 3]


async def test_bound_arguments_of_containers_reach_the_tasks_inside(
    mf: Mageflow, tasks: Tasks
) -> None:
    flow = chain(swarm(tasks.add, tasks.add.sign(by=7), by=5), tasks.total)
    assert await result_of(mf, flow, {"n": 0}) == 12


async def test_a_wide_swarm_has_all_its_results_in_order(mf: Mageflow, tasks: Tasks) -> None:
    flow = swarm([tasks.add.sign(by=n) for n in range(1_500)], max_concurrency=None)
    run = await mf.start(flow, {"n": 0})
    assert await run.result(timeout=30) == list(range(1_500))
    assert [result async for result in run.results()] == list(range(1_500))
    assert len([child async for child in run.children()]) == 1_500


async def test_stopping_after_failures_begins_nothing_further(mf: Mageflow, tasks: Tasks) -> None:
    flow = swarm([tasks.fail] * 10, max_concurrency=1, stop_after_n_failures=3)
    run = await mf.start(flow)
    with pytest.raises(SwarmFailed, match="3 of 10"):
        await run.result(timeout=10)
    assert tasks.ran["fail"] == 3
