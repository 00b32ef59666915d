"""Who waits is told in Redis by the step that also wakes them in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comparing import ComparingStore, compared
from simulation import World, chain, graph, swarm, task

from mageflow_conformance.servers import RedisServer
from mageflow_core.machine import Policy


@pytest.fixture(scope="module", autouse=True)
def _comparing(_shared: RedisServer) -> Iterator[None]:
    with compared(_shared.url):
        yield


def both(world: World) -> ComparingStore:
    assert isinstance(world.store, ComparingStore)
    return world.store


def test_the_end_of_a_step_of_a_run_and_of_its_callbacks() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b"), ok=[task("ok-c")]))
    for key in ("r/0", "r/1", "r"):
        both(world).begin_waiting(key, "ended")
    both(world).begin_waiting("r/0", "settled")
    # When
    left = []
    for path in ("/0", "/1", "/!success-0"):
        world.begin(path).done(1)
        left.append(len(both(world).waits))
    # Then
    assert left == [3, 1, 0]


def test_what_is_skipped_while_its_graph_goes_on() -> None:
    # Given
    world = World()
    nodes = {"a": task("bad-a"), "b": chain(task("ok-b")), "c": task("ok-c")}
    world.start(graph(nodes, {"b": ("a",)}, on_failure="continue"))
    world.begin("/c")
    both(world).begin_waiting("r/b", "ended")
    # When
    world.begin("/a").fails()
    # Then
    assert len(both(world).waits) == 0


def test_what_a_cancel_leaves_unbegun_while_a_body_runs() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    attempt = world.begin("/0")
    both(world).begin_waiting("r/0", "ended")
    both(world).begin_waiting("r/1", "ended")
    # When
    world.cancel()
    # Then
    assert len(both(world).waits) == 1
    attempt.released()
    assert len(both(world).waits) == 0


def test_the_removal_of_a_run_that_was_never_started() -> None:
    # Given
    world = World(policy=Policy(pending_ttl=10.0))
    world.create(task("ok-a"))
    both(world).begin_waiting("r", "settled")
    # When
    world.advance(10)
    # Then
    assert world.store.runs == {}
    assert len(both(world).waits) == 0


def test_the_end_of_what_was_continued_by_an_empty_swarm() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin().returns(task("ok-b"))
    both(world).begin_waiting("r~1", "ended")
    # When
    world.begin("~1").returns(swarm())
    # Then: it has no result of its own
    assert len(both(world).waits) == 0
