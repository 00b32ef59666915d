"""Any flow, under any schedule, ends exactly as written: compared with an interpreter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar
from unittest.mock import patch

from hypothesis import given, note
from hypothesis import strategies as st
from simulation import World, check_settled, expected
from simulation.profile import examples
from simulation.trees import flows, shape

from mageflow_core.machine import Policy, Status
from mageflow_core.signatures.signature import Signature

T = TypeVar("T")
MOVES = ["deliver"] * 6 + ["end"] * 6 + ["again", "die", "lose", "tick", "timer", "drop"]
KINDS = ["due", "sweep", "tell", "unpark", "grace", "idle", "deadline", "unknown", "reserved"]


def play(world: World, draw: Any) -> None:
    """A random schedule, with all that may go wrong around a run that nobody steers."""
    for _ in range(draw(st.integers(0, 60))):
        move(world, draw(st.sampled_from(MOVES)), draw(st.integers(0, 10_000)))


def move(world: World, what: str, n: int) -> None:
    match what, one_of(list(world.attempts.values()), n), one_of(world.inbox, n):
        case "deliver", _, job if job:
            world.inbox.remove(job)
            world.deliver(job, f"w{n % 3}")
        case "drop", _, job if job:
            world.inbox.remove(job)
        case "end", attempt, _ if attempt:
            attempt.ends_as_named()
        case "lose", attempt, _ if attempt:
            attempt.loses_lease()
        case "again", _, _ if world.jobs:
            world.deliver(world.jobs[n % len(world.jobs)])
        case "die", _, _:
            world.die(f"w{n % 3}", crashed=bool(n % 2))
        case "tick", _, _:
            world.advance(n % 40)
        case "timer", _, _:
            world.fire(KINDS[n % len(KINDS)], one_of(list(world.store.runs["r"].nodes), n) or "")
    zombie = one_of(world.zombies, n)
    if zombie and n % 5 == 0:
        zombie.ends_as_named()


def one_of(things: Sequence[T], n: int) -> T | None:
    return things[n % len(things)] if things else None


@examples(200, 4_000)
@given(flow=flows(), data=st.data(), width=st.sampled_from([400, 8, 5, 3]))
def test_any_flow_ends_as_written_under_any_schedule(
    flow: Signature[Any], data: st.DataObject, width: int
) -> None:
    # Given
    note(shape(flow))
    with (
        patch("mageflow_core.machine.draft.STEP_WIDTH", width),
        patch("mageflow_core.machine.timers.STEP_WIDTH", width),
    ):
        world = World(policy=Policy(max_crashes=10_000))
        world.start(flow, {"n": 1})
        # When
        play(world, data.draw)
        world.finish(lambda size: data.draw(st.integers(0, size - 1)) if size < 8 else 0)
    # Then
    end = expected(flow, json.dumps({"n": 1}))
    assert world.status() is (Status.DONE if end.done else Status.FAILED)
    if end.done:
        assert world.value() == json.loads(end.value)
    check_settled(world.store, "r")
