"""Suspend, resume, interrupt and cancel, where bodies run and outcomes arrive."""

from __future__ import annotations

import pytest
from simulation import Attempt, World, chain, graph, swarm, task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Mark, Signal, Status, Verdict


def test_an_outcome_under_a_suspend_mark_applies_in_full_and_only_claims_are_refused() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    first = world.begin("/0")
    # When
    assert world.suspend().applied
    assert first.done("A") is None
    # Then
    assert world.node("/0").status is Status.DONE
    assert world.node("/1").status is Status.QUEUED
    assert world.status("/1") is Status.SUSPENDED
    assert world.knock("/1").verdict is Verdict.PARK
    assert world.status() is Status.SUSPENDED


def test_what_a_graph_skips_is_skipped_under_a_mark_too() -> None:
    # Given
    world = World()
    world.start(graph({"a": task("bad-a"), "b": task("ok-b"), "c": task("ok-c")}, {"b": ("a",)}))
    body = world.begin("/a")
    for mark in (world.suspend, world.interrupt):
        assert mark().applied
        assert world.status("/b") in (Status.SUSPENDED, Status.INTERRUPTED)
    # When
    body.fails()
    # Then
    assert world.status("/b") is Status.SKIPPED
    assert world.status("/c") is Status.INTERRUPTED


def test_what_a_suspend_has_parked_is_sent_again_by_resume_once_timers_are_served() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b"), max_concurrency=2))
    world.suspend()
    assert world.knock("/0").verdict is Verdict.PARK
    assert world.knock("/1").verdict is Verdict.PARK
    assert world.due_jobs() == []
    # When
    assert world.resume().applied
    assert world.due_jobs() == [], "resume itself writes nothing below it"
    world.settle_timers()
    # Then
    assert world.due_jobs() == ["/0", "/1"]
    assert world.knock("/0").verdict is Verdict.RUN


def test_a_node_can_be_parked_at_the_root_and_is_not_forgotten_there() -> None:
    # Given
    world = World()
    world.start(task("ok-alone"))
    world.suspend()
    # When
    assert world.knock("").verdict is Verdict.PARK
    # Then
    assert world.store.runs["r"].parked_at("", 10) == [""]


def test_a_retry_is_timed_under_suspend_and_parked_when_its_time_has_come() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    world.suspend()
    # When
    body.fails(retry_in=30.0)
    world.advance(31.0)
    # Then
    assert world.node().attempt == 2
    assert world.knock().verdict is Verdict.PARK
    world.resume()
    world.settle_timers()
    assert world.begin().done(7) is None
    assert world.value() == 7


def test_a_resume_while_an_interrupted_body_still_unwinds_starts_nothing_twice() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    world.interrupt()
    assert world.signals == [Signal("", Mark.INTERRUPT)]
    assert body.told_to_stop
    # When
    world.resume()
    world.settle_timers()
    # Then it stays active, and no job is made for it until its body has let go
    assert world.node().status is Status.ACTIVE
    assert world.due_jobs() == []
    assert world.knock().verdict is Verdict.SKIP
    assert body.released() is None
    assert world.due_jobs() == [""]
    again = world.begin()
    assert again.work.attempt == 1, "the attempt is not counted"
    assert again.work.fence == 2


def test_a_body_released_under_an_interrupt_is_parked_at_once() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a")))
    body = world.begin("/0")
    world.interrupt()
    # When
    body.released()
    # Then
    assert world.due_jobs() == []
    assert world.store.runs["r"].parked_at("", 10) == ["/0"]
    assert world.status("/0") is Status.INTERRUPTED


def test_a_body_that_returns_although_interrupted_has_its_outcome_applied() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    world.interrupt()
    # When
    assert body.done("late") is None
    # Then
    assert world.status() is Status.DONE
    assert world.value() == "late"


@pytest.mark.parametrize("order", [("", "/0"), ("/0", "")])
def test_inner_and_outer_marks_are_resumed_in_either_order(order: tuple[str, str]) -> None:
    # Given
    world = World()
    world.start(chain(chain(task("ok-a"))))
    world.suspend("/0")
    world.interrupt("")
    assert world.knock("/0/0").verdict is Verdict.PARK
    assert world.status("/0") is Status.INTERRUPTED, "the strongest is shown"
    # When the first is gone
    world.resume(order[0])
    world.settle_timers()
    for _ in world.due_jobs():
        assert world.knock("/0/0").verdict is Verdict.PARK
    # Then it still waits for the other
    assert world.store.runs["r"]._parked_at == {"/0/0": order[1]}
    world.resume(order[1])
    world.settle_timers()
    assert world.knock("/0/0").verdict is Verdict.RUN


