"""A master of a Redis Cluster dies under load, and its replica takes its place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mageflow_conformance.flows import call
from mageflow_conformance.flows.load import load_on
from mageflow_conformance.flows.roles import start_key_id
from mageflow_conformance.history import check, collect
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.servers import RedisCluster, require_redis
from mageflow_conformance.servers.cluster import SLOTS
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, LOST
from mageflow_core import Mageflow, Run, Status, chain
from mageflow_core.errors import RunNotFound
from mageflow_core.names import split_key
from mageflow_core.stores.redis.keys import Keys

NODE_TIMEOUT = 1.0  # seconds
RESULTS = {
    "chain": {"n": 13},
    "swarm": [0, 1, 4, 9, 16, None, {"n": 11}, {"n": 2}],
    "graph": {"d": {"n": 2}},
    "nested": {"n": 250},
}
pytestmark = pytest.mark.timeout(150)


class Failing:
    """A cluster of which one master will die."""

    def __init__(self, cluster: RedisCluster, number: int = 1) -> None:
        self.url = cluster.url
        self._number = number
        self._cluster = cluster
        self._master = cluster.nodes[number]
        self._replica = cluster.nodes[cluster.masters + number]

    def has(self, namespace: str, run_id: str) -> bool:
        """Whether that master keeps this run."""
        slot = self._cluster.nodes[0].call("CLUSTER", "KEYSLOT", Keys(namespace).run(run_id))
        masters = self._cluster.masters
        first, last = (SLOTS * n // masters for n in (self._number, self._number + 1))
        return first <= int(slot) < last

    def cut_off(self) -> None:
        """From now on its replica gets nothing of what it acknowledges."""
        self._replica.call("CONFIG", "SET", "masterauth", "it has none, and refuses this")
        self._master.call("CLIENT", "KILL", "TYPE", "replica")

    def behind(self) -> int:
        """Bytes of acknowledged changes that the replica does not have."""
        has = int(self._replica.info("replication")["slave_repl_offset"])
        return int(self._master.info("replication")["master_repl_offset"]) - has

    async def dies(self) -> None:
        await asyncio.to_thread(self._master.kill)

    async def is_replaced(self) -> None:
        """Returns when the replica serves its slots."""
        others = [node for node in self._cluster.nodes if node is not self._master]

        def served() -> bool:
            if self._replica.info("replication")["role"] != "master":
                return False
            return all("cluster_state:ok" in str(node.call("CLUSTER", "INFO")) for node in others)

        await eventually(lambda: asyncio.to_thread(served), within=30, about="a failover")


@pytest.fixture
def failing() -> Iterator[Failing]:
    require_redis()
    with RedisCluster(replicas=1, persistence="aof", node_timeout=NODE_TIMEOUT) as cluster:
        yield Failing(cluster)


async def test_acknowledged_work_of_that_moment_is_lost_at_most_and_all_else_ends(
    make_site: Callable[..., Any], failing: Failing, ledger: Ledger, namespace: str
) -> None:
    # Given two processes that work, and flows that are started and end
    site = make_site(failing.url, lease=4.0)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    async with load_on(mf, ledger) as load:
        await load.grows()
        # When a master dies that has acknowledged more than its replica has
        failing.cut_off()
        await load.grows()
        assert failing.behind() > 0
        await failing.dies()
        await failing.is_replaced()
        await load.grows()
    # Then every flow of it ends that is not lost, with the right result
    store = await mf.opened()
    lost = []
    for name, run in load.started:
        touched = failing.has(namespace, run.id)
        if touched and await is_lost(run):
            lost.append(run)
            continue
        await run.settled(timeout=30)
        if name in RESULTS:
            assert await run.result() == RESULTS[name]
        else:
            assert await run.status() is Status.FAILED
        # And those on the other masters as if nothing had happened
        if not touched:
            assert check(await collect(store, run.id, ledger)) == []
    assert len(lost) < len(load.started) / 2
    # And what is lost is lost wholly, and says so
    found = {run.id async for run in every(mf)}
    assert found.isdisjoint(run.id for run in lost)
    for run in lost:
        with pytest.raises(RunNotFound, match=run.id):
            await run.status()
    # And nobody has run what was not started here
    started = {run.id for _, run in load.started}
    assert {split_key(row.key or "")[0] for row in ledger.of(BEGUN)} <= found | started


async def is_lost(run: Run[Any]) -> bool:
    try:
        await run.settled(timeout=30)
    except RunNotFound:
        return True
    return False


async def every(mf: Mageflow) -> AsyncIterator[Run[Any]]:
    """All runs of the namespace."""
    page = await mf.find()
    while True:
        for run in page:
            yield run
        if page.next is None:
            return
        page = await mf.find(after=page.next)


async def test_with_wait_replicas_nothing_is_lost_that_was_acknowledged(
    make_site: Callable[..., Any], failing: Failing, ledger: Ledger
) -> None:
    # Given flows whose steps count once a replica has them
    site = make_site(failing.url, wait_replicas=1)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    async with load_on(mf, ledger, at_once=4) as load:
        await load.grows()
        # When a master dies that has done more than its replica has, which nobody waits for longer
        failing.cut_off()
        await eventually(lambda: failing.behind() > 0, about="steps that no replica has")
        await failing.dies()
        await failing.is_replaced()
    # Then all of them end as if nothing had happened
    for _, run in load.started:
        await site.kept(run, within=40)
    assert ledger.of(LOST) == []


async def test_a_zombie_is_refused_though_the_failover_has_forgotten_its_claim(
    make_site: Callable[..., Any], failing: Failing, ledger: Ledger, namespace: str
) -> None:
    # Given a suspended run on a master, all of which its replica has
    site = make_site(failing.url, lease=3.0)
    zombie = await site.worker()
    mf = await site.watch()
    keys = (f"key-{number}" for number in range(1_000))
    key = next(key for key in keys if failing.has(namespace, start_key_id(mf, key)))
    flow = chain(call("doze", seconds=0.5).options(delay=1.0), call("noted"))
    run = await mf.start(flow, key=key)
    await run.suspend()
    await eventually(lambda: failing.behind() == 0, about="a replica that has all")
    # When it is resumed and claimed, which the replica does not hear of, by a process that freezes
    failing.cut_off()
    await run.resume()
    (first,) = await ledger.has(BEGUN, below=run.id)
    await zombie.freeze()
    await failing.dies()
    # And another process, which comes while nobody serves its part, ends it under the same fence
    other = await site.worker()
    await failing.is_replaced()
    assert await run.status() is Status.SUSPENDED
    await run.resume()
    await run.settled(timeout=30)
    _, second = ledger.of(BEGUN, task="doze")
    assert (first.pid, second.pid) == (zombie.pid, other.pid)
    assert (first.fence, second.fence) == (1, 1)
    # Then what the first one says late changes nothing
    zombie.thaw()
    await ledger.has(ENDED, 2, task="doze")
    await site.kept(await mf.start(call("step")))
    done = [event for event in await run.history() if (event.what, event.path) == ("done", "/0")]
    assert [event.worker for event in done] == [second.worker]
    assert (await run[0].view()).worker == second.worker
