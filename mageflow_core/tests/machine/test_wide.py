"""Wide flows go on by steps of a bounded size; no step's cost grows with the flow."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest.mock import patch

from simulation import World, chain, check, graph, swarm, task

from mageflow_core.machine import Status
from mageflow_core.machine.policy import STEP_WIDTH

# A step stops at STEP_WIDTH records and what the last one of them needs around it.
WIDEST = STEP_WIDTH + 40


def wide(signature: object) -> World:
    world = World(watch=False)
    world.start(signature)  # type: ignore[arg-type]
    return world


def steps_of(world: World) -> int:
    """Serve timers until nothing is due; gives how many times that took."""
    count = 0
    while (again := world.work()) is not None and again <= world.clock.time:
        count += 1
    check(world.store)
    return count


def test_a_swarm_of_5000_items_without_limit_begins_by_bounded_steps() -> None:
    # Given
    world = wide(swarm(*[task("ok-a")] * 5_000, max_concurrency=None))
    # When
    first = len(world.inbox)
    steps = steps_of(world)
    # Then
    assert first <= STEP_WIDTH
    assert len(world.inbox) == 5_000
    assert steps >= 5_000 // STEP_WIDTH - 1
    assert world.store.widest <= WIDEST
    world.serve()
    assert world.status() is Status.DONE
    assert len(world.value()) == 5_000


def test_completing_an_item_costs_the_same_whatever_the_size_of_its_swarm() -> None:
    # Given
    widths = []
    for size in (10, 2_000):
        world = wide(swarm(*[task("ok-a")] * size, max_concurrency=5))
        # When
        world.store.widest = 0
        world.begin("/0").done(1)
        widths.append(world.store.widest)
    # Then
    assert widths[0] == widths[1]


def test_marks_write_one_node_whatever_is_below_it() -> None:
    # Given
    world = wide(swarm(*[task("ok-a")] * 3_000, max_concurrency=None))
    steps_of(world)
    # When
    world.store.widest = 0
    world.suspend()
    world.resume()
    world.interrupt()
    world.cancel()
    # Then
    assert world.store.widest == 1
    assert world.status("/2999") is Status.CANCELED


def test_what_a_suspend_has_parked_is_sent_again_by_bounded_steps() -> None:
    # Given
    world = wide(swarm(*[task("ok-a")] * 2_000, max_concurrency=None))
    steps_of(world)
    world.suspend()
    world.serve()
    assert world.inbox == []
    # When
    world.resume()
    steps = steps_of(world)
    # Then
    assert steps >= 2_000 // STEP_WIDTH
    assert len(world.inbox) == 2_000
    assert world.store.widest <= WIDEST


def test_a_canceled_wide_swarm_is_reopened_by_bounded_steps() -> None:
    # Given
    world = wide(swarm(*[task("ok-a")] * 3_000, max_concurrency=None))
    steps_of(world)
    for i in range(0, 3_000, 3):
        world.begin(f"/{i}").done(i)
    world.cancel()
    world.inbox.clear()
    # When
    world.store.widest = 0
    assert world.retry().applied
    steps_of(world)
    # Then
    assert world.store.widest <= WIDEST
    assert len(world.inbox) == 2_000, "what is done keeps its result"
    world.serve()
    assert world.status() is Status.DONE
    assert world.value()[:4] == [0, world.value("/1"), world.value("/2"), 3]
    assert world.node("/0").generation == 1
    assert world.node("/1").generation == 2


def test_a_wide_swarm_of_empty_swarms_ends_by_bounded_steps() -> None:
    # Given
    world = wide(swarm(*[swarm()] * 2_000, max_concurrency=None))
    # When
    steps_of(world)
    # Then
    assert world.status() is Status.DONE
    assert world.value() == [[]] * 2_000
    assert world.store.widest <= WIDEST


def test_a_graph_that_fans_out_to_2000_nodes_and_in_again_goes_on_by_bounded_steps() -> None:
    # Given
    leaves = {f"n{i}": task("ok-leaf") for i in range(1_998)}
    nodes = {"first": task("ok-first"), **leaves, "last": task("ok-last")}
    needs = {**dict.fromkeys(leaves, ("first",)), "last": tuple(leaves)}
    world = wide(graph(nodes, needs))
    assert world.due_jobs() == []
    steps_of(world)
    assert world.due_jobs() == ["/first"]
    # When
    world.begin("/first").done(0)
    steps_of(world)
    assert len(world.inbox) == 1_998
    world.serve()
    steps_of(world)
    world.serve()
    # Then
    assert world.store.widest <= WIDEST
    assert world.status() is Status.DONE
    assert list(world.value()) == ["last"]


def test_nodes_that_end_while_a_wide_one_is_still_telling_are_told_of_too() -> None:
    # Given
    leaves = [f"n{i}" for i in range(1_200)]
    nodes = dict.fromkeys(["a", "b", *leaves], task("ok-a"))
    world = wide(graph(nodes, dict.fromkeys(leaves, ("a", "b"))))
    steps_of(world)
    # When
    world.begin("/a").done(1)
    assert world.node().inner is not None
    assert len(world.node("").inner.telling) == 1  # type: ignore[union-attr]
    world.begin("/b").done(2)
    assert len(world.node("").inner.telling) == 2  # type: ignore[union-attr]
    steps_of(world)
    # Then
    assert len(world.inbox) == 1_200
    world.finish()
    assert world.status() is Status.DONE


def test_a_graph_of_2000_nodes_in_a_row_is_no_deep_recursion() -> None:
    # Given
    names = [f"n{i}" for i in range(2_000)]
    world = wide(graph(dict.fromkeys(names, task("ok-a")), {b: (a,) for a, b in pairwise(names)}))
    # When
    steps_of(world)
    world.finish()
    # Then
    assert world.status() is Status.DONE
    assert world.store.widest <= WIDEST


def test_a_wide_graph_is_retried_by_bounded_steps() -> None:
    # Given
    nodes = {f"n{i}": task("ok-a" if i else "ok-fails") for i in range(1_500)}
    world = wide(graph({**nodes, "last": task("ok-z")}, {"last": tuple(nodes)}))
    steps_of(world)
    world.begin("/n0").fails()
    world.serve()
    steps_of(world)
    assert world.status() is Status.FAILED
    # When
    world.store.widest = 0
    world.retry()
    steps_of(world)
    # Then
    assert world.due_jobs() == ["/n0"]
    world.serve()
    steps_of(world)
    world.serve()
    assert world.status() is Status.DONE
    assert world.store.widest <= WIDEST


def test_thousands_of_items_can_be_added_at_once() -> None:
    # Given
    world = wide(swarm(open=True, max_concurrency=None))
    # When
    added = world.add("", *[task("ok-a")] * 3_000)
    world.close()
    steps_of(world)
    # Then
    assert added == tuple(range(3_000))
    assert world.store.widest <= WIDEST
    world.serve()
    assert len(world.value()) == 3_000


def test_a_wide_swarm_in_a_chain_in_a_wide_swarm_ends_and_every_task_runs_once() -> None:
    # Given
    inner = chain(swarm(*[task("ok-a")] * 60, max_concurrency=None), task("ok-b"))
    world = wide(swarm(*[inner] * 30, max_concurrency=None))
    # When
    world.finish()
    # Then
    assert world.status() is Status.DONE
    assert world.store.widest <= WIDEST
    assert len(world.jobs) == 30 * 61


def test_what_is_told_only_after_all_has_ended_changes_nothing_any_more() -> None:
    # Given a swarm that is to be told of a failure by the next step
    world = World()
    stops: dict[str, Any] = {"stop_after_n_failures": 1, "interrupt_running": True}
    world.start(swarm(task("bad-a"), swarm(task("bad-b"), err=[task("ok-told")], **stops), **stops))
    other, inner = world.begin("/0"), world.begin("/1/0")
    with patch("mageflow_core.machine.draft.STEP_WIDTH", 1):
        inner.fails()
    assert world.status("/1") is Status.ACTIVE
    # When all ends before
    other.fails()
    settled = world.run_record().settled_at
    assert settled is not None
    world.settle_timers()
    # Then
    assert world.status("/1") is Status.CANCELED
    assert world.run_record().settled_at == settled
    assert world.due_jobs() == []
