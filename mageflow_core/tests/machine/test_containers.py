"""Chains, swarms and graphs: order, limits, failures, growth, results."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import World, chain, graph, swarm, task
from simulation.trees import Sig

from mageflow_core.machine import Policy, Refusal, Status


def items(count: int) -> list[Sig]:
    return [task(f"ok-{i}") for i in range(count)]


# --- chains -----------------------------------------------------------------------------------
def test_a_step_gets_the_message_and_the_result_before_it() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), swarm(task("ok-c"))), "message")
    # When
    world.begin("/0").done("A")
    second = world.begin("/1")
    second.done("B")
    item = world.begin("/2/0")
    # Then
    assert (second.work.input.message, second.work.input.previous) == ('"message"', '"A"')
    assert (item.work.input.message, item.work.input.previous) == ('"B"', '"B"')


def test_a_step_that_returns_nothing_passes_its_own_message_on() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), task("ok-c")), "m")
    world.begin("/0").done("A")
    # When
    world.begin("/1").done(passes=True, used_previous=True)
    # Then
    assert world.value("/1") is None
    assert world.begin("/2").work.input.previous == '"A"'


def test_a_first_step_that_returns_nothing_passes_the_message_on() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")), "m")
    # When
    world.begin("/0").done(passes=True)
    # Then
    assert world.begin("/1").work.input.previous == '"m"'


def test_the_first_failure_ends_a_chain_and_its_error_names_the_step() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), task("ok-c"), err=[task("ok-report")]), "m")
    world.begin("/0").done("A")
    # When
    world.begin("/1").fails(text="boom")
    # Then
    assert world.children() == {
        "/0": Status.DONE,
        "/1": Status.FAILED,
        "/2": Status.SKIPPED,
        "/!error-0": Status.QUEUED,
    }
    assert world.error().key == "r/1"
    assert world.error().message == "boom"
    callback = world.begin("/!error-0").work.input
    assert callback.error is not None
    assert (callback.error.key, callback.error.owner) == ("r/1", "r")


def test_a_claim_leaves_the_chains_around_it_as_they_are() -> None:
    # Given
    world = World()
    world.start(chain(chain(task("ok-a")), task("ok-b")))
    chains = {path: world.node(path).copy() for path in ("", "/0")}
    # When
    world.begin("/0/0")
    # Then
    assert {path: world.node(path) for path in chains} == chains
    assert {path: world.bodies_below(path) for path in chains} == {"": 1, "/0": 1}


def test_a_chain_shows_how_far_it_is() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), task("ok-c")))

    def counts() -> tuple[int, int, int, int]:
        view = world.view()
        return view.begun, view.done, view.failed, view.canceled

    # Then
    assert counts() == (1, 0, 0, 0)
    world.begin("/0").done(1)
    assert counts() == (1, 1, 0, 0)
    world.begin("/1").fails()
    assert counts() == (0, 1, 1, 0)
    assert world.view().failures == (1,)
    world.retry()
    assert counts() == (1, 1, 0, 0)
    world.finish()
    assert counts() == (0, 3, 0, 0)


# --- swarms -----------------------------------------------------------------------------------
def test_a_swarm_holds_its_limit_through_retries_suspension_and_containers() -> None:
    # Given
    world = World()
    world.start(
        swarm(task("ok-a"), chain(task("ok-b"), task("ok-c")), *items(3), max_concurrency=2)
    )
    # When one retries, and the other goes from step to step
    world.begin("/0").fails(retry_in=60.0)
    world.begin("/1/0").done(1)
    world.suspend("/1")
    # Then nothing else begins
    assert world.due_jobs() == ["/1/1"]
    assert world.view().begun == 2
    world.cancel("/0")
    assert world.due_jobs() == ["/1/1", "/2"]


def test_an_empty_closed_swarm_is_done_with_an_empty_list() -> None:
    # Given
    world = World()
    # When
    world.start(swarm(ok=[task("ok-after")]))
    # Then
    assert world.status() is Status.DONE
    assert world.value() == []
    assert world.due_jobs() == ["/!success-0"]


def test_failures_are_tolerated_as_long_as_one_item_succeeds() -> None:
    # Given
    world = World()
    world.start(swarm(*items(3)))
    # When
    world.begin("/0").fails()
    world.begin("/1").done(1)
    world.begin("/2").fails()
    # Then
    assert world.status() is Status.DONE
    assert world.value() == [None, 1, None]
    assert world.view().failures == (0, 2)


def test_a_swarm_of_which_no_item_succeeded_has_failed_with_all_their_errors() -> None:
    # Given
    world = World()
    world.start(swarm(*items(12)))
    # When
    for i in range(12):
        world.begin(f"/{i}").fails(text=f"error {i}")
    # Then
    error = world.error()
    assert error.type == "mageflow.SwarmFailed"
    assert error.failed == 12
    assert [e.message for e in error.failures] == [f"error {i}" for i in range(10)]
    assert "12 of 12 items" in error.message
    assert "error 0" in error.message


def test_at_the_nth_failure_no_item_begins_and_chains_that_run_go_on_to_their_end() -> None:
    # Given
    world = World()
    steps = chain(task("ok-b"), task("ok-c"))
    world.start(swarm(task("ok-a"), steps, *items(2), max_concurrency=2, stop_after_n_failures=1))
    running = world.begin("/1/0")
    # When
    world.begin("/0").fails()
    # Then
    assert world.due_jobs() == []
    assert world.status() is Status.ACTIVE
    running.done(1)
    assert world.due_jobs() == ["/1/1"]
    world.begin("/1/1").done(2)
    assert world.status() is Status.FAILED
    assert world.status("/2") is Status.SKIPPED
    assert world.status("/1") is Status.DONE


def test_with_interrupt_running_the_nth_failure_cancels_the_chains_that_run() -> None:
    # Given
    world = World()
    steps = chain(task("ok-b"), task("ok-c"))
    world.start(
        swarm(
            task("ok-a"),
            steps,
            task("ok-d"),
            max_concurrency=3,
            stop_after_n_failures=1,
            interrupt_running=True,
            err=[task("ok-report")],
        )
    )
    running = world.begin("/1/0")
    # When
    world.begin("/0").fails()
    # Then
    assert running.told_to_stop
    assert world.status() is Status.CANCELING
    assert world.knock("/2").work is None
    running.done("as if nothing was")
    assert world.status() is Status.FAILED
    assert world.status("/0") is Status.FAILED
    assert world.status("/2") is Status.CANCELED
    assert world.error().failed == 1
    assert "/!error-0" in world.store.runs["r"].nodes
    assert world.knock("/1/0").work is None


def test_with_interrupt_running_and_no_other_body_the_swarm_fails_at_once() -> None:
    # Given
    world = World()
    world.start(swarm(*items(3), stop_after_n_failures=1, interrupt_running=True))
    # When
    world.begin("/0").fails()
    # Then
    assert world.status() is Status.FAILED
    assert world.knock("/1").work is None


# --- open swarms ------------------------------------------------------------------------------
def test_an_open_swarm_takes_items_until_it_is_closed() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), open=True))
    world.begin("/0").done(0)
    assert world.status() is Status.ACTIVE
    # When
    assert world.add("", task("ok-b"), task("ok-c")) == (1, 2)
    world.begin("/1").done(1)
    assert world.close() is None
    assert world.add("", task("ok-late")) is Refusal.CLOSED
    world.begin("/2").done(2)
    # Then
    assert world.value() == [0, 1, 2]
    assert world.close() is None, "closing twice is no error"
    assert world.add("", task("ok-late")) is Refusal.CLOSED


def test_the_same_add_asked_again_adds_nothing_also_after_the_swarm_was_closed() -> None:
    # Given
    world = World()
    world.start(swarm(open=True))
    first = world.add("", task("ok-a"), call="add-1")
    world.add("", task("ok-b"), call="add-2")
    # When
    world.close()
    again = world.add("", task("ok-a"), call="add-1")
    # Then
    assert first == again == (0,)
    assert world.view().children == 2


def test_a_full_swarm_closes_itself_and_takes_all_of_an_addition_or_nothing() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), open=True, max_tasks=3))
    # When
    assert world.add("", *items(3)) is Refusal.FULL
    assert world.add("", *items(2)) == (1, 2)
    # Then
    for path in ("/0", "/1", "/2"):
        world.begin(path).done(1)
    assert world.status() is Status.DONE


def test_a_run_takes_no_more_items_than_it_may_have_nodes() -> None:
    # Given
    world = World(policy=Policy(max_nodes=3))
    world.start(swarm(open=True))
    # Then
    assert world.add("", *items(4)) is Refusal.TOO_LARGE
    assert world.add("", *items(3)) == (0, 1, 2)
    assert world.add("", task("ok-x")) is Refusal.TOO_LARGE


def test_a_swarm_made_with_max_tasks_items_is_closed_from_the_start() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), open=True, max_tasks=1))
    # When
    world.begin("/0").done(1)
    # Then
    assert world.status() is Status.DONE


def test_an_idle_open_swarm_closes_itself_when_its_time_is_over() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), open=True, idle_timeout=10.0))
    body = world.begin("/0")
    world.advance(100)
    assert world.status() is Status.ACTIVE, "it was not idle"
    body.done(1)
    # When
    world.advance(9)
    world.add("", task("ok-b"))
    world.advance(9)
    world.begin("/1").done(2)
    world.advance(9)
    assert world.status() is Status.ACTIVE
    world.advance(2)
    # Then
    assert world.status() is Status.DONE
    assert world.value() == [1, 2]


def test_items_can_be_added_before_the_swarm_begins() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), swarm(open=True)))
    # When
    assert world.add("/1", task("ok-b")) == (0,)
    assert world.close("/1") is None
    world.begin("/0").done(0)
    # Then
    world.begin("/1/0").done(1)
    assert world.value() == [1]


def test_items_are_refused_by_what_is_no_open_swarm() -> None:
    # Given
    world = World()
    world.start(chain(swarm(task("ok-a")), task("ok-b")))
    # Then
    assert world.add("", task("ok-x")) is Refusal.NOT_A_SWARM
    assert world.add("/0", task("ok-x")) is Refusal.CLOSED
    assert world.add("/0/0", task("ok-x")) is Refusal.NOT_A_SWARM
    assert world.add("/9", task("ok-x")) is Refusal.NO_SUCH_NODE
    assert world.close("/9") is Refusal.NO_SUCH_NODE


def test_a_swarm_that_is_stopping_or_canceled_takes_no_items() -> None:
    # Given
    world = World()
    world.start(swarm(*items(2), open=True, stop_after_n_failures=1))
    world.begin("/0").fails()
    # Then
    assert world.add("", task("ok-x")) is Refusal.CLOSED
    world.cancel()
    assert world.add("", task("ok-x")) is Refusal.CLOSED


def test_an_item_may_add_items_to_its_own_swarm_while_it_runs() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), open=True, max_concurrency=1))
    body = world.begin("/0")
    # When
    world.add("", task("ok-b"))
    world.close()
    assert world.due_jobs() == []
    body.done(0)
    # Then
    world.begin("/1").done(1)
    assert world.value() == [0, 1]


def test_items_are_added_to_the_swarm_that_a_task_has_returned() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin().returns(swarm(open=True))
    # When
    assert world.add("", task("ok-b")) == (0,)
    world.close()
    # Then
    world.begin("~1/0").done("B")
    assert world.value() == ["B"]


# --- graphs -----------------------------------------------------------------------------------
def diamond(**how: Any) -> Sig:
    nodes = {name: task(f"ok-{name}") for name in ("a", "b", "c", "d")}
    return graph(nodes, {"b": ("a",), "c": ("a",), "d": ("b", "c")}, **how)


def test_a_node_of_a_graph_begins_when_all_that_it_needs_are_done() -> None:
    # Given
    world = World()
    world.start(diamond(), "m")
    # When
    assert world.due_jobs() == ["/a"]
    world.begin("/a").done("A")
    assert world.due_jobs() == ["/b", "/c"]
    world.begin("/c").done("C")
    assert world.due_jobs() == ["/b"]
    world.begin("/b").done("B")
    # Then
    given = world.begin("/d").work.input
    assert dict(given.dependencies) == {"b": '"B"', "c": '"C"'}
    assert (given.message, given.previous) == ('"m"', None)


def test_the_result_of_a_graph_is_what_nothing_depends_on() -> None:
    # Given
    world = World()
    nodes = {"z": task("ok-z"), "a": task("ok-a"), "b": task("ok-b")}
    world.start(graph(nodes, {"b": ("a",)}))
    # When
    for name in ("a", "z", "b"):
        world.begin(f"/{name}").done(name.upper())
    # Then
    assert world.value() == {"z": "Z", "b": "B"}
    assert list(world.value()) == ["z", "b"]


def test_a_failure_stops_a_graph_when_what_has_begun_is_over() -> None:
    # Given
    world = World()
    world.start(graph({"a": task("ok-a"), "b": task("ok-b"), "c": task("ok-c")}, {"c": ("b",)}))
    body = world.begin("/b")
    # When
    world.begin("/a").fails(text="boom")
    assert world.status() is Status.ACTIVE
    body.done("B")
    # Then
    assert world.status() is Status.FAILED
    assert world.status("/c") is Status.SKIPPED
    error = world.error()
    assert error.type == "mageflow.GraphFailed"
    assert "1 of 3 nodes" in error.message
    assert error.failures[0].key == "r/a"


def test_a_graph_that_continues_runs_all_that_still_can() -> None:
    # Given
    world = World()
    world.start(diamond(on_failure="continue"))
    world.begin("/a").done("A")
    # When
    world.begin("/b").fails()
    # Then
    assert world.status("/d") is Status.SKIPPED
    assert world.status() is Status.ACTIVE
    world.begin("/c").done("C")
    assert world.status() is Status.FAILED
    assert world.status("/d") is Status.SKIPPED


@pytest.mark.parametrize("limit", [1, 2, None])
def test_a_graph_holds_its_limit_and_begins_equals_in_their_order(limit: int | None) -> None:
    # Given
    world = World()
    nodes = {name: task(f"ok-{name}") for name in "cab"}
    # When
    world.start(graph(nodes, max_concurrency=limit))
    # Then
    assert world.due_jobs() == ["/c", "/a", "/b"][: limit or 3]
    world.finish()
    assert world.status() is Status.DONE


def test_a_node_without_needs_gets_what_the_graph_was_given() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), diamond()), "m")
    # When
    world.begin("/0").done("A")
    # Then
    given = world.begin("/1/a").work.input
    assert (given.message, given.previous) == ('"A"', '"A"')
