"""Flows on a Redis Cluster of three servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mageflow_conformance.flows import SHAPES, call
from mageflow_conformance.history import steer
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.servers import RedisCluster, require_redis
from mageflow_conformance.witness import BEGUN, ENDED
from mageflow_core import Status, chain, swarm

RUNS = 6  # of each shape, so that each server has some
EXPECTED = {
    "chain": {"n": 13},
    "swarm": [0, 1, 4, 9, 16, None, {"n": 11}, {"n": 2}],
    "graph": {"d": {"n": 2}},
    "nested": {"n": 250},
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[RedisCluster]:
    require_redis()
    with RedisCluster() as cluster:
        yield cluster


def holders(cluster: RedisCluster, namespace: str) -> int:
    """How many servers have runs of this namespace."""
    return sum(bool(node.call("KEYS", f"{{{namespace}:*}}:r:*")) for node in cluster.nodes)


async def test_flows_of_every_kind_end_with_their_callbacks(
    make_site: Callable[..., Any], cluster: RedisCluster, ledger: Ledger, namespace: str
) -> None:
    # Given two processes that work on a cluster
    site = make_site(cluster.url)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    # When flows of every kind are started
    started = [
        (name, await mf.start(shape(), {"n": 1}, labels={"shape": name}))
        for name, shape in SHAPES.items()
        for _ in range(RUNS)
    ]
    # Then all servers have some of them, and all end as they do elsewhere
    assert holders(cluster, namespace) == len(cluster.nodes)
    for name, run in started:
        await site.kept(run)
        if name in EXPECTED:
            assert await run.result() == EXPECTED[name]
        else:
            assert await run.status() is Status.FAILED
    # And they are found by what they are and how they ended, in pages
    of_chains = await mf.find(labels={"shape": "chain"}, limit=4)
    rest = await mf.find(labels={"shape": "chain"}, limit=4, after=of_chains.next)
    chains = {run.id for name, run in started if name == "chain"}
    assert {run.id for run in [*of_chains, *rest]} == chains
    assert len(await mf.find(status="failed")) == RUNS
    store = await mf.opened()
    counts = await store.counts()
    assert (counts[Status.DONE], counts[Status.FAILED]) == (RUNS * len(EXPECTED), RUNS)


async def test_runs_are_steered_on_each_server(
    make_site: Callable[..., Any], cluster: RedisCluster, ledger: Ledger
) -> None:
    site = make_site(cluster.url)
    await site.worker()
    mf = await site.watch()
    items = [call("item", i=i, pace=0.02) for i in range(40)]
    for _ in range(RUNS):
        # Given a flow that runs, and one that sleeps
        run = await mf.start(chain(swarm(items, max_concurrency=4), call("total")))
        sleeping = await mf.start(call("sleep"))
        await ledger.has(BEGUN, 4, below=run.id)
        await ledger.has(BEGUN, below=sleeping.id)
        # When they are suspended and resumed, and canceled
        assert await steer(ledger, run, "suspend")
        assert await run.status() is Status.SUSPENDED
        assert await steer(ledger, sleeping, "cancel")
        assert await steer(ledger, run, "resume")
        # Then the one ends, and the other is stopped
        await site.kept(sleeping)
        assert await sleeping.status() is Status.CANCELED
        await site.kept(run)
        assert len(ledger.of(ENDED, below=run.id)) == len(items) + 1
