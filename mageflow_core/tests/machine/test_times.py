"""Delays, deadlines, and how long a run is kept."""

from __future__ import annotations

from datetime import UTC, datetime

from simulation import World, chain, run_now, swarm, task

from mageflow_core.failure import Cause
from mageflow_core.machine import Policy, Status, Verdict


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# --- delays -----------------------------------------------------------------------------------
def test_a_delayed_task_is_queued_and_sent_when_its_time_has_come() -> None:
    # Given
    world = World()
    world.start(task("ok-a", delay=30.0))
    # Then
    assert world.status() is Status.QUEUED
    assert world.due_jobs() == []
    world.advance(29)
    assert world.due_jobs() == []
    world.advance(1)
    world.settle_timers()
    assert world.due_jobs() == [""]


def test_a_delayed_container_begins_nothing_before_its_time() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), swarm(task("ok-b"), delay=30.0)))
    world.begin("/0").done(1)
    # Then
    assert world.status("/1") is Status.QUEUED
    assert world.view("/1").due_at == 1_030.0
    world.advance(31)
    assert world.due_jobs() == ["/1/0"]


def test_a_time_that_is_past_is_no_delay() -> None:
    # Given
    world = World()
    # When
    world.start(swarm(task("ok-past", eta=at(10)), task("ok-later", eta=at(1_050))))
    # Then
    assert world.due_jobs() == ["/0"]
    world.advance(51)
    assert world.due_jobs() == ["/0", "/1"]


def test_a_delay_runs_on_while_suspended() -> None:
    # Given
    world = World()
    world.start(task("ok-a", delay=30.0))
    world.suspend()
    # When
    world.advance(31)
    # Then
    assert world.knock().verdict is Verdict.PARK
    world.resume()
    world.settle_timers()
    assert world.knock().verdict is Verdict.RUN


def test_a_canceled_delay_is_no_longer_due() -> None:
    # Given
    world = World()
    world.start(task("ok-a", delay=30.0))
    # When
    world.cancel()
    world.advance(31)
    # Then
    assert world.due_jobs() == []
    assert world.status() is Status.CANCELED


def test_a_timer_that_comes_early_or_twice_does_nothing() -> None:
    # Given
    world = World()
    world.start(task("ok-a", delay=30.0))
    # When
    world.fire("due", "")
    assert world.due_jobs() == []
    world.advance(31)
    world.fire("due", "")
    # Then
    assert world.due_jobs() == [""]


# --- deadlines --------------------------------------------------------------------------------
def test_a_deadline_ends_a_run_as_failed_when_its_bodies_have_stopped() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b")).on_error(task("ok-report")).options(deadline=60))
    body = world.begin("/0")
    # When
    world.advance(61)
    # Then
    assert world.status() is Status.CANCELING
    assert body.told_to_stop
    assert world.knock("/1").verdict is Verdict.SKIP
    body.released()
    assert world.status() is Status.FAILED
    assert world.error().cause is Cause.DEADLINE
    given = world.begin("/!error-0").work.input
    assert given.error is not None
    assert given.error.type == "mageflow.DeadlineExceeded"


def test_a_deadline_that_passes_while_nothing_runs_ends_the_run_at_once() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a")).options(deadline=60))
    world.begin("/0").fails(retry_in=500.0)
    # When
    world.advance(61)
    # Then
    assert world.status() is Status.FAILED
    assert world.error().key == "r"


def test_a_deadline_runs_on_while_suspended() -> None:
    # Given
    world = World()
    world.start(task("ok-a", deadline=60))
    world.suspend()
    world.knock()
    # When
    world.advance(61)
    # Then
    assert world.error().cause is Cause.DEADLINE
    assert world.run_record().settled_at is not None


def test_bodies_that_do_not_stop_have_the_grace_after_a_deadline() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a")).options(deadline=60))
    body = world.begin("/0")
    # When
    world.advance(61)
    assert world.status() is Status.CANCELING
    world.advance(60)
    # Then
    assert world.status() is Status.FAILED
    assert world.error().cause is Cause.DEADLINE
    assert body.done(1) == "a container above has ended"


def test_a_single_task_past_its_deadline_fails_however_its_body_ends() -> None:
    for end in ("released", "fails", "returns"):
        # Given
        world = World()
        world.start(task("ok-a", deadline=60, err=[task("ok-report")]))
        body = world.begin()
        world.advance(61)
        # When
        if end == "returns":
            body.returns(task("ok-b"))
        else:
            getattr(body, end)()
        # Then
        assert world.status() is Status.FAILED, end
        assert world.error().cause is Cause.DEADLINE, end
        assert world.due_jobs() == ["/!error-0"], end


def test_a_run_that_ended_in_time_has_no_deadline_left() -> None:
    # Given
    world = World()
    world.start(task("ok-a", deadline=60))
    world.begin().done(1)
    # When
    world.advance(100)
    # Then
    assert world.status() is Status.DONE