def test_a_weaker_mark_does_not_replace_a_stronger_one() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.interrupt()
    # When
    assert world.suspend().applied
    # Then
    assert world.node().mark is Mark.INTERRUPT


def test_suspending_again_before_the_parked_were_sent_keeps_them() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a")))
    world.suspend()
    world.knock("/0")
    world.resume()
    world.suspend()
    # When
    world.settle_timers()
    # Then
    assert world.knock("/0").verdict is Verdict.PARK
    world.finish()
    assert world.status() is Status.DONE


def test_a_pending_step_that_was_suspended_before_its_turn_waits_when_it_comes() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), chain(task("ok-b"), task("ok-c"))))
    # When
    assert world.suspend("/1/0").applied
    world.begin("/0").done(1)
    # Then
    assert world.knock("/1/0").verdict is Verdict.PARK
    world.resume("/1/0")
    world.settle_timers()
    assert world.knock("/1/0").verdict is Verdict.RUN


def test_a_pending_step_that_is_canceled_before_its_turn_cancels_its_chain() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), err=[task("ok-never")]))
    body = world.begin("/0")
    # When
    assert world.cancel("/1").applied
    # Then the chain waits for the running body only
    assert world.status("/1") is Status.CANCELED
    assert world.status() is Status.CANCELING
    body.released()
    assert world.status() is Status.CANCELED
    assert "/!error-0" not in world.store.runs["r"].nodes


def test_a_pending_step_of_a_chain_that_has_not_begun_cancels_it_when_its_turn_comes() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), chain(task("ok-b"), task("ok-c"))))
    # When
    world.cancel("/1/1")
    assert world.status("/1") is Status.PENDING
    world.finish()
    # Then
    assert world.status("/1/0") is Status.DONE
    assert world.status("/1") is Status.CANCELED
    assert world.status() is Status.CANCELED


def test_a_canceled_item_frees_its_slot_leaves_null_and_is_no_failure() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b"), max_concurrency=1, stop_after_n_failures=1))
    # When
    world.cancel("/0")
    # Then
    assert world.due_jobs() == ["/0", "/1"], "the old job is with the backend already"
    assert world.knock("/0").verdict is Verdict.SKIP
    world.begin("/1").done(2)
    assert world.status() is Status.DONE
    assert world.value() == [None, 2]
    assert world.view().canceled == 1


def test_an_item_that_is_canceled_ahead_of_its_turn_is_counted_when_it_is_met() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b"), task("ok-c"), max_concurrency=1))
    # When
    world.cancel("/1")
    assert world.view().canceled == 0
    world.begin("/0").done(0)
    # Then
    assert world.due_jobs() == ["/2"]
    world.begin("/2").done(2)
    assert world.value() == [0, None, 2]
    assert world.view().canceled == 1


def test_cancel_ends_what_has_no_body_at_once_and_writes_nothing_below() -> None:
    # Given
    world = World()
    world.start(swarm(*[task(f"ok-{i}") for i in range(20)], max_concurrency=None))
    stored = {path: node.copy() for path, node in world.store.runs["r"].nodes.items()}
    # When
    world.cancel()
    # Then
    assert world.status() is Status.CANCELED
    for path, node in world.store.runs["r"].nodes.items():
        assert path == "" or node == stored[path]
    assert set(world.children().values()) == {Status.CANCELED}
    assert world.knock("/7").verdict is Verdict.SKIP


def test_cancel_waits_for_running_bodies_at_every_depth() -> None:
    # Given
    world = World()
    world.start(chain(swarm(task("ok-a"), chain(task("ok-b"), task("ok-c")))))
    bodies = [world.begin("/0/0"), world.begin("/0/1/0")]
    # When
    world.cancel()
    # Then
    assert world.status() is Status.CANCELING
    assert world.bodies_below() == 2
    assert all(body.told_to_stop for body in bodies)
    bodies[0].released()
    assert world.status() is Status.CANCELING
    bodies[1].done("too late to matter")
    assert world.status() is Status.CANCELED
    assert world.status("/0/1/1") is Status.CANCELED


