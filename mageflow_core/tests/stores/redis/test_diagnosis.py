"""What a server can and cannot promise is told, with what to do about it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from mageflow_conformance.servers import RedisCluster, RedisReplica, RedisServer, require_redis
from mageflow_conformance.waiting import eventually, eventually_sync
from mageflow_core.errors import StoreUnavailable, StoreUnsuitable
from mageflow_core.stores.protocol import Finding
from mageflow_core.stores.redis import diagnosis
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.diagnosis import examine, refuse_evicting
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.serverinfo import Server, judge
from mageflow_core.stores.redis.wire import Wire

OpenWire = Callable[..., Any]
MakeServer = Callable[..., RedisServer]
MakeScript = Callable[..., Script]
SUBJECTS = ["server", "persistence", "eviction", "memory", "replicas"]
TRIED = ["latency", "clock", "scripts", "signals"]
SOUND = {
    "redis_version": "7.0.15",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "rdb_last_bgsave_status": "ok",
    "maxmemory_policy": "noeviction",
    "maxmemory": "1000000000",
    "used_memory": "1000000",
    "role": "master",
    "connected_slaves": "0",
}
ALWAYS = {"appendfsync": "always", "save": ""}


def judged(
    info: dict[str, str] | None = None,
    settings: dict[str, str] | None = None,
    wait_replicas: int = 0,
) -> dict[str, Finding]:
    """What is said of a server that is sound but for what is given."""
    server = Server("", SOUND | (info or {}))
    found = judge(server, ALWAYS if settings is None else settings, wait_replicas)
    return {finding.subject: finding for finding in found}


def by_subject(findings: list[Finding]) -> dict[str, Finding]:
    found = {finding.subject: finding for finding in findings}
    assert len(found) == len(findings)
    return found


# --- what servers say of themselves ---------------------------------------------------------------
def test_a_sound_server_is_ok() -> None:
    found = judged()
    assert list(found) == SUBJECTS
    assert {finding.state for finding in found.values()} == {"ok"}
    assert {finding.advice for finding in found.values()} == {""}
    assert found["server"].text == "Redis 7.0.15"


class Case(NamedTuple):
    subject: str
    state: str
    text: str
    advice: str
    info: dict[str, str]
    settings: dict[str, str] = ALWAYS


NO_FILE = {"aof_enabled": "0"}
CASES = [
    Case("server", "problem", "Redis 6.0.9 is too old", "6.2", {"redis_version": "6.0.9"}),
    Case("server", "problem", "too old", "6.2", {"redis_version": "what"}),
    Case("persistence", "warning", "the last second", "always", {}, {"appendfsync": "everysec"}),
    Case("persistence", "warning", "half a minute", "everysec", {}, {"appendfsync": "no"}),
    Case("persistence", "warning", "may not ask", "always or everysec", {}, {}),
    Case("persistence", "warning", "(save 3600 1)", "appendonly yes", NO_FILE, {"save": "3600 1"}),
    Case("persistence", "warning", "no append-only file", "appendonly yes", NO_FILE, {}),
    Case("persistence", "warning", "runs go with the server", "yes", NO_FILE, {"save": ""}),
    Case("persistence", "problem", "has failed", "room", {"aof_last_write_status": "err"}),
    Case("persistence", "problem", "has failed", "room", {"rdb_last_bgsave_status": "err"}),
    Case("eviction", "problem", "allkeys-lru", "noeviction", {"maxmemory_policy": "allkeys-lru"}),
    Case("eviction", "warning", "no expiry", "noeviction", {"maxmemory_policy": "volatile-ttl"}),
    Case("memory", "warning", "850 MB of 1 GB", "maxmemory", {"used_memory": "850000000"}),
    Case("memory", "problem", "990 MB of 1 GB", "result_ttl", {"used_memory": "990000000"}),
    Case(
        "memory",
        "problem",
        "1.9 kB of 2 kB are used; maxmemory is not set",
        "maxmemory",
        {"maxmemory": "0", "total_system_memory": "2000", "used_memory": "1900"},
    ),
    Case("replicas", "problem", "is a replica", "master", {"role": "slave"}),
    Case("replicas", "warning", "1 replica, none", "wait_replicas", {"connected_slaves": "1"}),
    Case("replicas", "warning", "2 replicas, none", "to 1", {"connected_slaves": "2"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.subject}: {case.text}")
def test_what_is_not_sound_is_told_with_what_to_do(case: Case) -> None:
    found = judged(case.info, case.settings)
    assert found[case.subject].state == case.state
    assert case.text in found[case.subject].text
    assert case.advice in found[case.subject].advice
    assert {other.state for subject, other in found.items() if subject != case.subject} == {"ok"}


@pytest.mark.parametrize(
    ("info", "wanted", "subject", "text"),
    [
        ({"valkey_version": "8.1.0"}, 0, "server", "Valkey 8.1.0"),
        ({"redis_version": "6.2.0"}, 0, "server", "Redis 6.2.0"),
        ({"redis_version": "255.255.255"}, 0, "server", "Redis 255.255.255"),
        ({"connected_slaves": "1"}, 1, "replicas", "1 replica, 1 waited for"),
        ({"maxmemory": "0"}, 0, "memory", "1 MB are used; maxmemory is not set"),
        ({"used_memory": "12"}, 0, "memory", "12 bytes of 1 GB are used"),
        ({"maxmemory": "4000000000000"}, 0, "memory", "1 MB of 4 TB are used"),
    ],
)
def test_what_is_sound_is_told(info: dict[str, str], wanted: int, subject: str, text: str) -> None:
    found = judged(info, wait_replicas=wanted)[subject]
    assert (found.state, found.text) == ("ok", text)


def test_replicas_that_are_waited_for_and_not_there_are_a_problem() -> None:
    found = judged({"connected_slaves": "1"}, wait_replicas=2)["replicas"]
    assert found.state == "problem"
    assert "wait_replicas is 2" in found.text


def test_one_of_several_servers_is_named() -> None:
    [first, *_] = judge(Server("host:1", SOUND), ALWAYS, 0)
    assert first.text == "host:1: Redis 7.0.15"


# --- real servers ---------------------------------------------------------------------------------
async def test_a_server_that_keeps_everything_is_ok(
    make_server: MakeServer, open_wire: OpenWire, echo: Script, make_script: MakeScript
) -> None:
    # Given a server as it should be, and two scripts of which one was used
    server = make_server(persistence="aof", maxmemory="100mb")
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "a")
    # When it is examined
    found = by_subject(await examine(wire, [echo, make_script("return 2")]))
    # Then everything is ok, and nothing was left behind
    assert list(found) == SUBJECTS + TRIED
    assert {finding.state for finding in found.values()} == {"ok"}
    assert found["persistence"].text.startswith("appendfsync always")
    assert found["scripts"].text.startswith("1 of 2 are loaded")
    assert found["latency"].text.endswith("ms for a round trip")
    assert server.call("DBSIZE") == 0
    assert server.call("CLIENT", "LIST", "TYPE", "pubsub") == ""
    await refuse_evicting(wire)


async def test_how_often_a_server_writes_is_asked(
    make_server: MakeServer, open_wire: OpenWire
) -> None:
    server = make_server(persistence="aof")
    wire = await open_wire(server.url)
    for fsync in ("always", "everysec", "no"):
        server.call("CONFIG", "SET", "appendfsync", fsync)
        assert f"appendfsync {fsync}" in by_subject(await examine(wire))["persistence"].text
    server.call("CONFIG", "SET", "appendonly", "no")
    assert "nothing is written" in by_subject(await examine(wire))["persistence"].text
    server.call("CONFIG", "SET", "save", "60 1")
    assert "save 60 1" in by_subject(await examine(wire))["persistence"].text


async def test_a_user_who_may_ask_nothing_is_told_so(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a user with the rights that the store needs, and no others
    rules = "resetchannels ~{app:* &app:* +evalsha +script|load +get"
    server = make_server(persistence="aof", users={"app": ("pw", rules)})
    wire = await open_wire(server.url_of("app"))
    # When the server is examined
    found = by_subject(await examine(wire, [echo], namespace="app"))
    # Then each thing that could not be asked for is a warning, which says how to allow it
    assert list(found) == ["server", *TRIED]
    assert {finding.state for finding in found.values()} == {"warning"}
    assert "+info" in found["server"].advice
    assert "+script|exists" in found["scripts"].advice
    assert "+time" in found["clock"].advice
    assert "&app:*" in found["signals"].advice
    await refuse_evicting(wire)


async def test_a_user_who_may_not_ask_for_settings_is_told_what_is_known(
    make_server: MakeServer, open_wire: OpenWire
) -> None:
    server = make_server(persistence="aof", users={"app": ("pw", "~* &* +@all -config")})
    wire = await open_wire(server.url_of("app"))
    found = by_subject(await examine(wire))
    assert list(found) == SUBJECTS + TRIED
    assert found["persistence"].state == "warning"
    assert "may not ask" in found["persistence"].text


async def test_a_channel_that_a_user_may_not_use_is_found(
    make_server: MakeServer, open_wire: OpenWire
) -> None:
    server = make_server(users={"app": ("pw", "resetchannels ~* &other:* +@all")})
    wire = await open_wire(server.url_of("app"))
    found = by_subject(await examine(wire, namespace="app"))["signals"]
    assert found.state == "warning"
    assert "NOPERM" in found.text


async def test_signals_that_are_not_heard_are_found(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer, open_wire: OpenWire
) -> None:
    # Given a server where what is published goes astray
    monkeypatch.setattr(diagnosis, "HEARD_WITHIN", 0.1)
    wire = await open_wire(server.url)
    command = wire.command

    async def astray(*words: str, key: str) -> Any:
        return 0 if words[0] == "PUBLISH" else await command(*words, key=key)

    monkeypatch.setattr(wire, "command", astray)
    # When it is examined
    found = by_subject(await examine(wire))["signals"]
    # Then that is found
    assert (found.state, "was not heard" in found.text) == ("warning", True)


async def test_a_slow_server_is_found(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer, open_wire: OpenWire
) -> None:
    monkeypatch.setattr(diagnosis, "SLOW", 0.0)
    wire = await open_wire(server.url)
    found = by_subject(await examine(wire))["latency"]
    assert (found.state, "nearer" in found.advice) == ("warning", True)


@pytest.mark.parametrize("skew", [300.0, -300.0])
async def test_a_wrong_clock_is_found(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer, open_wire: OpenWire, skew: float
) -> None:
    wire = await open_wire(server.url)
    now = time.time
    monkeypatch.setattr("mageflow_core.stores.redis.diagnosis.time.time", lambda: now() + skew)
    found = by_subject(await examine(wire))["clock"]
    assert found.state == "warning"
    assert "300.0 s" in found.text or "299.9 s" in found.text
    assert "NTP" in found.advice


async def test_a_server_that_is_full_of_scripts_is_found(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer, open_wire: OpenWire
) -> None:
    monkeypatch.setattr(diagnosis, "MANY_SCRIPTS", 3)
    wire = await open_wire(server.url)
    for n in range(4):
        server.call("EVAL", f"return {n}", 0)
    found = by_subject(await examine(wire))["scripts"]
    assert (found.state, "4 are in the server's memory" in found.text) == ("warning", True)


async def test_replicas_are_counted(make_server: MakeServer, open_wire: OpenWire) -> None:
    # Given a server with a replica
    master = make_server(config={"repl-diskless-sync-delay": "0"})
    with RedisReplica(of=master) as replica:
        eventually_sync(lambda: "state=online" in master.info("replication")["slave0"])
        # When both are examined
        wire = await open_wire(master.url, replicas=1)
        found = by_subject(await examine(wire))["replicas"]
        other = await open_wire(replica.url)
        theirs = by_subject(await examine(other))["replicas"]
        # Then the one has a replica, and the other is one
        assert (found.state, found.text) == ("ok", "1 replica, 1 waited for")
        assert theirs.state == "problem"
        await wire.close()
        await other.close()


async def test_the_servers_of_a_cluster_are_examined_one_by_one(open_wire: OpenWire) -> None:
    # Given a cluster
    require_redis()
    with RedisCluster(masters=3) as cluster:
        for node in cluster.nodes:
            node.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        cluster.nodes[1].call("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
        wire = await open_wire(cluster.url, patience=1)
        # When it is examined
        found = await examine(wire)
        # Then each server is, and the whole, and the one that evicts is named
        assert len([finding for finding in found if finding.subject == "eviction"]) == 3
        [evicting] = [finding for finding in found if "allkeys-lfu" in finding.text]
        assert evicting.text.startswith(f"127.0.0.1:{cluster.nodes[1].port}: ")
        [whole] = [finding for finding in found if finding.subject == "cluster"]
        assert (whole.state, whole.text) == ("ok", "3 masters, all slots served")
        with pytest.raises(StoreUnsuitable, match="allkeys-lfu"):
            await refuse_evicting(wire)
        # And slots that nobody serves are found
        slot = cluster.nodes[0].call("CLUSTER", "SLOTS")[0][0]
        for node in cluster.nodes:
            node.call("CLUSTER", "DELSLOTS", slot)
        [whole] = [finding for finding in await examine(wire) if finding.subject == "cluster"]
        assert whole.state == "problem"
        assert "16383 of 16384 slots served" in whole.text
        await wire.close()


# --- refusing -------------------------------------------------------------------------------------
@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random"])
async def test_a_server_that_evicts_is_refused(
    make_server: MakeServer, open_wire: OpenWire, policy: str
) -> None:
    server = make_server(maxmemory_policy=policy, password="s3cr3t")
    wire = await open_wire(server.url)
    with pytest.raises(StoreUnsuitable, match=f"{policy}.*noeviction") as failed:
        await refuse_evicting(wire)
    assert f"redis://:***@127.0.0.1:{server.port}/0" in str(failed.value)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru", "volatile-ttl"])
async def test_a_server_that_keeps_what_has_no_expiry_is_taken(
    make_server: MakeServer, open_wire: OpenWire, policy: str
) -> None:
    server = make_server(maxmemory_policy=policy)
    wire = await open_wire(server.url)
    await refuse_evicting(wire)
    assert policy in by_subject(await examine(wire))["eviction"].text


async def test_a_server_that_is_too_old_is_refused(open_wire: OpenWire, fake: Any) -> None:
    def handle(words: list[str]) -> str:
        if words[0] == "CLUSTER":
            return "-ERR This instance has cluster support disabled"
        text = "# Server\r\nredis_version:6.0.20\r\nmaxmemory_policy:noeviction\r\n"
        return f"${len(text)}\r\n{text}"

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        with pytest.raises(StoreUnsuitable, match=r"Redis 6\.0\.20.*too old.*6\.2"):
            await refuse_evicting(wire)
        await wire.close()


async def test_a_server_that_is_away_cannot_be_examined(
    make_server: MakeServer, open_wire: OpenWire
) -> None:
    server = make_server()
    wire: Wire = await open_wire(server.url, patience=0.2)
    assert wire.address == Address.parse(server.url)
    await asyncio.to_thread(server.kill)
    await eventually(lambda: wire._seed._link is None)
    with pytest.raises(StoreUnavailable):
        await examine(wire)
