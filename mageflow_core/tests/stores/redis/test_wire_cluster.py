"""A cluster: every call goes to the server that has the slot, also while slots and servers move."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from redis.crc import key_slot

from mageflow_conformance.servers import Aio, RedisCluster, RedisServer, require_redis
from mageflow_conformance.waiting import eventually, eventually_sync
from mageflow_core.errors import SettingsError, StoreUnavailable
from mageflow_core.stores.redis.connecting import Address, _TcpConnection
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.wire import Wire

OpenWire = Callable[..., Any]
MakeScript = Callable[..., Script]
KEYS = [f"{{ns:{n}}}:k" for n in range(64)]


@pytest.fixture(scope="module")
def _cluster() -> Iterator[RedisCluster]:
    require_redis()
    with RedisCluster(masters=3) as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: RedisCluster) -> RedisCluster:
    for server in _cluster.nodes:
        server.call("FLUSHALL")
        server.call("SCRIPT", "FLUSH")
    return _cluster


def owner(cluster: RedisCluster, slot: int) -> Any:
    """The node that has a slot, as the first one of all sees it."""
    for first, last, master, *_ in cluster.nodes[0].call("CLUSTER", "SLOTS"):
        if first <= slot <= last:
            return next(node for node in cluster.nodes if node.port == master[1])
    raise AssertionError(f"nobody has slot {slot}")


def another(cluster: RedisCluster, node: RedisServer) -> Any:
    return next(each for each in cluster.nodes if each is not node)


def view(node: RedisServer) -> list[tuple[str, ...]]:
    """Who has what since when, as one node sees it."""
    lines = str(node.call("CLUSTER", "NODES")).splitlines()
    return sorted((id_, *more[5:6], *more[7:]) for id_, *more in map(str.split, lines))


def agree(cluster: RedisCluster) -> bool:
    """Whether all nodes see the same: until then a slot that has moved may go back."""
    first, *others = (view(node) for node in cluster.nodes)
    return all(other == first for other in others)


def grown(replies: list[str], count: int) -> bool:
    return len(replies) >= count


class Moving:
    """Moves the slot of a key to another node, in the steps that administrators' tools take."""

    def __init__(self, cluster: RedisCluster, key: str) -> None:
        self.cluster = cluster
        eventually_sync(lambda: agree(cluster), within=15)
        self.slot = key_slot(key.encode())
        self.source = owner(cluster, self.slot)
        self.target = another(cluster, self.source)

    def begin(self) -> None:
        self.target.call("CLUSTER", "SETSLOT", self.slot, "IMPORTING", self.source.id)
        self.source.call("CLUSTER", "SETSLOT", self.slot, "MIGRATING", self.target.id)

    def move(self, *keys: str) -> None:
        host, port = "127.0.0.1", self.target.port
        assert self.source.call("MIGRATE", host, port, "", 0, 5000, "KEYS", *keys) == "OK"

    def end(self) -> None:
        keys = self.source.call("CLUSTER", "GETKEYSINSLOT", self.slot, 100)
        if keys:
            self.move(*keys)
        for node in (self.target, self.source, *self.cluster.nodes):
            node.call("CLUSTER", "SETSLOT", self.slot, "NODE", self.target.id)
        eventually_sync(lambda: agree(self.cluster), within=15)


async def test_calls_go_to_the_server_that_has_the_slot(
    cluster: RedisCluster, open_wire: OpenWire, once: Script
) -> None:
    # Given a wire that knows one server of a cluster
    wire = await open_wire(cluster.url)
    # When keys of all slots are used
    replies = await asyncio.gather(*(wire.call(once, key, "a") for key in KEYS))
    # Then each server has its own, and nobody was sent elsewhere
    assert replies == ["a:1"] * len(KEYS)
    assert wire.clustered
    for node in cluster.nodes:
        assert node.call("DBSIZE") > 0
        assert "errorstat_MOVED" not in node.info("errorstats")


async def test_plain_commands_go_to_the_server_that_has_the_slot(
    cluster: RedisCluster, open_wire: OpenWire
) -> None:
    wire = await open_wire(cluster.url)
    for key in KEYS:
        assert await wire.command("SET", key, "a", key=key) == "OK"
    sizes = await wire.everywhere("DBSIZE")
    assert len(sizes) == 3
    assert sum(sizes) == len(KEYS)
    assert {address.port for address in wire.addresses()} == {node.port for node in cluster.nodes}


