"""Retry by hand: what is reopened, what keeps its result, and what is refused."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from simulation import World, chain, graph, swarm, task

from mageflow_core.machine import Policy, Status


def test_a_failed_step_is_retried_and_the_chain_goes_on_from_there() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), task("ok-c")), "m")
    world.begin("/0").done("A")
    world.begin("/1").fails()
    assert world.status() is Status.FAILED
    assert world.status("/2") is Status.SKIPPED
    # When
    assert world.retry("/1").applied
    # Then
    assert world.status("/0") is Status.DONE
    assert world.node("/0").generation == 1
    assert world.node("/1").generation == 2
    again = world.begin("/1")
    assert again.work.attempt == 1, "counts start anew"
    assert again.work.generation == 2
    assert again.work.input.previous == '"A"'
    again.done("B")
    world.begin("/2").done("C")
    assert world.value() == "C"
    assert world.status() is Status.DONE


def test_jobs_of_the_generation_before_do_nothing() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    old = world.jobs[0]
    world.begin().fails()
    # When
    world.retry()
    # Then
    assert world.deliver(old).work is None
    assert world.jobs[-1].id != old.id


def test_callbacks_are_due_once_per_generation() -> None:
    # Given
    world = World()
    world.start(task("ok-a", ok=[task("ok-yes")], err=[task("ok-no")]))
    world.begin().fails()
    # When
    world.retry()
    world.begin().fails()
    world.retry()
    world.begin().done(1)
    # Then
    stored = world.store.runs["r"].nodes
    assert sorted(stored) == ["", "/!error-0", "/!error-0@2", "/!success-0@3"]
    assert world.run_record().callbacks == 3
    world.finish()
    assert world.children() == {
        "/!error-0": Status.DONE,
        "/!error-0@2": Status.DONE,
        "/!success-0@3": Status.DONE,
    }


def test_what_is_below_a_done_container_cannot_be_retried() -> None:
    # Given
    world = World()
    world.start(chain(swarm(task("ok-a"), task("ok-b")), task("ok-c")))
    world.begin("/0/0").done(1)
    world.begin("/0/1").fails()
    assert world.status("/0") is Status.DONE, "failures are tolerated"
    # When
    answer = world.retry("/0/1")
    # Then
    assert not answer.applied
    assert answer.why == "r/0 above it is done, and its result was used"


@pytest.mark.parametrize(
    ("path", "why"),
    [("/0", "it is done"), ("/1", "it is queued"), ("/2", "it is pending"), ("", "it is active")],
)
def test_only_what_failed_or_was_canceled_can_be_retried(path: str, why: str) -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), task("ok-c")))
    world.begin("/0").done(1)
    # When
    answer = world.retry(path)
    # Then
    assert answer.why.startswith(why)


def test_a_step_that_is_done_cannot_be_retried_below_a_failed_chain() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    world.begin("/0").done(1)
    world.begin("/1").fails()
    # When
    answer = world.retry("/0")
    # Then
    assert answer.why.startswith("it is done")
    assert world.status() is Status.FAILED


def test_retry_twice_in_a_row_is_refused_the_second_time() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin().fails()
    # When
    first, second = world.retry(), world.retry()
    # Then
    assert first.applied
    assert second.why.startswith("it is queued")
    assert world.node().generation == 2


def test_an_item_retried_canceled_and_retried_again_begins_once() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b"), max_concurrency=1))
    world.begin("/0").fails()
    body = world.begin("/1")
    # When
    assert world.retry("/0").applied
    assert world.cancel("/0").applied
    assert world.retry("/0").applied
    body.done("B")
    # Then
    world.begin("/0").done("A")
    assert world.value() == ["A", "B"]
    assert world.node("/0").generation == 3


def test_an_item_that_is_retried_takes_its_turn_again_while_the_swarm_runs() -> None:
    # Given
    world = World()
    world.start(
        swarm(task("ok-a"), task("ok-b"), task("ok-c"), max_concurrency=1, stop_after_n_failures=2)
    )
    world.begin("/0").fails()
    assert world.view().failures == (0,)
    # When
    world.retry("/0")
    # Then
    assert world.view().failed == 0
    assert world.view().failures == ()
    world.begin("/1").fails()
    assert world.due_jobs() == ["/0"], "one failure only: it goes on"
    world.begin("/0").done(1)
    world.begin("/2").done(1)
    assert world.status() is Status.DONE


def test_an_item_of_a_failed_swarm_is_retried_together_with_the_other_failed_ones() -> None:
    # Given
    world = World()
    world.start(chain(swarm(*[task(f"ok-{i}") for i in range(4)], stop_after_n_failures=2)))
    world.begin("/0/0").done(0)
    world.begin("/0/1").fails()
    world.begin("/0/2").fails()
    world.begin("/0/3").done(3)
    assert world.status() is Status.FAILED
    # When
    assert world.retry("/0/1").applied
    # Then
    assert world.due_jobs() == ["/0/1", "/0/2"]
    world.begin("/0/2").done(2)
    world.begin("/0/1").done(1)
    assert world.value() == [0, 1, 2, 3]
    assert world.node("/0/0").generation == 1


def test_what_a_cancel_left_queued_runs_again_after_a_retry() -> None:
    # Given
    world = World()
    world.start(swarm(chain(task("ok-a"), task("ok-b")), task("ok-c"), max_concurrency=1))
    world.cancel()
    assert world.status("/0/0") is Status.CANCELED
    assert world.node("/0/0").status is Status.QUEUED
    # When
    assert world.retry().applied
    world.finish()
    # Then
    assert world.status() is Status.DONE
    assert world.node("/0/0").generation == 2
    assert world.node("/1").generation == 1


def test_a_zombie_of_a_canceled_generation_changes_nothing_in_the_next() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    zombie = world.begin("/0")
    world.cancel()
    world.advance(61)
    assert world.status() is Status.CANCELED
    # When
    world.retry()
    assert world.node("/0").fence == 1
    assert zombie.done("late") == "the claim is lost"
    # Then
    body = world.begin("/0")
    assert body.work.fence == 2
    assert world.bodies_below() == 1
    body.done("A")
    world.begin("/1").done("B")
    assert world.value() == "B"


def test_a_zombie_below_what_is_retried_no_longer_counts_in_what_runs_around_it() -> None:
    # Given
    world = World()
    world.start(swarm(chain(task("ok-a"), task("ok-b")), task("ok-c")))
    zombie, _ = world.begin("/0/0"), world.begin("/1")
    world.cancel("/0")
    world.advance(61)
    assert world.status("/0") is Status.CANCELED
    assert world.bodies_below() == 2
    # When
    world.retry("/0")
    # Then
    assert world.bodies_below() == 1
    assert zombie.done("late") == "the claim is lost"
    assert world.bodies_below() == 1


def test_a_failed_node_waiting_for_its_turn_in_a_reopened_graph_is_not_retried_again() -> None:
    # Given two failed nodes, of which the reopened graph has begun one
    world = World()
    nodes = {"a": task("ok-a"), "b": task("ok-b"), "c": task("ok-c")}
    world.start(graph(nodes, max_concurrency=1, on_failure="continue"))
    world.begin("/a").fails()
    world.begin("/b").fails()
    world.begin("/c").done("C")
    world.retry()
    assert world.due_jobs() == ["/a"]
    # When
    answer = world.retry("/b")
    # Then
    assert answer.why == "a container above it was retried, and its turn comes again"
    world.begin("/a").done("A")
    world.begin("/b").done("B")
    assert world.value() == {"a": "A", "b": "B", "c": "C"}


def test_a_node_of_a_graph_retried_before_its_turn_still_waits_for_what_it_needs() -> None:
    # Given
    world = World()
    nodes = {"a": task("ok-a"), "b": task("ok-b")}
    world.start(graph(nodes, {"b": ("a",)}, on_failure="continue"))
    world.cancel("/b")
    # When
    assert world.retry("/b").applied
    # Then
    assert world.due_jobs() == ["/a"]
    world.begin("/a").done("A")
    body = world.begin("/b")
    assert dict(body.work.input.dependencies) == {"a": '"A"'}
    body.done("B")
    assert world.value() == {"b": "B"}


def test_a_node_of_a_graph_that_was_skipped_runs_after_the_retry_of_what_it_needs() -> None:
    # Given
    world = World()
    nodes = {name: task(f"ok-{name}") for name in "abcd"}
    needs = {"b": ("a",), "c": ("a",), "d": ("b", "c")}
    world.start(graph(nodes, needs))
    world.begin("/a").done("A")
    world.begin("/b").fails()
    world.begin("/c").done("C")
    assert world.status("/d") is Status.SKIPPED
    # When
    world.retry("/b")
    world.begin("/b").done("B")
    # Then
    body = world.begin("/d")
    assert dict(body.work.input.dependencies) == {"b": '"B"', "c": '"C"'}
    body.done("D")
    assert world.value() == {"d": "D"}


def test_nothing_is_retried_below_a_container_that_is_being_canceled() -> None:
    # Given
    world = World()
    world.start(chain(swarm(task("ok-a"), task("ok-b"))))
    world.begin("/0/0").fails()
    body = world.begin("/0/1")
    world.cancel()
    # When
    answer = world.retry("/0/0")
    # Then
    assert answer.why == "a container above it is being canceled"
    assert world.node("/0/0").status is Status.FAILED
    body.released()


def test_a_retry_withdraws_the_removal_of_a_settled_run() -> None:
    # Given
    world = World(policy=Policy(result_ttl=100.0))
    world.start(task("ok-a"))
    world.begin().fails()
    world.advance(90)
    # When
    world.retry()
    world.advance(90)
    # Then
    body = world.begin()
    body.done(1)
    assert world.run_record().settled_at == world.clock.time
    world.advance(99)
    assert world.value() == 1
    world.advance(2)
    assert world.store.runs == {}


def test_a_stored_run_that_was_canceled_is_pending_again_after_a_retry_not_started() -> None:
    # Given
    world = World(policy=Policy(pending_ttl=100.0))
    world.create(task("ok-a"))
    world.cancel()
    assert world.start_stored() == "it has ended: canceled"
    # When
    assert world.retry().applied
    # Then
    assert world.status() is Status.PENDING
    assert world.due_jobs() == []
    assert world.start_stored("hello") is None
    assert world.begin().work.input.message == '"hello"'


def test_a_failed_callback_is_retried_without_reopening_its_owner() -> None:
    # Given
    world = World()
    world.start(task("ok-a", ok=[chain(task("ok-b"), task("ok-c"))]))
    world.begin().done(1)
    world.begin("/!success-0/0").fails()
    assert world.run_record().settled_at is not None
    # When
    assert world.retry("/!success-0/0").applied
    # Then
    assert world.run_record().settled_at is None
    assert world.node().generation == 1
    world.finish()
    assert world.status("/!success-0") is Status.DONE


def test_a_step_returns_to_a_chain_that_had_not_been_told_of_its_failure() -> None:
    # Given a step whose end its chain was not told of, as where a step got too wide
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    world.begin("/0").done("A")
    body = world.begin("/1")
    with patch("mageflow_core.machine.draft.STEP_WIDTH", 0):
        body.fails()
    assert world.status() is Status.ACTIVE
    assert world.node("/1").slot
    # When
    assert world.retry("/1").applied
    world.settle_timers()
    # Then
    world.begin("/1").done("B")
    assert world.value() == "B"


def test_the_deadline_is_counted_anew_from_the_retry_of_a_whole_run() -> None:
    # Given
    world = World()
    world.start(task("ok-a", deadline=50.0))
    world.begin().fails()
    world.advance(40)
    # When
    world.retry()
    world.advance(40)
    # Then
    assert world.status() is Status.QUEUED
    world.advance(11)
    assert world.status() is Status.FAILED
    assert world.error().type == "mageflow.DeadlineExceeded"


def test_a_task_that_was_continued_is_retried_from_where_its_loop_failed() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-z")))
    world.begin("/0").returns(task("ok-b"))
    world.begin("/0~1").returns(task("ok-c"))
    world.begin("/0~2").fails()
    assert world.status() is Status.FAILED
    # When
    world.retry("/0~2")
    # Then
    assert world.due_jobs() == ["/0~2"]
    world.begin("/0~2").done("C")
    assert world.value("/0") == "C"
    world.begin("/1").done("Z")
    assert world.value() == "Z"


def test_a_suspended_node_stays_suspended_through_its_retry() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a")))
    body = world.begin("/0")
    world.suspend("/0")
    body.fails()
    # When
    world.retry("/0")
    # Then
    assert world.knock("/0").work is None
    world.resume("/0")
    world.settle_timers()
    world.begin("/0").done(1)
    assert world.status() is Status.DONE


def test_a_pending_step_that_was_steered_before_a_retry_can_be_steered_after_it() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    world.suspend("/1")
    world.resume("/1")
    world.begin("/0").fails()
    world.retry("/0")
    # When
    answer = world.suspend("/1")
    # Then
    assert answer.applied
    assert world.status("/1") is Status.SUSPENDED


@pytest.mark.parametrize("failing", range(3))
def test_repairing_any_step_gives_the_result_that_the_chain_would_have_had(failing: int) -> None:
    # Given
    world = World()
    world.start(chain(*[task(f"ok-{i}") for i in range(3)]), "m")
    for i in range(failing):
        world.begin(f"/{i}").done(i)
    world.begin(f"/{failing}").fails()
    # When
    world.retry()
    for i in range(failing, 3):
        world.begin(f"/{i}").done(i)
    # Then
    assert world.value() == 2
    assert [world.node(f"/{i}").generation for i in range(3)] == [
        1 if i < failing else 2 if i == failing else 1 for i in range(3)
    ]


def test_an_error_callback_gets_its_error_also_if_its_owner_was_retried_before_it_began() -> None:
    # Given
    world = World()
    world.start(task("ok-a", err=[task("ok-report")]))
    world.begin().fails(text="boom")
    # When
    world.retry()
    # Then
    error = world.begin("/!error-0").work.input.error
    assert error is not None
    assert error.message == "boom"
