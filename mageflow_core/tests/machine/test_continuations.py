"""Tasks that return signatures: replaced in place, without nesting."""

from __future__ import annotations

from simulation import World, chain, swarm, task

from mageflow_core.failure import Cause
from mageflow_core.machine import Policy, Status, Verdict


def test_a_task_that_returns_a_signature_keeps_its_key_slot_and_callbacks() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a", ok=[task("ok-tidy")]), task("ok-b"), max_concurrency=1))
    # When
    world.begin("/0").returns(task("ok-c"))
    # Then
    assert world.status("/0") is Status.ACTIVE
    assert world.due_jobs() == ["/0~1"], "its slot is still taken"
    world.begin("/0~1").done("C")
    assert world.value("/0") == "C"
    assert sorted(world.due_jobs()) == ["/0/!success-0", "/1"]
    assert world.begin("/0/!success-0").work.input.previous == '"C"'


def test_what_follows_gets_the_replaced_tasks_message_and_previous_result() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")), "m")
    world.begin("/0").done("A")
    # When
    world.begin("/1").returns(task("ok-c"))
    # Then
    given = world.begin("/1~1").work.input
    assert (given.message, given.previous) == ('"m"', '"A"')


def test_a_branch_gets_the_message_as_previous_result_too() -> None:
    # Given
    world = World()
    world.start(task("ok-a"), "m")
    # When
    world.begin().returns(task("ok-b"), message_only=True)
    # Then
    given = world.begin("~1").work.input
    assert (given.message, given.previous) == ('"m"', '"m"')


def test_a_loop_of_500_continuations_does_not_nest() -> None:
    # Given
    world = World(watch=False)
    world.start(chain(task("ok-a"), task("ok-z")))
    body = world.begin("/0")
    # When
    for i in range(500):
        body.returns(task("ok-again"))
        body = world.begin(f"/0~{i + 1}")
        assert body.work.depth == 3
    body.done("at last")
    # Then
    assert world.value("/0") == "at last"
    assert world.store.widest < 10
    assert world.begin("/1").work.input.previous == '"at last"'
    assert len(world.children("/0")) == 500


def test_a_loop_that_never_ends_fails_as_too_long_and_can_be_ended_by_a_retry() -> None:
    # Given
    world = World(policy=Policy(max_continuations=3))
    world.start(chain(task("ok-a", err=[task("ok-report")]), task("ok-z")))
    world.begin("/0").returns(task("ok-1"))
    world.begin("/0~1").returns(task("ok-2"))
    world.begin("/0~2").returns(task("ok-3"))
    # When
    world.begin("/0~3").returns(task("ok-4"))
    # Then
    assert world.status("/0") is Status.FAILED
    error = world.error()
    assert (error.cause, error.type) == (Cause.LIMIT, "mageflow.TooManyContinuations")
    assert error.task == "ok-3"
    assert "/0/!error-0" in world.due_jobs()
    world.retry()
    world.begin("/0~3").done("end")
    assert world.value("/0") == "end"
    assert world.begin("/1").work.input.previous == '"end"'


def test_a_continuation_with_callbacks_of_its_own_is_a_holder_itself() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin().returns(task("ok-b", ok=[task("ok-tidy")]))
    # When
    world.begin("~1").returns(task("ok-c"))
    world.begin("~1~1").done("C")
    # Then
    assert world.value() == "C"
    assert world.value("~1") == "C"
    assert world.due_jobs() == ["~1/!success-0"]


def test_a_signature_returned_under_a_cancel_is_not_begun() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    world.cancel()
    # When
    assert body.returns(task("ok-b")) is None
    # Then
    assert world.status() is Status.CANCELED
    assert world.due_jobs() == []


def test_a_signature_returned_under_a_suspend_waits_there() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    world.suspend()
    # When
    body.returns(chain(task("ok-b")))
    # Then
    assert world.knock("~1/0").verdict is Verdict.PARK
    world.resume()
    world.settle_timers()
    world.begin("~1/0").done("B")
    assert world.value() == "B"


def test_a_canceled_continuation_cancels_the_task_that_it_stands_for() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b")))
    world.begin("/0").returns(task("ok-c"))
    # When
    world.cancel("/0~1")
    # Then
    assert world.status("/0") is Status.CANCELED
    world.begin("/1").done("B")
    assert world.value() == [None, "B"]


def test_retries_of_a_continuation_are_its_own() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin().fails(retry_in=1.0)
    world.advance(2)
    world.begin().returns(task("ok-b"))
    # When
    body = world.begin("~1")
    # Then
    assert body.work.attempt == 1
    body.fails(retry_in=1.0)
    world.advance(2)
    assert world.begin("~1").work.attempt == 2


def test_a_late_duplicate_of_the_outcome_that_continued_begins_nothing_twice() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    # When
    body.returns(task("ok-b"))
    body.returns(task("ok-b"))
    world.begin("~1").returns(task("ok-c"))
    body.returns(task("ok-b"))
    # Then
    assert sorted(world.store.runs["r"].nodes) == ["", "~1", "~2"]


def test_a_delay_of_what_was_returned_is_waited_for() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    # When
    world.begin().returns(task("ok-b", delay=60.0))
    # Then
    assert world.due_jobs() == []
    world.advance(61)
    assert world.due_jobs() == ["~1"]