def test_when_the_grace_of_a_cancel_is_over_outcomes_below_are_refused() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    body = world.begin("/0")
    world.cancel()
    # When
    world.advance(world.policy.cancel_grace + 1)
    # Then
    assert world.status() is Status.CANCELED
    assert body.done("late") == "a container above has ended"
    assert world.value("/0") is None
    assert "/1" not in world.store.runs["r"].nodes


def test_when_the_grace_of_a_canceled_task_is_over_its_own_outcome_is_refused() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    body = world.begin()
    world.cancel()
    # When
    world.advance(world.policy.cancel_grace + 1)
    # Then
    assert world.status() is Status.CANCELED
    assert body.done("late") == "the claim is lost"
    assert world.value() is None


def stopping_in_what_is_canceled() -> tuple[World, Attempt]:
    """A swarm that has begun to fail inside a run that is being canceled, and a body of it."""
    world = World()
    stops = swarm(
        task("bad-a"), task("ok-b"), stop_after_n_failures=1, interrupt_running=True,
        err=[task("ok-told")],
    )  # fmt: skip
    world.start(chain(stops))
    fails, runs = world.begin("/0/0"), world.begin("/0/1")
    world.cancel()
    world.advance(world.policy.cancel_grace / 2)
    fails.fails()
    assert world.node("/0").ending is Status.FAILED
    return world, runs


def test_a_swarm_that_stops_in_a_canceled_run_ends_with_it_and_calls_back_no_more() -> None:
    # Given
    world, _ = stopping_in_what_is_canceled()
    # When the grace of the run is over, and then that of the swarm
    world.advance(world.policy.cancel_grace / 2)
    settled = world.run_record().settled_at
    world.advance(world.policy.cancel_grace / 2)
    # Then
    assert settled is not None
    assert world.status() is world.status("/0") is Status.CANCELED
    assert world.run_record().settled_at == settled
    assert world.due_jobs() == []


def test_so_it_does_when_its_last_body_lets_go_only_after_the_run_has_ended() -> None:
    # Given
    world, runs = stopping_in_what_is_canceled()
    world.advance(world.policy.cancel_grace / 2)
    assert world.status() is Status.CANCELED
    # When
    assert runs.released() == "a container above has ended"
    # Then
    assert world.bodies_below("/0") == 0
    assert world.status("/0") is Status.CANCELED
    assert world.due_jobs() == []


def test_a_swarm_that_stops_in_a_canceled_run_calls_back_if_it_ends_in_time() -> None:
    # Given
    world, runs = stopping_in_what_is_canceled()
    # When
    runs.released()
    # Then
    assert world.status("/0") is Status.FAILED
    assert world.status() is Status.CANCELED
    assert world.due_jobs() == ["/0/!error-0"]
    assert world.run_record().settled_at is None


def test_zombies_of_an_ended_item_are_no_bodies_of_its_swarm_once_they_have_spoken() -> None:
    # Given
    world = World()
    world.start(swarm(chain(task("ok-a")), task("ok-b"), max_concurrency=2))
    zombie = world.begin("/0/0")
    world.cancel("/0")
    world.advance(world.policy.cancel_grace + 1)
    assert world.status("/0") is Status.CANCELED
    assert world.bodies_below() == 1
    # When
    assert zombie.done("late") == "a container above has ended"
    # Then a cancel of the swarm need not wait for it
    assert world.bodies_below() == 0
    world.cancel()
    assert world.status() is Status.CANCELED


def test_a_callback_due_inside_a_swarm_that_is_canceled_afterwards_still_runs() -> None:
    # Given
    world = World()
    item = task("ok-a", ok=[task("ok-tidy", ok=[task("ok-more")])])
    world.start(swarm(item, task("ok-b"), max_concurrency=2))
    world.begin("/0").done("A")
    # When
    world.cancel()
    # Then
    assert world.status() is Status.CANCELED
    assert world.run_record().settled_at is None
    tidy = world.begin("/0/!success-0")
    assert tidy.work.input.previous == '"A"'
    assert not tidy.told_to_stop
    tidy.done()
    world.begin("/0/!success-0/!success-0").done()
    assert world.run_record().settled_at is not None


def test_callbacks_obey_a_suspend_above_them_also_when_their_owner_has_ended() -> None:
    # Given
    world = World()
    world.start(task("ok-a", ok=[task("ok-tidy")]))
    body = world.begin()
    world.suspend()
    # When
    body.done(1)
    # Then
    assert world.status() is Status.DONE
    assert world.knock("/!success-0").verdict is Verdict.PARK
    assert world.resume().applied, "also of what has ended"
    world.settle_timers()
    world.begin("/!success-0").done()
    assert world.run_record().settled_at is not None


