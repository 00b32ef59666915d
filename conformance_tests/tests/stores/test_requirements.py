"""The project's own stores meet the requirements."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from mageflow_conformance.servers import RedisCluster, RedisServer, require_redis
from mageflow_conformance.stores import (
    MemoryHarness,
    Outcome,
    RedisHarness,
    Requirement,
    StoreHarness,
    requirements,
    run_all,
)
from mageflow_core.stores.redis import store as redis_store
from mageflow_core.stores.redis.steps import Steps

# Those of HARNESSES that are tried.
STORES = ("memory", "redis", "redis cluster")

# Requirements that do not apply; what holds instead is tried.
NOT_APPLICABLE = {
    "memory": {
        "S-AWAY-01",
        "S-LAST-01",
        "S-LAST-02",
        "S-LOST-05",
        "S-LOST-06",
        "S-OUTBOX-08",
        "S-SHARE-01",
        "S-TWIN-01",
        "S-WORKER-02",
    },
    "redis": set[str](),
    "redis cluster": set[str](),
}


@contextmanager
def memory() -> Iterator[StoreHarness]:
    yield MemoryHarness("memory://")


@contextmanager
def redis() -> Iterator[StoreHarness]:
    require_redis()
    with RedisServer(persistence="aof") as server:
        yield RedisHarness.on(server)


@contextmanager
def redis_cluster() -> Iterator[StoreHarness]:
    require_redis()
    with RedisCluster(persistence="aof") as cluster:
        yield RedisHarness.on(cluster)


HARNESSES: dict[str, Callable[[], AbstractContextManager[StoreHarness]]] = {
    "memory": memory,
    "redis": redis,
    "redis cluster": redis_cluster,
}


class Tried:
    """Outcomes by store and id. Those of a store are tried together, at the first question."""

    def __init__(self, wanted: dict[str, list[Requirement]]) -> None:
        self._wanted = wanted
        self._outcomes: dict[str, dict[str, Outcome]] = {}

    def outcome(self, store: str, requirement: Requirement) -> Outcome:
        if store not in self._outcomes:
            self._outcomes[store] = asyncio.run(self._try(store))
        return self._outcomes[store][requirement.id]

    async def _try(self, store: str) -> dict[str, Outcome]:
        left = vars(redis_store)["Steps"] is not Steps
        assert not left, "another test has left the stores of this process hastened"
        with HARNESSES[store]() as harness:
            return {each.id: each async for each in run_all(harness, self._wanted[store])}


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Tried:
    """Only what was selected is tried."""
    wanted: dict[str, list[Requirement]] = {}
    for item in request.session.items:
        callspec = getattr(item, "callspec", None)
        if callspec is not None and {"store", "requirement"} <= callspec.params.keys():
            store, requirement = callspec.params["store"], callspec.params["requirement"]
            wanted.setdefault(store, []).append(requirement)
    return Tried(wanted)


@pytest.mark.timeout(300)  # the first of a store waits for all of them
@pytest.mark.parametrize("requirement", requirements(), ids=lambda each: each.id)
@pytest.mark.parametrize("store", STORES)
def test_a_store_meets_a_requirement(tried: Tried, store: str, requirement: Requirement) -> None:
    # When
    outcome = tried.outcome(store, requirement)
    # Then
    expected = "not applicable" if requirement.id in NOT_APPLICABLE[store] else "passed"
    assert outcome.state == expected, f"{requirement.text}\n{outcome.reason}\n{outcome.details}"
    assert outcome.calls > 0


def test_the_harnesses_are_those_of_known_stores() -> None:
    assert set(STORES) <= set(HARNESSES) == set(NOT_APPLICABLE)
