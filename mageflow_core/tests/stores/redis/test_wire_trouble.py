"""Servers that are killed, restarted, frozen or busy: every call is answered all the same."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from mageflow_conformance.servers import Aio, RedisReplica, RedisServer, WireError
from mageflow_conformance.waiting import eventually, eventually_sync
from mageflow_core.errors import NotOpen, StoreDenied, StoreUnavailable
from mageflow_core.stores.redis import link
from mageflow_core.stores.redis import wire as wire_module
from mageflow_core.stores.redis.call import Written
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.wire import Wire

OpenWire = Callable[..., Any]
MakeServer = Callable[..., RedisServer]
MakeScript = Callable[..., Script]


class Load:
    """Callers that never stop calling, each with ids of its own."""

    def __init__(self, wire: Wire, script: Script, callers: int = 20) -> None:
        self.replies: dict[str, str] = {}
        self._stop = False
        self._work = asyncio.gather(*(self._call(wire, script, n) for n in range(callers)))

    async def _call(self, wire: Wire, script: Script, caller: int) -> None:
        count = 0
        while not self._stop:
            count += 1
            id_ = f"{caller}-{count}"
            self.replies[id_] = await wire.call(script, f"k{caller}", id_)

    async def more(self, count: int = 100) -> None:
        """Let it run until as many more calls were answered."""
        goal = len(self.replies) + count
        await eventually(lambda: len(self.replies) >= goal or self._work.done(), within=15)

    async def end(self) -> None:
        """All calls were answered, each with its own reply, and done once."""
        self._stop = True
        await self._work
        for id_, reply in self.replies.items():
            assert reply == f"{id_}:{id_.partition('-')[2]}"


def attempts(wire: Wire) -> int:
    """How often the server was asked in vain since it last answered."""
    return wire._seed._troubles


def kept_back(wire: Wire) -> int:
    """How many replies wait for replicas."""
    expected = wire._seed._link._expected if wire._seed._link is not None else ()
    return sum(len(each.answers) for each in expected if isinstance(each, Written))


# --- lost connections -----------------------------------------------------------------------------
async def test_calls_go_on_when_their_connections_are_killed(
    server: RedisServer, open_wire: OpenWire, once: Script
) -> None:
    # Given callers
    wire = await open_wire(server.url)
    load = Load(wire, once)
    # When the connection is killed again and again
    killed = 0
    for _ in range(5):
        await load.more()
        killed += server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await load.more()
    # Then nobody notices
    assert killed >= 5
    await load.end()


async def test_calls_go_on_when_the_server_is_killed_and_comes_back(
    make_server: MakeServer, open_wire: OpenWire, once: Script
) -> None:
    # Given callers, and a server that keeps what it has answered
    server = Aio(make_server(persistence="aof"))
    wire = await open_wire(server.sync.url)
    load = Load(wire, once)
    # When it is killed with calls on their way, and started again, twice
    for _ in range(2):
        await load.more()
        await server.kill()
        await server.start()
    await load.more()
    # Then every call was answered, and done once
    await load.end()


async def test_calls_made_while_the_server_is_away_are_answered_when_it_is_back(
    make_server: MakeServer, open_wire: OpenWire, once: Script, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a server that is away
    caplog.set_level(logging.INFO, "mageflow.store")
    server = Aio(make_server(persistence="aof"))
    wire = await open_wire(server.sync.url)
    await wire.call(once, "k", "before")
    await server.kill()
    # When calls are made, and it comes back
    tasks = [asyncio.create_task(wire.call(once, "k", n)) for n in range(10)]
    await eventually(lambda: attempts(wire) >= 3)
    assert not any(task.done() for task in tasks)
    await server.start()
    # Then they are answered, and the log has said once that it was away, and that it is back
    replies = await asyncio.gather(*tasks)
    assert sorted(int(reply.partition(":")[2]) for reply in replies) == list(range(2, 12))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert f"{server.sync.url} cannot answer" in said[0]
    assert f"{server.sync.url} answers again" in said[1]


async def test_a_server_may_come_after_its_clients(make_server: MakeServer, echo: Script) -> None:
    # Given an address where nobody answers yet
    server = Aio(make_server())
    await server.kill()
    wire = Wire(Address.parse(server.sync.url), patience=15)
    # When a wire is opened there, and then the server is started
    opening = asyncio.create_task(wire.open())
    await eventually(lambda: attempts(wire) >= 2)
    assert not opening.done()
    await server.start()
    await opening
    # Then it works
    assert await wire.call(echo, "k", "a") == "a"
    await wire.close()


async def test_a_call_gives_up_when_its_patience_is_over(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a server that is gone
    server = make_server(password="s3cr3t")
    wire = await open_wire(server.url, patience=0.3)
    server.kill()
    began = time.monotonic()
    # When it is called
    with pytest.raises(StoreUnavailable) as failed:
        await wire.call(echo, "k", "a")
    # Then the error comes in time, and says who, why and what to do, without the password
    assert 0.25 < time.monotonic() - began < 2
    text = str(failed.value)
    assert f"redis://:***@127.0.0.1:{server.port}/0" in text
    assert "Connect call failed" in text
    assert "Check that it runs" in text
    assert "s3cr3t" not in text


async def test_opening_gives_up_when_its_patience_is_over() -> None:
    wire = Wire(Address.parse("redis://127.0.0.1:1"), patience=0.2)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1/0 has not answered for 0\.2 s"):
        await wire.open()


async def test_one_call_that_gives_up_is_no_matter_for_others(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a server that answers nobody for a while
    wire = await open_wire(server.url, patience=0.2)
    await wire.call(echo, "k", "a")
    server.call("CLIENT", "PAUSE", 10_000, "WRITE")
    # When of two calls on their way the first one has less patience
    first = asyncio.create_task(wire.call(echo, "k", "1"))
    await asyncio.sleep(0)
    wire.patience = 10
    second = asyncio.create_task(wire.call(echo, "k", "2"))
    with pytest.raises(StoreUnavailable, match="no reply"):
        await first
    server.call("CLIENT", "UNPAUSE")
    # Then the second is answered, with its own reply
    assert await second == "2"


async def test_a_server_is_asked_again_soon_and_then_more_seldom(
    monkeypatch: pytest.MonkeyPatch, open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a server that hangs up
    monkeypatch.setattr("random.uniform", lambda low, high: high)
    attempts: list[float] = []

    def hang_up(words: list[str]) -> str:
        if words[0] == "CLUSTER":
            return "-ERR This instance has cluster support disabled"
        attempts.append(time.monotonic())
        return "hang up"

    async with fake(hang_up) as server:
        wire = await open_wire(server.url, patience=2)
        # When it is called
        with pytest.raises(StoreUnavailable):
            await wire.call(echo, "k", "a")
        await wire.close()
    # Then the pauses between attempts grow from 50 ms to a second
    pauses = [after - before for before, after in pairwise(attempts)]
    assert 0.04 < pauses[0] < 0.15
    assert len(pauses) <= 6
    assert pauses[-1] > 0.5


async def test_calls_made_in_a_pause_wait_for_its_end(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a server that hangs up on everybody who calls
    def hang_up(words: list[str]) -> str:
        return "-ERR no cluster" if words[0] == "CLUSTER" else "hang up"

    async with fake(hang_up) as server:
        wire = await open_wire(server.url)
        tasks = [asyncio.create_task(wire.call(echo, "k", "a"))]
        await eventually(lambda: attempts(wire) >= 4)
        before = server.connections
        # When more calls are made while it is left alone
        assert wire._seed._timer is not None
        for _ in range(20):
            tasks.append(asyncio.create_task(wire.call(echo, "k", "a")))
            await asyncio.sleep(0)
        # Then they do not trouble it
        assert len(wire._seed._parked) == 21
        assert server.connections == before
        await wire.close()
        await asyncio.wait(tasks)
        assert {type(task.exception()) for task in tasks} == {NotOpen}


# --- frozen servers -------------------------------------------------------------------------------
async def test_a_connection_without_replies_is_given_up(
    monkeypatch: pytest.MonkeyPatch, make_server: MakeServer, open_wire: OpenWire, once: Script
) -> None:
    # Given a server that is frozen with calls on their way
    monkeypatch.setattr(link, "STALLED", 0.2)
    server = make_server()
    wire = await open_wire(server.url)
    await wire.call(once, "k", "a")
    first = wire._seed._link
    server.pause()
    tasks = [asyncio.create_task(wire.call(once, "k", n)) for n in range(5)]
    # When nothing has come for a while
    await eventually(lambda: wire._seed._link is not first)
    server.resume()
    # Then they are made again on another connection, and done once
    replies = await asyncio.gather(*tasks)
    assert sorted(reply.partition(":")[2] for reply in replies) == ["2", "3", "4", "5", "6"]


def test_nobody_waits_for_a_connection_that_ends_with_its_event_loop(
    server: RedisServer, echo: Script
) -> None:
    # Given a wire that is not closed, and one who has a last word for the server
    errors = []

    async def works(wire: Wire) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(2):
                try:
                    await wire.call(echo, "key", "bye")
                except StoreUnavailable as error:
                    errors.append(str(error))

    async def main() -> None:
        wire = Wire(Address.parse(server.url), patience=1000, wait_replicas=0)
        await wire.open()
        working.append(asyncio.create_task(works(wire)))
        assert await wire.call(echo, "key", "hello") == "hello"

    # When its event loop ends
    working: list[asyncio.Task[None]] = []
    asyncio.run(main())
    # Then both calls have failed
    assert errors == ["The event loop ends, and the store was not closed before that."] * 2


async def test_a_server_that_takes_its_time_is_not_given_up(
    monkeypatch: pytest.MonkeyPatch, make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a connection that nobody has used for longer than a reply may take
    monkeypatch.setattr(link, "STALLED", 0.6)
    server = make_server()
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    first = wire._seed._link
    idle_since = time.monotonic()
    await eventually(lambda: time.monotonic() - idle_since > 0.7)
    # When a call is answered a little later than at once
    server.call("CLIENT", "PAUSE", 150, "WRITE")
    assert await wire.call(echo, "k", "a") == "a"
    # Then it was no reason for a new one
    assert wire._seed._link is first


# --- servers that cannot answer for now -----------------------------------------------------------
@pytest.mark.parametrize(
    "error",
    [
        "LOADING Redis is loading the dataset in memory",
        "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
        "CLUSTERDOWN The cluster is down",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "READONLY You can't write against a read only replica.",
        "UNBLOCKED force unblock from blocking operation, instance state changed",
        "ASK 3999 127.0.0.1:6381",
        "ERR max number of clients reached",
        "ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY No.",
        "ERR Script attempted to access a non local key in a cluster node script: f, on @u:1.",
    ],
)
async def test_errors_that_pass_by_are_waited_for(
    open_wire: OpenWire, fake: Any, echo: Script, error: str
) -> None:
    # Given a server that answers twice with an error that passes by
    left = 2

    def handle(words: list[str]) -> str:
        nonlocal left
        if words[0] == "CLUSTER":
            return "-ERR This instance has cluster support disabled"
        if left:
            left -= 1
            return f"-{error}"
        return "+" + words[-1]

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        # When it is called
        reply = await wire.call(echo, "k", "a")
        # Then it was asked until it had a reply
        assert reply == "a"
        assert [words[-1] for words in server.seen if words[0] == "EVALSHA"] == ["a", "a", "a"]
        await wire.close()


async def test_an_error_that_does_not_pass_by_is_named_in_the_end(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    def handle(words: list[str]) -> str:
        return "-ERR no cluster" if words[0] == "CLUSTER" else "-LOADING Redis is loading"

    async with fake(handle) as server:
        wire = await open_wire(server.url, patience=0.3)
        with pytest.raises(StoreUnavailable, match="LOADING Redis is loading"):
            await wire.call(echo, "k", "a")
        await wire.close()


async def test_a_server_that_becomes_a_replica_and_a_master_again_is_waited_for(
    make_server: MakeServer, open_wire: OpenWire, once: Script
) -> None:
    # Given callers of a server that becomes a replica
    server = make_server()
    wire = await open_wire(server.url)
    load = Load(wire, once)
    await load.more()
    server.call("CONFIG", "SET", "replica-serve-stale-data", "yes")
    server.call("REPLICAOF", "127.0.0.1", 1)
    assert server.info("replication")["role"] == "slave"
    await eventually(lambda: attempts(wire) >= 2)
    # When it is a master again
    server.call("REPLICAOF", "NO", "ONE")
    await load.more()
    # Then every call was answered
    await load.end()


async def test_a_busy_server_is_waited_for(
    make_server: MakeServer, open_wire: OpenWire, once: Script
) -> None:
    # Given a server that somebody keeps busy with a script that does not end
    server = make_server(config={"lua-time-limit": "50"})
    wire = await open_wire(server.url)
    await wire.call(once, "k", "a")

    def hog() -> None:
        with pytest.raises(WireError, match="killed"):
            server.call("EVAL", "while true do end", 0)

    other = threading.Thread(target=hog)
    other.start()

    def is_busy() -> bool:
        try:
            server.call("GET", "k")
        except WireError as error:
            return "BUSY" in str(error)
        return False

    await eventually(lambda: asyncio.to_thread(is_busy))
    # When calls are made, and it is killed
    task = asyncio.create_task(wire.call(once, "k", "b"))
    await eventually(lambda: attempts(wire) >= 2)
    assert not task.done()
    server.call("SCRIPT", "KILL")
    # Then they are answered
    assert await task == "b:2"
    other.join()


async def test_a_script_that_cannot_be_loaded_for_now_is_loaded_later(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a server that lacks the script, and is busy when it is to be loaded
    loads = 0

    def handle(words: list[str]) -> str:
        nonlocal loads
        if words[0] == "CLUSTER":
            return "-ERR no cluster"
        if words[0] == "SCRIPT":
            loads += 1
            return "-BUSY Redis is busy" if loads == 1 else "+" + echo.sha
        return "+" + words[-1] if loads > 1 else "-NOSCRIPT No matching script."

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        # When it is called
        # Then it is answered by and by
        assert await wire.call(echo, "k", "a") == "a"
        assert loads == 2
        await wire.close()


async def test_a_server_that_is_read_only_is_looked_up_again(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a name behind which another server takes the place of one that became a replica
    def handle(words: list[str]) -> str:
        if words[0] == "CLUSTER":
            return "-ERR no cluster"
        return "-READONLY You can't write." if server.connections == 1 else "+" + words[-1]

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        # When it is called
        # Then another connection is made
        assert await wire.call(echo, "k", "a") == "a"
        assert server.connections == 2
        await wire.close()


async def test_a_script_that_could_not_be_loaded_once_can_be_later(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a user who may not load scripts, and then may, while somebody else removes them all
    loads = 0

    def handle(words: list[str]) -> str:
        nonlocal loads
        if words[0] == "CLUSTER":
            return "-ERR no cluster"
        if words[0] == "SCRIPT":
            loads += 1
            return "-NOPERM this user has no permissions" if loads == 1 else "+" + echo.sha
        return "+" + words[-1] if loads > 2 else "-NOSCRIPT No matching script."

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        with pytest.raises(StoreDenied, match="NOPERM"):
            await wire.call(echo, "k", "a")
        # When it is called again
        # Then what was refused before does not matter
        assert await wire.call(echo, "k", "b") == "b"
        assert loads == 3
        await wire.close()


async def test_a_server_that_says_what_nobody_asked_for_is_left(
    open_wire: OpenWire, fake: Any, echo: Script
) -> None:
    # Given a server that once answers twice
    wrong = 1

    def handle(words: list[str]) -> str:
        nonlocal wrong
        if words[0] == "CLUSTER":
            return "-ERR no cluster"
        wrong -= 1
        return "+surplus\r\n+" + words[-1] if wrong == 0 else "+" + words[-1]

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        assert await wire.call(echo, "k", "a") == "surplus"
        # When it is called once more
        # Then the reply is not taken for that of the call before
        await eventually(lambda: wire._seed._link is None)
        assert await wire.call(echo, "k", "b") == "b"
        await wire.close()


# --- replicas -------------------------------------------------------------------------------------
@pytest.fixture
def with_replica(make_server: MakeServer) -> Any:
    master = make_server(config={"repl-diskless-sync-delay": "0"})
    with RedisReplica(of=master) as replica:
        eventually_sync(lambda: "state=online" in master.info("replication")["slave0"])
        yield master, replica


async def test_replies_are_given_when_replicas_have_what_was_stored(
    with_replica: tuple[RedisServer, RedisReplica],
    open_wire: OpenWire,
    once: Script,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a server with a replica that is waited for
    master, replica = with_replica
    wire = await open_wire(master.url, replicas=1)
    await wire.call(once, "k", "first")
    # When calls are made
    replies = await asyncio.gather(*(wire.call(once, f"k{n}", "a") for n in range(20)))
    # Then each is on the replica when it is answered
    assert replies == ["a:1"] * 20
    assert [replica.call("HGET", f"k{n}", "a") for n in range(20)] == ["a:1"] * 20
    assert caplog.messages == []
    assert wire._seed._link._wait == link.WAIT


async def test_a_reply_is_kept_back_while_replicas_have_not_answered(
    with_replica: tuple[RedisServer, RedisReplica], open_wire: OpenWire, once: Script
) -> None:
    # Given a replica that is frozen
    master, replica = with_replica
    wire = await open_wire(master.url, replicas=1)
    await wire.call(once, "k", "a")
    replica.pause()
    # When a call is made, and the replica goes on
    task = asyncio.create_task(wire.call(once, "k", "b"))
    await eventually(lambda: kept_back(wire) == 1)
    assert master.call("HGET", "k", "b") == "b:2"
    assert not task.done()
    replica.resume()
    # Then it is answered
    assert await task == "b:2"


async def test_plain_commands_are_answered_while_replicas_are_waited_for(
    with_replica: tuple[RedisServer, RedisReplica], open_wire: OpenWire
) -> None:
    master, _ = with_replica
    wire = await open_wire(master.url, replicas=1)
    assert await wire.command("PING", key="k") == "PONG"


async def test_too_few_replicas_are_told_of_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
    server: RedisServer,
    open_wire: OpenWire,
    once: Script,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a server without replicas, of which two are wanted
    monkeypatch.setattr(link, "WAIT", 0.05)
    monkeypatch.setattr(link, "WAIT_AGAIN", 0.01)
    wire = await open_wire(server.url, replicas=2)
    # When calls are made
    replies = [await wire.call(once, "k", n) for n in range(3)]
    # Then they are answered, and one warning says what that means
    assert replies == ["0:1", "1:2", "2:3"]
    assert len(caplog.messages) == 1
    assert "Only 0 of the 2 replicas" in caplog.messages[0]
    assert wire._seed._link._wait == link.WAIT_AGAIN  # so that not each one waits for long
    # And after a minute another one
    monkeypatch.setattr(wire_module, "SILENCE", 0)
    await wire.call(once, "k", "x")
    assert len(caplog.messages) == 2


async def test_replies_kept_back_are_asked_for_again_when_the_connection_is_lost(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer, open_wire: OpenWire, once: Script
) -> None:
    # Given calls that are done, and wait for replicas that do not come
    monkeypatch.setattr(link, "WAIT", 0.4)
    wire = await open_wire(server.url, replicas=1)
    tasks = [asyncio.create_task(wire.call(once, "k", n)) for n in range(5)]
    await eventually(lambda: kept_back(wire) == 5)
    assert server.call("HGET", "k", "count") == "5"
    # When their connection is lost meanwhile
    server.call("CLIENT", "KILL", "TYPE", "normal")
    # Then they are asked again, and were done once
    replies = await asyncio.gather(*tasks)
    assert replies == ["0:1", "1:2", "2:3", "3:4", "4:5"]


async def test_the_error_of_waiting_is_that_of_the_calls(
    make_server: MakeServer, open_wire: OpenWire, once: Script
) -> None:
    server = make_server(users={"app": ("pw", "~* +@all -wait")})
    wire = await open_wire(server.url_of("app"), replicas=1)
    with pytest.raises(StoreUnavailable, match=r"NOPERM.*wait"):
        await wire.call(once, "k", "a")