def test_a_deadline_spares_the_callbacks_of_what_has_ended() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a", ok=[task("ok-tidy")]), task("ok-b")).options(deadline=60))
    world.begin("/0").done(1)
    tidy = world.begin("/0/!success-0")
    # When
    world.advance(61)
    # Then
    assert world.status() is Status.FAILED
    assert not tidy.told_to_stop
    assert world.run_record().settled_at is None
    assert tidy.done() is None
    assert world.run_record().settled_at is not None


# --- keeping ----------------------------------------------------------------------------------
def test_a_run_is_kept_for_its_ttl_from_when_it_has_settled() -> None:
    # Given
    world = World()
    world.start(task("ok-a", ok=[task("ok-tidy")]), ttl=100.0)
    world.begin().done("A")
    world.advance(1_000)
    assert world.value() == "A", "a callback is left"
    # When
    world.begin("/!success-0").done()
    world.advance(99)
    assert world.value() == "A"
    world.advance(2)
    # Then
    assert world.store.runs == {}


def test_what_was_started_never_expires_before_it_has_ended() -> None:
    # Given
    world = World(policy=Policy(result_ttl=1.0, pending_ttl=1.0))
    world.start(chain(task("ok-a"), task("ok-b")))
    # When
    world.advance(1_000_000)
    world.fire("expire", "")
    # Then
    assert world.status() is Status.ACTIVE


def test_what_is_never_started_expires_after_the_pending_ttl() -> None:
    # Given
    world = World(policy=Policy(pending_ttl=100.0))
    world.create(task("ok-a"))
    # When
    world.advance(99)
    world.fire("expire", "")
    assert world.status() is Status.PENDING
    world.advance(2)
    # Then
    assert world.store.runs == {}


def test_a_removal_that_comes_up_too_early_removes_nothing() -> None:
    # Given
    world = World(policy=Policy(result_ttl=100.0))
    world.start(task("ok-a"))
    world.begin().done("A")
    # When
    world.fire("expire", "")
    # Then
    assert world.value() == "A"
    world.advance(101)
    assert world.store.runs == {}


# --- stored runs ------------------------------------------------------------------------------
def test_a_stored_run_is_started_once() -> None:
    # Given
    world = World()
    world.create(task("ok-a"))
    # When
    first = world.start_stored("m", start_id="s1")
    other = world.start_stored("other", start_id="s2")
    # Then
    assert first is None
    assert other == "it was started before"
    assert world.begin().work.input.message == '"m"'


def test_a_reserved_run_cannot_be_started_and_is_reserved_for_one_only() -> None:
    # Given
    world = World(watch=False)
    world.create(task("ok-a"))
    # When
    assert run_now(world.store.reserve("r", "other"))
    # Then
    assert run_now(world.store.reserve("r", "other")), "asked again"
    assert not run_now(world.store.reserve("r", "third"))
    assert world.start_stored() == "it stands for a part of run other"


def test_a_reservation_whose_run_never_comes_is_dropped_after_a_minute() -> None:
    # Given
    world = World(watch=False)
    world.create(task("ok-a"))
    run_now(world.store.reserve("r", "other"))
    # When
    world.advance(59)
    assert world.start_stored() is not None
    world.advance(2)
    # Then
    assert world.start_stored() is None


def test_a_reservation_is_not_dropped_by_a_timer_of_an_earlier_one() -> None:
    # Given
    world = World(watch=False)
    world.create(task("ok-a"))
    run_now(world.store.reserve("r", "other"))
    # When
    world.advance(59)
    world.fire("reserved", "")
    # Then
    assert world.run_record().reserved_by == "other"
    world.advance(1)
    assert world.run_record().reserved_by is None


def test_a_reservation_that_became_an_alias_stays() -> None:
    # Given
    world = World(watch=False)
    world.create(task("ok-a"))
    run_now(world.store.reserve("r", "other"))
    # When
    run_now(world.store.alias("r", "other/3"))
    world.advance(120)
    # Then
    assert run_now(world.store.view("r")).alias_of == "other/3"
    assert world.start_stored() is not None


def test_a_run_reserved_while_it_expires_is_removed_once_the_reservation_is_dropped() -> None:
    # Given
    world = World(policy=Policy(pending_ttl=100.0), watch=False)
    world.create(task("ok-a"))
    world.advance(90)
    run_now(world.store.reserve("r", "other"))
    # When
    world.advance(30)
    assert "r" in world.store.runs
    world.advance(70)
    # Then
    assert world.store.runs == {}


def test_a_stored_run_that_was_started_or_canceled_cannot_be_reserved() -> None:
    # Given
    world = World()
    world.create(task("ok-a"), run="r")
    world.start_stored()
    world.create(task("ok-a"), run="canceled")
    world.steer("cancel", run="canceled")
    # Then
    assert not run_now(world.store.reserve("r", "other"))
    assert not run_now(world.store.reserve("canceled", "other"))
