"""Jobs between the step that made them due and the claim: when they are sent again."""

from __future__ import annotations

from simulation import World, run_now, swarm, task

from mageflow_core.machine import Job, Status
from mageflow_core.stores.memory.outbox import LONGEST_WAIT, Entry, Outbox


def job(key: str, send: int = 1) -> Job:
    return Job(key, 1, send, "task", "", None, None)


def keys(entries: list[Entry]) -> list[str]:
    return [entry.job.key for entry in entries]


# --- by itself --------------------------------------------------------------------------------
def test_an_unconfirmed_job_is_taken_out_after_ten_seconds() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a"), 0.0)
    outbox.put(job("b"), 5.0)
    # Then
    assert outbox.next_unconfirmed() == 10.0
    assert outbox.unconfirmed(9.9, 10) == []
    assert keys(outbox.unconfirmed(10.0, 10)) == ["a"]
    assert outbox.next_unconfirmed() == 15.0


def test_no_more_unconfirmed_jobs_are_taken_than_asked_for() -> None:
    # Given
    outbox = Outbox()
    for key in "abc":
        outbox.put(job(key), 0.0)
    # Then
    assert keys(outbox.unconfirmed(99.0, 2)) == ["a", "b"]
    assert keys(outbox.unconfirmed(99.0, 2)) == ["c"]


def test_a_confirmed_job_waits_and_is_overdue_after_a_minute() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a"), 0.0)
    # When
    outbox.confirm(job("a"), 1.0)
    # Then
    assert outbox.next_unconfirmed() is None
    assert outbox.sent_at("a") == 1.0
    assert outbox.overdue(60.9, 10) == []
    assert keys(outbox.overdue(61.0, 10)) == ["a"]
    assert len(outbox) == 0


def test_a_confirmation_of_another_sending_confirms_nothing() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a", send=2), 0.0)
    # When
    outbox.confirm(job("a", send=1), 1.0)
    outbox.confirm(job("nobody"), 1.0)
    # Then
    assert outbox.next_unconfirmed() == 10.0


def test_a_job_that_was_confirmed_twice_keeps_its_first_time() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a"), 0.0)
    outbox.confirm(job("a"), 1.0)
    # When
    outbox.confirm(job("a"), 50.0)
    # Then
    assert outbox.sent_at("a") == 1.0


def test_each_resending_doubles_the_wait_up_to_an_hour() -> None:
    # Given
    outbox = Outbox()
    now, waits = 0.0, []
    outbox.put(job("a"), now)
    outbox.confirm(job("a"), now)
    # When
    for send in range(2, 11):
        step = 0.0
        while not (taken := outbox.overdue(now + step, 1)):
            step += 30.0
        waits.append(step)
        now += step
        outbox.put(job("a", send), now)
        outbox.resent(taken[0], waited=True)
        outbox.confirm(job("a", send), now)
    # Then
    assert waits == [60, 120, 240, 480, 960, 1_920, LONGEST_WAIT, LONGEST_WAIT, LONGEST_WAIT]


def test_a_job_that_was_never_confirmed_keeps_the_wait_that_it_had() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a"), 0.0)
    outbox.confirm(job("a"), 0.0)
    (waited,) = outbox.overdue(60.0, 1)
    outbox.put(job("a", 2), 60.0)
    outbox.resent(waited, waited=True)
    # When
    (unconfirmed,) = outbox.unconfirmed(70.0, 1)
    outbox.put(job("a", 3), 70.0)
    outbox.resent(unconfirmed, waited=False)
    outbox.confirm(job("a", 3), 70.0)
    # Then
    assert outbox.overdue(189.0, 1) == []
    assert keys(outbox.overdue(190.0, 1)) == ["a"]


def test_a_new_attempt_begins_with_the_shortest_wait_again() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a"), 0.0)
    outbox.confirm(job("a"), 0.0)
    (before,) = outbox.overdue(60.0, 1)
    outbox.put(job("a", 2), 60.0)
    outbox.resent(before, waited=True)
    # When
    outbox.put(job("a", 3), 70.0)
    outbox.confirm(job("a", 3), 70.0)
    # Then
    assert keys(outbox.overdue(130.0, 1)) == ["a"]


