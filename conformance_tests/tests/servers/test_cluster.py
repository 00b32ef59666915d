"""A Redis Cluster of a few servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mageflow_conformance.servers import RedisCluster, Wire, WireError, require_redis
from mageflow_conformance.servers.cluster import ClusterNode
from mageflow_conformance.waiting import eventually_sync

KEYS = [f"key-{n}" for n in range(12)]


@pytest.fixture(scope="module")
def shared_cluster() -> Iterator[RedisCluster]:
    require_redis()
    with RedisCluster(masters=3, replicas=1, persistence="aof", password="pw") as running:
        yield running


@pytest.fixture
def cluster(shared_cluster: RedisCluster) -> RedisCluster:
    """Every test finds all nodes running, in whatever roles."""
    shared_cluster.start()
    return shared_cluster


def test_a_cluster_serves_every_slot_also_after_all_its_nodes_were_killed(
    cluster: RedisCluster,
) -> None:
    # Given
    ports = [node.port for node in cluster.nodes]
    owners = {key: owner(cluster, key) for key in KEYS}
    for key, wire in owners.items():
        assert wire.call("SET", key, key.upper()) == "OK"
    assert len({id(wire) for wire in owners.values()}) > 1
    # When
    cluster.kill()
    cluster.start()
    # Then
    assert [node.port for node in cluster.nodes] == ports
    assert cluster.url == cluster.nodes[0].url
    assert [owner(cluster, key).call("GET", key) for key in KEYS] == [key.upper() for key in KEYS]


def test_a_cluster_is_paused_and_resumed_as_a_whole(cluster: RedisCluster) -> None:
    # When
    cluster.pause()
    # Then
    for node in cluster.nodes:
        with pytest.raises(TimeoutError):
            Wire(node.port, password="pw", timeout=0.1).call("PING")
    cluster.resume()
    cluster.wait_formed()


def test_a_replica_in_a_cluster_takes_over_from_a_master_that_was_killed(
    cluster: RedisCluster,
) -> None:
    # Given
    assert len(cluster.nodes) == 6
    replica = next(node for node in cluster.nodes if role(node) == "slave")
    master = next(node for node in cluster.nodes if str(node.port) == replica.info()["master_port"])
    # When
    master.kill()
    replica.take_over()
    # Then
    eventually_sync(lambda: role(replica) == "master", about="a replica that takes over")
    mine = [line for line in str(replica.call("CLUSTER", "NODES")).splitlines() if "myself" in line]
    assert mine[0].split()[-1] in ("0-5460", "5461-10921", "10922-16383")


def role(node: ClusterNode) -> str:
    return node.info("replication")["role"]


def owner(cluster: RedisCluster, key: str) -> Wire:
    """The node that has the slot of a key."""
    for node in cluster.nodes:
        wire = WIRES.setdefault(node.port, Wire(node.port, password="pw"))
        try:
            wire.call("GET", key)
        except WireError:
            continue
        return wire
    raise AssertionError(f"nobody has {key}")


WIRES: dict[int, Wire] = {}