def test_a_cancel_frees_the_callbacks_that_a_suspend_had_parked() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a", ok=[task("ok-tidy")]), task("ok-b")))
    world.begin("/0").done(1)
    world.suspend()
    assert world.knock("/0/!success-0").verdict is Verdict.PARK
    assert world.knock("/1").verdict is Verdict.PARK
    # When
    world.cancel()
    world.settle_timers()
    # Then
    assert world.due_jobs() == ["/0/!success-0"], "but nothing that was canceled"
    world.finish()
    assert world.status("/0/!success-0") is Status.DONE


def test_canceling_a_callback_changes_nothing_for_its_owner_and_settles_the_run() -> None:
    # Given
    world = World()
    world.start(task("ok-a", ok=[swarm(task("ok-b"), task("ok-c"))]))
    world.begin().done(1)
    # When
    world.cancel("/!success-0")
    # Then
    assert world.status() is Status.DONE
    assert world.status("/!success-0") is Status.CANCELED
    assert world.run_record().settled_at is not None


def test_steering_what_has_ended_changes_nothing_and_says_so() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    world.begin("/0").done(1)
    # When
    answers = {verb: world.steer(verb, "/0") for verb in ("suspend", "interrupt", "cancel")}
    # Then
    assert not any(answer.applied for answer in answers.values())
    assert {answer.why for answer in answers.values()} == {"it has ended: done"}
    assert world.resume("/0").why == "it is neither suspended nor interrupted itself"


def test_steering_below_what_has_ended_or_is_canceled_changes_nothing_and_says_so() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b")))
    body = world.begin("/0")
    world.cancel()
    # When
    while_canceling = world.suspend("/1")
    twice = world.cancel()
    body.released()
    afterwards = world.suspend("/1")
    # Then
    assert while_canceling.why == "a container above it has ended or is being canceled"
    assert twice.why == "it is being canceled"
    assert afterwards.why == while_canceling.why


def test_a_running_swarm_can_be_suspended_item_by_item_and_keeps_its_slots() -> None:
    # Given
    world = World()
    world.start(swarm(task("ok-a"), task("ok-b"), task("ok-c"), max_concurrency=2))
    # When
    world.suspend("/0")
    world.knock("/0")
    world.begin("/1").done(1)
    # Then
    assert world.node().inner is not None
    assert world.view().begun == 2
    assert world.due_jobs() == ["/2"]


def test_a_canceled_node_of_a_graph_stops_it_and_leaves_it_canceled() -> None:
    # Given
    world = World()
    world.start(graph({"a": task("ok-a"), "b": task("ok-b")}, {"b": ("a",)}))
    # When
    world.cancel("/a")
    # Then
    assert world.status() is Status.CANCELED
    assert world.status("/b") is Status.CANCELED


def test_a_canceled_node_skips_its_dependents_only_where_a_graph_continues() -> None:
    # Given
    world = World()
    nodes = {"a": task("ok-a"), "b": task("ok-b"), "c": task("ok-c")}
    world.start(graph(nodes, {"b": ("a",)}, on_failure="continue"))
    # When
    world.cancel("/a")
    assert world.status("/b") is Status.SKIPPED
    world.begin("/c").done(3)
    # Then
    assert world.status() is Status.CANCELED


def test_a_job_for_a_node_whose_turn_has_not_come_does_nothing() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    job = world.jobs[0]
    # When
    forged = job._replace(key="r/1")
    # Then
    assert world.deliver(forged).verdict is Verdict.SKIP
    assert world.deliver(job._replace(key="nobody")).verdict is Verdict.SKIP
    assert world.deliver(job._replace(attempt=7)).verdict is Verdict.SKIP


def test_the_name_of_a_continuation_is_never_taken_for_a_child() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    # When
    with pytest.raises(Exception, match="no node"):
        world.status("~1")
    # Then
    assert world.status("/1") is Status.PENDING


@pytest.mark.parametrize("path", ["/00", "/01", "/+1", "/\u0661", "/²", "/2", "//0", "/0/"])
def test_a_place_has_one_name(path: str) -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    # When
    with pytest.raises(RunNotFound):
        world.suspend(path)
    # Then
    assert world.run_record().marks == 0
    assert world.status("/0") is Status.QUEUED