def test_the_overdue_are_given_oldest_first_over_all_groups_and_no_more_than_asked_for() -> None:
    # Given
    outbox = Outbox()
    for key in "abcd":
        outbox.put(job(key), 0.0)
        outbox.confirm(job(key), 0.0)
    outbox.drop("b")
    # Then
    assert keys(outbox.overdue(100.0, 2)) == ["a", "c"]
    assert keys(outbox.overdue(100.0, 2)) == ["d"]


def test_a_dropped_job_is_gone_from_wherever_it_was() -> None:
    # Given
    outbox = Outbox()
    outbox.put(job("a"), 0.0)
    outbox.put(job("b"), 0.0)
    outbox.confirm(job("b"), 0.0)
    # When
    outbox.drop("a")
    outbox.drop("b")
    # Then
    assert outbox.drop("a") is None
    assert len(outbox) == 0
    assert outbox.sent_at("a") is None
    assert outbox.unconfirmed(99.0, 9) == []
    assert outbox.overdue(9_999.0, 9) == []


# --- in the store -----------------------------------------------------------------------------
def test_a_job_that_nobody_confirmed_is_sent_again_under_another_id() -> None:
    # Given a backend that takes jobs, and a dispatcher whose confirmations are lost
    world = World()
    world.start(task("ok-a"))
    # When
    world.sent.clear()
    world.clock.time += 10
    world.work()
    # Then
    assert [j.send for j in world.jobs] == [1, 2]
    assert len({j.id for j in world.jobs}) == 2
    assert world.begin().done() is None
    assert world.store.outbox.next_unconfirmed() is None


def test_a_confirmed_job_is_sent_again_only_where_workers_are_idle() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.inbox.clear()  # the backend loses it
    world.work()
    # When nobody is idle
    world.advance(3_000)
    assert world.inbox == []
    idle(world, since=world.clock.time - 59)
    assert world.inbox == []
    # Then
    idle(world, since=world.clock.time - 60)
    assert world.due_jobs() == [""]


def test_a_claim_of_a_job_that_was_sent_much_later_shows_that_one_was_lost() -> None:
    # Given
    world = World()
    world.start(task("ok-a"), run="lost")
    world.inbox.clear()
    world.work()
    world.clock.time += 61
    world.start(task("ok-b"), run="r")
    world.work()
    # When
    world.begin()
    # Then
    assert world.due_jobs("lost") == [""]


def test_a_claim_of_a_job_that_was_sent_a_little_later_shows_nothing() -> None:
    # Given
    world = World()
    world.start(task("ok-a"), run="waits")
    world.inbox.clear()
    world.work()
    world.clock.time += 59
    world.start(task("ok-b"), run="r")
    world.work()
    # When
    world.clock.time += 1_000
    world.begin()
    # Then
    assert world.due_jobs("waits") == []


def test_under_a_backlog_of_hours_each_job_is_sent_a_few_times_only() -> None:
    # Given far more work than one worker does in five hours, first in, first out
    world = World(watch=False)
    world.start(swarm(*[task("ok-a")] * 600, max_concurrency=None))
    world.settle_timers()
    # When
    for _ in range(600):
        world.work()
        world.clock.time += 30
        claimed = None
        while claimed is None and world.inbox:
            claimed = world.deliver(world.inbox.pop(0)).work
        assert claimed is not None
        world.attempts[claimed.claim].done()
    # Then
    assert world.status() is Status.DONE
    assert len(world.jobs) / 600 < 8
    assert len(world.store.outbox) == 0


def test_jobs_of_what_was_canceled_are_dropped_when_they_are_looked_at_again() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b")))
    world.inbox.clear()
    world.work()
    world.cancel()
    # When
    world.advance(100)
    idle(world, since=world.clock.time - 100)
    # Then
    assert [world.deliver(job).work for job in world.inbox] == [None] * len(world.inbox)
    assert len(world.store.outbox) == 0


def idle(world: World, since: float) -> None:
    run_now(world.store.idle(since))
