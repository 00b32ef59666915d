"""A reply lost after its step was applied: the same request is answered as the first time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from simulation import World, chain, run_now, swarm, task

from mageflow_core.machine import Add, ClaimRequest, Done, Report, Status, Steer, Steered, Verb
from mageflow_core.stores.protocol import NewRun


def add(world: World) -> Any:
    return run_now(world.store.add("r", Add("/1", "add-1", (task("ok-x"), task("ok-y")))))


def claim(world: World) -> Any:
    claimed = run_now(world.store.claim("r", ClaimRequest("/0", 1, "claim-1", "w1")))
    return claimed.verdict, claimed.work


def create(world: World) -> Any:
    run = NewRun(id="r", signature=task("ok-a"), message="1", content="c")
    return run_now(world.store.create(run)).conflict


def close(world: World) -> Any:
    return run_now(world.store.close_swarm("r", "/1"))


def report(world: World) -> Any:
    claim(world)
    return run_now(world.store.report("r", Report("/0", "claim-1", 1, Done(value="1"))))


def steer(verb: str) -> Callable[[World], Any]:
    def ask(world: World) -> Any:
        return run_now(world.store.steer("r", Steer("/1", Verb(verb), "steer-1")))

    return ask


def start(world: World) -> Any:
    if "stored" not in world.store.runs:
        world.create(task("ok-a"), run="stored")
    return run_now(world.store.start("stored", '"m"', "start-1"))


CALLS = {
    "add": add,
    "claim": claim,
    "close": close,
    "create": create,
    "report": report,
    "start": start,
    **{verb: steer(verb) for verb in ("suspend", "interrupt", "cancel", "resume", "retry")},
}


@pytest.mark.parametrize("name", CALLS)
def test_asked_three_times_a_call_is_answered_alike_and_applied_once(name: str) -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), swarm(open=True)), content="c")
    if name == "resume":
        world.suspend("/1")
    if name == "retry":
        world.cancel("/1")
        world.retry("")
    # When
    first = CALLS[name](world)
    after = world.snapshot()
    sent = len(world.jobs)
    again = [CALLS[name](world) for _ in range(2)]
    # Then
    assert again == [first, first]
    assert world.snapshot() == after
    assert len(world.jobs) == sent


def test_the_same_suspend_does_not_undo_a_resume_that_came_in_between_only_if_it_was_last() -> None:
    # Given what is remembered of a node is its last request
    world = World()
    world.start(task("ok-a"))
    world.steer("suspend", call="a")
    world.steer("resume", call="b")
    # When
    again = world.steer("resume", call="b")
    # Then
    assert again == Steered(applied=True)
    assert world.status() is Status.QUEUED
