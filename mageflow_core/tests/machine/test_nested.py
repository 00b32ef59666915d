"""Shapes of flows inside flows that are known to break elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import World, chain, expected, graph, swarm, task
from simulation.bodies import failure_of
from simulation.profile import examples
from simulation.trees import Sig

from mageflow_core.machine import Failed, Status


def run(flow: Sig, *, watch: bool = True) -> World:
    world = World(watch=watch)
    world.start(flow, "m")
    world.finish()
    return world


def bodies(world: World) -> Counter[str]:
    assert world.ledger is not None
    return Counter(path for _, path, _, _, _ in world.ledger.begun)


def agrees(world: World, flow: Sig) -> bool:
    end = expected(flow, json.dumps("m"))
    if not end.done:
        return world.status() is Status.FAILED
    return world.status() is Status.DONE and world.value() == json.loads(end.value)


def test_a_chain_in_a_swarm_in_a_chain() -> None:
    # Given
    inner = chain(task("ok-b"), task("ok-c"))
    flow = chain(task("ok-a"), swarm(inner, inner, task("ok-d")), task("ok-e"))
    # When
    world = run(flow)
    # Then
    assert agrees(world, flow)
    assert len(world.value("/1")) == 3
    assert world.value("/1/0") == world.value("/1/0/1")
    assert set(bodies(world).values()) == {1}


def test_a_swarm_as_the_last_step_gives_its_list_to_the_chain() -> None:
    # Given
    flow = chain(task("ok-a"), swarm(task("ok-b"), task("ok-c")))
    # When
    world = run(flow)
    # Then
    assert agrees(world, flow)
    assert world.value() == [world.value("/1/0"), world.value("/1/1")]


def test_a_swarm_as_the_first_step_gives_its_list_to_the_next() -> None:
    # Given
    flow = chain(swarm(task("ok-a"), task("ok-b")), task("ok-c"))
    world = World()
    world.start(flow, "m")
    world.begin("/0/0").done(1)
    world.begin("/0/1").done(2)
    # When
    given_ = world.begin("/1").work.input
    # Then
    assert given_.previous == "[1,2]"
    assert given_.message == '"m"'
    assert given_.report_of == "r/0"


def test_thirteen_tasks_of_chains_inside_a_chain_inside_a_swarm_run_once_each() -> None:
    # Given a group of chains within a chain, as an item beside tasks, before what joins them
    group = swarm(*[chain(*[task(f"ok-{i}{j}") for j in range(3)]) for i in range(3)])
    item = chain(task("ok-first"), group, task("ok-last"))
    flow = chain(swarm(item, task("ok-beside")), task("ok-joined"))
    # When
    world = run(flow)
    # Then
    assert len(bodies(world)) == 13
    assert set(bodies(world).values()) == {1}
    assert agrees(world, flow)
    assert len(world.value("/0/0/1")) == 3


def test_a_swarm_of_swarms_tolerates_failures_at_each_level() -> None:
    # Given
    good = swarm(task("ok-a"), task("bad-b"))
    lost = swarm(task("bad-c"), task("bad-d"))
    flow = swarm(good, lost, swarm(lost, good), task("bad-e"))
    # When
    world = run(flow)
    # Then
    assert agrees(world, flow)
    assert world.status("/1") is Status.FAILED
    assert world.status("/2/0") is Status.FAILED
    assert world.value()[1] is None
    assert world.value()[2] == [None, [world.value("/2/1/0"), None]]
    assert world.view().failures == (3, 1), "in the order in which they failed"
    assert world.error("/1").failures[1].task == "bad-d"


def test_the_error_of_nested_swarms_names_what_failed_at_the_bottom() -> None:
    # Given
    flow = chain(task("ok-a"), swarm(swarm(chain(task("bad-deep")))))
    # When
    world = run(flow)
    # Then
    error = world.error()
    assert error.key == "r/1"
    assert error.type == "mageflow.SwarmFailed"
    bottom = error.failures[0].failures[0]
    assert (bottom.key, bottom.task) == ("r/1/0/0/0", "bad-deep")
    assert bottom.attempts == 1
    assert bottom.traceback
    assert "no luck" in error.message


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_all_failed_swarms_fail_all_the_way_up(depth: int) -> None:
    # Given
    flow = task("bad-a")
    for _ in range(depth):
        flow = swarm(flow)
    # When
    world = run(flow)
    # Then
    assert world.status() is Status.FAILED
    assert world.error("/0" * depth).task == "bad-a"


@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_empty_swarms_inside_one_another_are_done_at_once(depth: int) -> None:
    # Given
    flow: Sig = swarm()
    value: list[Any] = []
    for _ in range(depth):
        flow, value = chain(swarm(flow)), [value]
    # When
    world = World()
    world.start(flow)
    # Then
    assert world.status() is Status.DONE
    assert world.value() == value


def test_a_long_chain_of_empty_swarms_is_no_deep_recursion() -> None:
    # Given
    flow = chain(*[swarm() for _ in range(3_000)])
    # When
    world = run(flow, watch=False)
    # Then
    assert world.status() is Status.DONE
    assert world.store.widest < 500


def test_callbacks_of_callbacks_run_once_and_in_their_order() -> None:
    # Given
    last = task("ok-last")
    error = task("bad-told", err=[chain(task("ok-x"), task("ok-y", ok=[last]))])
    flow = chain(task("ok-a"), task("bad-b"), err=[error])
    # When
    world = run(flow)
    # Then
    assert world.status() is Status.FAILED
    below = "/!error-0/!error-0"
    assert bodies(world)[f"{below}/1/!success-0"] == 1
    assert set(bodies(world).values()) == {1}
    assert world.run_record().callbacks == 0


def test_a_callback_of_a_callback_gets_the_error_of_its_own_owner() -> None:
    # Given
    flow = task("bad-a", err=[task("bad-b", err=[task("ok-c")])])
    world = World()
    world.start(flow, "m")
    world.begin().fails(text="first")
    world.begin("/!error-0").fails(text="second")
    # When
    error = world.begin("/!error-0/!error-0").work.input.error
    # Then
    assert error is not None
    assert (error.message, error.owner) == ("second", "r/!error-0")


def test_an_error_callback_gets_the_result_of_the_root_where_what_failed_took_it_as_message() -> (
    None
):
    # Given
    world = World()
    on_success = task("bad-a", err=[task("ok-b")])
    world.start(swarm(task("ok-item"), ok=[on_success]), "m")
    world.begin("/0").done(7)
    # When
    failed = world.begin("/!success-0")
    failed.says(Failed(failure=failure_of(failed.work), used_previous=True))
    # Then
    assert failed.work.input.previous == "[7]"
    assert world.begin("/!success-0/!error-0").work.input.message == "[7]"


def test_what_passes_the_result_of_the_root_on_passes_that_and_not_its_own_message() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-item"), ok=[chain(task("pass-a"), task("ok-b"))]), "m")
    world.begin("/0").done(7)
    # When
    world.begin("/!success-0/0").done(passes=True, used_previous=True)
    # Then
    assert world.begin("/!success-0/1").work.input.previous == "[7]"


def test_error_callbacks_at_every_level_are_due_once_when_a_deep_step_fails() -> None:
    # Given
    def reported(flow: Sig, name: str) -> Sig:
        return flow.on_error(task(f"ok-report-{name}"))

    step = reported(task("bad-deep"), "task")
    inner = reported(chain(step, task("ok-never")), "chain")
    middle = reported(swarm(inner), "swarm")
    flow = reported(graph({"n": middle}), "graph")
    # When
    world = run(flow)
    # Then
    reports = [path for path in bodies(world) if "!error" in path]
    assert sorted(reports) == ["/!error-0", "/n/!error-0", "/n/0/!error-0", "/n/0/0/!error-0"]


def test_a_task_that_returns_a_chain_whose_last_step_returns_a_swarm() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-z"), ok=[task("ok-done")]), "m")
    # When
    world.begin("/0").returns(chain(task("ok-b"), task("ok-c")))
    world.begin("/0~1/0").done("B")
    world.begin("/0~1/1").returns(swarm(task("ok-d"), task("ok-e")))
    world.begin("/0~1/1~1/0").done("D")
    world.begin("/0~1/1~1/1").done("E")
    # Then
    assert world.value("/0~1/1") == ["D", "E"]
    assert world.value("/0") == ["D", "E"]
    assert world.begin("/1").work.input.previous == '["D","E"]'


def test_a_failure_inside_what_a_task_returned_is_the_failure_of_that_task() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a", err=[task("ok-report")]), task("ok-z")))
    world.begin("/0").returns(chain(task("ok-b"), swarm(task("ok-c"))))
    world.begin("/0~1/0").done("B")
    # When
    world.begin("/0~1/1/0").fails(text="deep")
    # Then
    assert world.status("/0") is Status.FAILED
    assert world.error("/0").key == "r/0~1/1"
    assert world.error().failures[0].message == "deep"
    given_ = world.begin("/0/!error-0").work.input
    assert given_.error is not None
    assert given_.error.owner == "r/0"


def test_a_graph_of_chains_and_swarms_hands_their_results_on_by_name() -> None:
    # Given
    nodes = {
        "load": chain(task("ok-a"), task("ok-b")),
        "each": swarm(task("ok-c"), task("ok-d")),
        "join": swarm(task("ok-e")),
    }
    flow = graph(nodes, {"each": ("load",), "join": ("each", "load")})
    # When
    world = run(flow)
    # Then
    assert agrees(world, flow)
    assert list(world.value()) == ["join"]


@examples(100, 3_000)
@given(data=st.data())
def test_small_random_nests_agree_with_the_interpreter_in_order(data: st.DataObject) -> None:
    # Given
    leaf = st.sampled_from(["ok-a", "bad-b", "flaky-c", "pass-d"]).map(task)
    flow = data.draw(
        st.recursive(
            leaf,
            lambda inner: st.one_of(
                st.lists(inner, min_size=1, max_size=3).map(lambda x: chain(*x)),
                st.lists(inner, max_size=3).map(lambda x: swarm(*x, max_concurrency=1)),
                st.lists(inner, min_size=1, max_size=3).map(
                    lambda x: graph({f"n{i}": s for i, s in enumerate(x)})
                ),
            ),
            max_leaves=12,
        )
    )
    # When
    world = run(flow)
    # Then
    assert agrees(world, flow)
    assert max(bodies(world).values(), default=0) <= 2, "an attempt and a retry"
