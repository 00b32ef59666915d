"""The comparison itself: it notices what is wrong, wherever that shows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from comparing import Limits, altered, compared
from simulation import World, chain, graph, run_now, swarm, task

from mageflow_conformance.servers import RedisServer
from mageflow_core.errors import StoreError


@pytest.fixture(scope="module", autouse=True)
def _comparing(_shared: RedisServer) -> Iterator[None]:
    with compared(_shared.url):
        yield


def play() -> None:
    """A little of everything."""
    flow = graph(
        {
            "load": chain(task("ok-a"), task("flaky-b")),
            "each": swarm(task("bad-c"), task("ok-d"), max_concurrency=1, ok=[task("ok-e")]),
            "last": task("bad-f", err=[task("ok-g")]),
        },
        {"last": ("load",)},
    )
    world = World()
    world.start(flow, {"n": 1})
    world.interrupt()
    world.work()
    world.resume()
    world.interrupt("/load/0")
    world.suspend("/load/0")
    world.serve()
    world.resume("/load/0")
    world.work()
    run_now(world.store.unknown("r/load/0"))
    attempt = world.begin("/load/0")
    world.cancel("/load/0")
    attempt.released()
    world.retry("/load")
    world.finish()


def test_what_is_the_same_in_both_passes() -> None:
    play()


@pytest.mark.parametrize(
    ("part", "text", "by"),
    [
        ("effects", "UNCONFIRMED = 10000", "UNCONFIRMED = 10001"),
        ("effects", "SOON = 15000", "SOON = 0"),
        ("confirm", "60000, 3600000", "60001, 3600000"),
        ("above", "suspend = 1, interrupt = 2", "suspend = 2, interrupt = 1"),
        ("children", "KEPT_FAILURES = 10", "KEPT_FAILURES = 0"),
        ("index", "'interrupted' or 'suspended'", "'suspended' or 'interrupted'"),
    ],
)
def test_what_differs_is_noticed(part: str, text: str, by: str) -> None:
    # Given
    with altered(part, text, by), pytest.raises(AssertionError, match=r"in Redis|published"):
        # When
        play()


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("making", "signatures = {}"),
        ("draft", "draft.texts = {}"),
        ("draft", "draft.nodes = {}"),
        ("draft", "draft.changed = {}"),
        ("draft", "draft.writes = {}"),
        ("effects", "effects.events, effects.signals, effects.parked = nil, nil, nil"),
        ("effects", "effects.ended = nil"),
    ],
)
def test_what_a_step_leaves_to_the_next_of_its_call_is_noticed(part: str, text: str) -> None:
    # Given
    names, values = (words.split(", ") for words in text.split(" = "))
    kept = (f"{name} or {value}" for name, value in zip(names, values, strict=True))
    with (
        Limits(company=True).hold(),
        altered(part, text, f"{', '.join(names)} = {', '.join(kept)}"),
        pytest.raises((AssertionError, StoreError)),
    ):
        # When
        play()


def test_steps_that_share_a_call_do_as_they_do_alone() -> None:
    with Limits(company=True).hold():
        play()


def test_a_key_that_does_not_belong_there_is_noticed() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    # When
    world.store.beside._client.set("{ns:0}:v:r/0", "1")  # type: ignore[attr-defined] # of a `World`
    # Then
    with pytest.raises(AssertionError, match="nothing explains"):
        world.suspend()
