"""Attempts: claims, fences, lost workers, timeouts of threads, retries, unknown tasks."""

from __future__ import annotations

import pytest
from simulation import World, chain, run_now, swarm, task

from mageflow_core.failure import Cause
from mageflow_core.machine import Policy, Status, Verdict


def test_a_claim_whose_reply_was_lost_is_answered_as_the_first_time() -> None:
    # Given the world asks everything twice
    world = World()
    world.start(task("ok-a"))
    # When
    body = world.begin()
    # Then
    assert body.work.fence == 1
    assert world.node().fence == 1


def test_a_second_worker_with_the_same_job_is_sent_away() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin(worker="w1")
    # When
    second = world.knock(worker="w2")
    # Then
    assert second.verdict is Verdict.SKIP
    assert world.node().worker == "w1"


def test_an_outcome_whose_reply_was_lost_is_answered_as_the_first_time() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    body = world.begin("/0")
    # When
    assert body.done(1) is None
    # Then
    assert body.done(1) is None, "much later, too"
    assert body.done("something else") is None
    assert world.value("/0") == 1
    assert world.node("/1").sends == 1


def test_what_a_zombie_says_after_its_lease_was_lost_changes_nothing() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    zombie = world.begin("/0", worker="w1")
    world.die("w1")
    # When
    refused_before = zombie.done("zombie")
    successor = world.begin("/0", worker="w2")
    refused_after = zombie.fails()
    # Then
    assert refused_before == refused_after == "the claim is lost"
    assert successor.work.fence == 2
    assert successor.done("A") is None
    assert zombie.returns(task("ok-x")) == "the claim is lost"
    assert world.value("/0") == "A"


def test_an_outcome_with_the_right_claim_and_a_wrong_fence_is_refused() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    # When
    body.work.fence += 1
    # Then
    assert body.done(1) == "the claim is lost"
    assert world.status() is Status.ACTIVE


def test_the_first_lost_worker_costs_nothing_then_30_s_then_5_min() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    waits = []
    # When
    for _ in range(3):
        world.begin()
        before = world.clock.time
        world.die("w1")
        world.clock.time = world.node().due or before
        world.settle_timers()
        waits.append(world.clock.time - before)
    # Then
    assert waits[0] == 0
    assert 15 <= waits[1] < 45
    assert 150 <= waits[2] < 450
    assert world.view().crashes == 3
    assert world.node().attempt == 1, "crashes are no attempts"


def test_too_many_lost_workers_fail_a_node_with_worker_lost() -> None:
    # Given
    world = World(policy=Policy(max_crashes=1))
    world.start(chain(task("ok-poison", err=[task("ok-report")])))
    # When
    world.begin("/0")
    world.die("w1")
    world.begin("/0")
    world.die("w1")
    # Then
    error = world.error()
    assert (error.type, error.key, error.task) == ("mageflow.WorkerLost", "r/0", "ok-poison")
    assert "died 2 times" in error.message
    assert world.due_jobs() == ["/0/!error-0"]


def test_a_lease_found_lost_by_a_living_process_is_no_crash() -> None:
    # Given
    world = World(policy=Policy(max_crashes=0))
    world.start(task("ok-a"))
    # When
    for _ in range(5):
        world.begin().loses_lease(crashed=False)
    # Then
    assert world.view().crashes == 0
    assert world.due_jobs() == [""]


def test_a_worker_that_leaves_releases_all_that_it_had_claimed_and_nothing_else() -> None:
    # Given
    world = World()
    world.start(swarm(*[task(f"ok-{i}") for i in range(4)]))
    for i in range(4):
        world.begin(f"/{i}", worker=f"w{i % 2}")
    # When
    world.die("w0", crashed=False)
    # Then
    assert sorted(world.due_jobs()) == ["/0", "/2"]
    assert [world.node(f"/{i}").status for i in range(4)] == [
        Status.QUEUED,
        Status.ACTIVE,
        Status.QUEUED,
        Status.ACTIVE,
    ]


def test_a_worker_lost_under_a_suspend_mark_leaves_its_node_parked() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a")))
    world.begin("/0")
    world.suspend()
    # When
    world.die("w1")
    # Then
    assert world.due_jobs() == []
    world.resume()
    world.settle_timers()
    assert world.due_jobs() == ["/0"]


def test_a_worker_lost_under_a_cancel_lets_the_cancel_end() -> None:
    # Given
    world = World()
    world.start(chain(swarm(task("ok-a"))))
    world.begin("/0/0")
    world.cancel()
    assert world.status() is Status.CANCELING
    # When
    world.die("w1")
    # Then
    assert world.status() is Status.CANCELED
    assert world.due_jobs() == []


def test_an_old_job_that_comes_while_a_crash_is_waited_for_is_refused_then_granted() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    for _ in range(2):
        world.begin()
        world.die("w1")
    due = world.node().due
    assert due is not None
    # When
    assert world.knock().verdict is Verdict.SKIP, "not due yet"
    world.clock.time = due
    # Then before the timer was served
    assert world.knock().verdict is Verdict.RUN
    assert world.node().due is None


def test_a_node_released_after_such_a_claim_is_not_forgotten_by_a_resend() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    for _ in range(2):
        world.begin()
        world.die("w1")
    world.clock.time = world.node().due or 0
    world.knock()
    next(iter(world.attempts.values())).released()
    # When
    world.inbox.clear()  # the backend loses it
    world.work()
    world.clock.time += 61
    world.store._send_overdue(world.clock.time)
    world.check()
    # Then
    assert world.due_jobs() == [""]


