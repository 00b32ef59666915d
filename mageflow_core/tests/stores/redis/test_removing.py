"""What becomes of runs that are removed, and of what they leave."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comparing import ComparingStore, compared
from simulation import World, chain, swarm, task

from mageflow_conformance.servers import RedisServer
from mageflow_core.machine import Policy

WIDE = 3_000  # many times what one step removes


@pytest.fixture(scope="module", autouse=True)
def _comparing(_shared: RedisServer) -> Iterator[None]:
    with compared(_shared.url):
        yield


def both(world: World) -> ComparingStore:
    assert isinstance(world.store, ComparingStore)
    return world.store


def test_a_run_of_thousands_of_nodes_goes_bit_by_bit_and_wholly() -> None:
    # Given
    world = World(policy=Policy(result_ttl=10.0), watch=False)
    world.start(swarm(*[task("ok-item")] * WIDE, max_concurrency=None))
    world.settle_timers()
    world.cancel()
    # When
    world.clock.time += 10.0
    world.work()
    # Then
    assert world.store.runs == {}
    left = both(world).beside.dump()
    assert "{ns:1}:r:r" not in left, "it is still there"
    assert WIDE / 2 < len(left["{ns:1}:x:r"]) < WIDE * 2, "it has gone in one step, or not at all"
    both(world).assert_nothing_remains()


def test_a_body_that_outlives_its_run_leaves_no_claim() -> None:
    # Given
    world = World(policy=Policy(result_ttl=10.0, cancel_grace=5.0))
    world.start(chain(task("ok-a")))
    attempt = world.begin("/0")
    world.cancel()
    # When
    world.advance(20)
    # Then
    assert world.store.runs == {}
    assert attempt.done(1) == "no such run"
    both(world).assert_nothing_remains()
    assert both(world).ghosts == {}


@pytest.mark.parametrize("kind", ["sweep", "tell", "due", "unpark", "grace", "idle"])
def test_a_timer_of_a_removed_run_does_nothing_to_a_new_one_of_its_id(kind: str) -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    store = both(world)
    # When
    for path in ("", "/0", "/1", "/1/2"):
        store.beside.run(store.beside.fire("r", kind, path, known=False))
    # Then
    world.suspend()  # compares
    assert world.due_jobs() == ["/0"]
    assert store.beside.jobs == []