async def test_all_calls_of_one_turn_go_out_in_one_write_for_each_server(
    cluster: RedisCluster, open_wire: OpenWire, once: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a wire that is connected to all servers
    wire = await open_wire(cluster.url)
    await asyncio.gather(*(wire.call(once, key, "a") for key in KEYS))
    writes = []
    write = _TcpConnection.write

    def watched(self: _TcpConnection, data: bytes) -> None:
        writes.append(self.port)
        write(self, data)

    monkeypatch.setattr(_TcpConnection, "write", watched)
    # When calls for all of them are made in one turn
    await asyncio.gather(*(wire.call(once, key, "b") for key in KEYS))
    # Then each was written to once
    assert sorted(writes) == sorted(node.port for node in cluster.nodes)


async def test_a_slot_that_has_moved_is_followed(
    cluster: RedisCluster, open_wire: OpenWire, once: Script
) -> None:
    # Given a wire that knows who has two slots
    key, other = KEYS[0], KEYS[10]
    wire = await open_wire(cluster.url)
    assert await wire.call(once, key, "a") == "a:1"
    # When they move to other servers
    for each in (other, key):
        moving = Moving(cluster, each)
        moving.begin()
        moving.end()
    # Then calls go there, and the wire has learned it
    assert await wire.call(once, key, "b") == "b:2"
    assert wire._slots.place(key).port == moving.target.port
    before = moving.source.info("errorstats")["errorstat_MOVED"]
    assert await wire.call(once, key, "c") == "c:3"
    assert moving.source.info("errorstats")["errorstat_MOVED"] == before
    # And all that has moved besides
    port = owner(cluster, key_slot(other.encode())).port
    await eventually(lambda: wire._slots.place(other).port == port)


async def test_calls_go_on_while_slots_move(
    cluster: RedisCluster, open_wire: OpenWire, once: Script
) -> None:
    # Given callers
    wire = await open_wire(cluster.url)
    stop = False
    replies: dict[str, list[str]] = {key: [] for key in KEYS[:8]}

    async def call(key: str) -> None:
        while not stop:
            number = len(replies[key]) + 1
            replies[key].append(await wire.call(once, key, number))

    work = asyncio.gather(*(call(key) for key in replies))
    # When slots move to other servers and are half-way for a while
    for key in KEYS[:4]:
        moving = await asyncio.to_thread(Moving, cluster, key)
        await asyncio.to_thread(moving.begin)
        await eventually(partial(grown, replies[KEYS[5]], len(replies[KEYS[5]]) + 20))
        await asyncio.to_thread(moving.end)
    await eventually(partial(grown, replies[KEYS[0]], len(replies[KEYS[0]]) + 20))
    stop = True
    await work
    # Then every call was answered, and done once
    for found in replies.values():
        assert found == [f"{n}:{n}" for n in range(1, len(found) + 1)]


async def test_a_step_waits_while_its_slot_is_half_way(
    cluster: RedisCluster, open_wire: OpenWire, make_script: MakeScript
) -> None:
    # Given a step that takes two keys of one slot, of which one was moved already
    first, second = "{ns:9}:first", "{ns:9}:second"
    wire = await open_wire(cluster.url)
    add = make_script(
        "return {redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[1] .. ARGV[1])}"
    )
    await wire.command("SET", first, 10, key=first)
    await wire.command("SET", second, 20, key=second)
    read = make_script("return {redis.call('GET', KEYS[1]), redis.call('GET', ARGV[1])}")
    assert await wire.call(read, first, second) == ["10", "20"]
    moving = Moving(cluster, first)
    moving.begin()
    moving.move(first)
    # When it is asked for
    one = asyncio.create_task(wire.call(read, first, second))
    other = asyncio.create_task(wire.call(read, second, first))
    await eventually(lambda: wire._node_at(wire._slots.place(first))._troubles >= 2)
    assert not one.done()
    assert not other.done()
    moving.end()
    # Then it waits until all of them are in one place
    assert await one == ["10", "20"]
    assert await other == ["20", "10"]
    assert await wire.call(add, first, "x") == [11, 1]


async def test_who_may_not_ask_for_slots_is_told_by_the_servers(
    cluster: RedisCluster, open_wire: OpenWire, once: Script
) -> None:
    # Given a user who may not ask who has which slot
    for node in cluster.nodes:
        node.call("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-cluster")
    wire = await open_wire(cluster.url.replace("redis://", "redis://app:pw@"))
    # When keys of all slots are used, twice
    await asyncio.gather(*(wire.call(once, key, "a") for key in KEYS))
    errors = [node.info("errorstats").get("errorstat_MOVED") for node in cluster.nodes]
    replies = await asyncio.gather(*(wire.call(once, key, "b") for key in KEYS))
    # Then they were found, and remembered
    assert replies == ["b:2"] * len(KEYS)
    assert [node.info("errorstats").get("errorstat_MOVED") for node in cluster.nodes] == errors


async def test_a_replica_that_takes_its_masters_place_is_followed(
    open_wire: OpenWire, once: Script
) -> None:
    # Given a cluster whose masters have replicas, and callers
    require_redis()
    async with Aio(RedisCluster(masters=3, replicas=1, node_timeout=1.0)) as aio:
        cluster = aio.sync
        wire = await open_wire(cluster.url, patience=20)
        replies = await asyncio.gather(*(wire.call(once, key, "a") for key in KEYS))
        assert replies == ["a:1"] * len(KEYS)
        master, replica = cluster.nodes[1], cluster.nodes[4]
        await eventually(lambda: replica.call("DBSIZE") == master.call("DBSIZE"))
        # When a master is killed with calls on their way, and its replica takes its place
        tasks = [asyncio.create_task(wire.call(once, key, "b")) for key in KEYS]
        await asyncio.to_thread(master.kill)
        everywhere = asyncio.create_task(wire.everywhere("PING"))
        await asyncio.to_thread(replica.take_over)
        # Then all are answered, also those for the one that is gone, and later ones too
        replies = await asyncio.gather(*tasks)
        assert replies == ["b:2"] * len(KEYS)
        assert await everywhere == ["PONG"] * 3
        assert await asyncio.gather(*(wire.call(once, key, "c") for key in KEYS))
        assert master.port not in {address.port for address in wire.addresses()}
        await eventually(lambda: master.port not in {place.port for place in wire._nodes})
        await wire.close()


async def test_a_server_that_is_cut_off_from_the_others_is_left(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a server that lost touch with the cluster, where another one has its slots by now
    def lonely(words: list[str]) -> str:
        if words[0] == "CLUSTER":
            return slots((0, 8191, cut_off.port), (8192, 16383, other.port))
        return "-CLUSTERDOWN The cluster is down"

    def healthy(words: list[str]) -> str:
        if words[0] == "CLUSTER":
            return slots((0, 16383, other.port))
        return "+" + words[-1]

    async with fake(lonely) as cut_off, fake(healthy) as other:
        wire = await open_wire(cut_off.url)
        key = next(key for key in KEYS if key_slot(key.encode()) < 8192)
        # When it is called
        # Then the others are asked, and the call goes there
        assert await wire.call(echo, key, "a") == "a"
        assert wire.addresses() == [Address.parse(other.url)]
        await wire.close()


def slots(*ranges: tuple[int, int, int]) -> str:
    """A reply to CLUSTER SLOTS, in the protocol's words."""
    lines = [f"*{len(ranges)}"]
    for first, last, port in ranges:
        lines += ["*3", f":{first}", f":{last}", "*2", "$9", "127.0.0.1", f":{port}"]
    return "\r\n".join(lines)


async def test_a_server_that_is_gone_for_good_is_named(open_wire: OpenWire, once: Script) -> None:
    # Given a cluster of which one server is killed
    require_redis()
    async with Aio(RedisCluster(masters=3)) as aio:
        cluster = aio.sync
        for node in cluster.nodes:
            node.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        wire = await open_wire(cluster.url, patience=1)
        await asyncio.gather(*(wire.call(once, key, "a") for key in KEYS))
        gone = cluster.nodes[2]
        await asyncio.to_thread(gone.kill)
        # When keys of all slots are used
        replies = await asyncio.gather(
            *(wire.call(once, key, "b") for key in KEYS), return_exceptions=True
        )
        # Then those of the others are answered, and errors name the one
        failed = [each for each in replies if isinstance(each, StoreUnavailable)]
        assert 0 < len(failed) < len(KEYS)
        assert all(f"127.0.0.1:{gone.port}" in str(each) for each in failed)
        assert set(replies) - set(failed) == {"b:2"}
        await wire.close()


async def test_a_cluster_has_one_database(cluster: RedisCluster) -> None:
    wire = Wire(Address.parse(cluster.url.removesuffix("/0") + "/1"), patience=10)
    with pytest.raises(SettingsError, match="a cluster has database 0 only"):
        await wire.open()