# --- threads that cannot be stopped -----------------------------------------------------------
def test_the_next_attempt_waits_for_the_thread_of_a_timed_out_one() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    # When
    body.fails(retry_in=5.0, held=True, cause=Cause.TIMEOUT)
    world.advance(60)
    # Then
    assert world.status() is Status.RETRYING
    assert world.due_jobs() == []
    assert body.thread_returns() is None
    world.settle_timers()
    assert world.begin().work.attempt == 2


def test_a_stray_timer_does_not_begin_the_next_attempt_beside_a_held_thread() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    body.fails(retry_in=5.0, held=True)
    world.clock.time += 10
    # When
    world.fire("due", "")
    # Then
    assert world.due_jobs() == []
    body.thread_returns()
    world.settle_timers()
    assert world.due_jobs() == [""]


def test_the_outcome_of_a_thread_that_returns_after_its_timeout_is_refused() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    body.fails(retry_in=5.0, held=True)
    # When
    body.done("too late")
    # Then
    assert world.status() is Status.RETRYING
    assert world.value() is None
    assert body.thread_returns() is None


def test_the_death_of_the_worker_frees_a_held_thread_and_is_no_crash() -> None:
    # Given
    world = World(policy=Policy(max_crashes=0))
    world.start(task("ok-a"))
    world.begin().fails(retry_in=5.0, held=True)
    # When
    world.die("w1")
    world.advance(6)
    # Then
    body = world.begin()
    assert body.work.attempt == 2
    assert world.view().crashes == 0


def test_a_held_thread_does_not_delay_a_cancel_and_can_change_nothing_afterwards() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a")))
    body = world.begin("/0")
    body.fails(retry_in=5.0, held=True)
    # When
    world.cancel()
    # Then
    assert world.status() is Status.CANCELED
    body.thread_returns()
    world.advance(100)
    assert world.due_jobs() == []


def test_a_timeout_without_another_attempt_fails_and_lets_the_thread_go() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    # When
    body.fails(held=True, cause=Cause.TIMEOUT, text="took longer than 3 s")
    # Then
    assert world.status() is Status.FAILED
    assert world.error().cause is Cause.TIMEOUT
    assert world.store.claims.get("w1", {}) == {}


# --- retries ----------------------------------------------------------------------------------
def test_a_failed_attempt_is_followed_by_the_next_when_its_time_has_come() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    # When
    world.begin().fails(retry_in=10.0)
    # Then
    assert world.status() is Status.RETRYING
    assert world.view().due_at == 1_010.0
    assert world.error().message == "no luck"
    world.advance(9)
    assert world.due_jobs() == []
    world.advance(1)
    world.settle_timers()
    body = world.begin()
    assert body.work.attempt == 2
    body.done(1)
    assert world.view().error is None


def test_a_job_of_the_attempt_before_is_stale() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    stale = world.jobs[0]
    world.begin().fails(retry_in=1.0)
    # When
    world.advance(2)
    # Then
    assert world.deliver(stale).verdict is Verdict.SKIP
    assert world.due_jobs() == [""]


def test_a_released_attempt_is_not_counted_and_is_sent_again_at_once() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    # When
    world.begin().released()
    # Then
    body = world.begin()
    assert body.work.attempt == 1
    assert len({job.id for job in world.jobs}) == 2, "no two sendings share an id"


# --- tasks that nobody knows ------------------------------------------------------------------
def test_a_node_whose_task_no_live_worker_knows_fails_after_an_hour() -> None:
    # Given
    world = World()
    world.start(chain(task("new-task")))
    world.renew("w1", "other-task")
    run_unknown(world, "r/0")
    # When
    world.advance(3_599)
    assert world.status("/0") is Status.QUEUED
    world.advance(2)
    # Then
    error = world.error()
    assert (error.type, error.task) == ("mageflow.UnknownTask", "new-task")


def test_a_node_whose_task_became_known_is_sent_again() -> None:
    # Given
    world = World()
    world.start(task("new-task"))
    run_unknown(world, "r")
    world.inbox.clear()
    # When
    world.renew("w1", "new-task")
    world.advance(3_601)
    # Then
    assert world.status() is Status.QUEUED
    assert "" in world.due_jobs()


def test_a_node_that_found_a_worker_meanwhile_does_not_fail_as_unknown() -> None:
    # Given it was given to the wrong worker, then to the right one, which is gone again
    world = World()
    world.start(task("new-task"))
    run_unknown(world, "r")
    world.advance(3_000)
    world.begin().loses_lease(crashed=False)
    # When
    world.advance(700)
    # Then
    assert world.status() is Status.QUEUED


def test_what_a_cancel_left_queued_does_not_fail_as_unknown() -> None:
    # Given
    world = World()
    world.start(swarm(task("new-task", err=[task("ok-report")])))
    run_unknown(world, "r/0")
    # When
    world.cancel()
    world.advance(3_601)
    # Then
    assert world.status("/0") is Status.CANCELED
    assert "/0/!error-0" not in world.store.runs["r"].nodes


def run_unknown(world: World, key: str) -> None:
    run_now(world.store.unknown(key))


@pytest.mark.parametrize("crashed", [True, False])
def test_losing_a_claim_that_is_not_held_changes_nothing(crashed: bool) -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    body.done(1)
    before = world.snapshot()
    # When
    body.loses_lease(crashed=crashed)
    # Then
    assert world.snapshot() == before
