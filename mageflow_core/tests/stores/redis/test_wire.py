"""Calls and replies, where nothing is in the way."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core.errors import (
    NotOpen,
    SettingsError,
    StoreBroken,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
)
from mageflow_core.stores.redis.call import Call
from mageflow_core.stores.redis.connecting import Address, _TcpConnection
from mageflow_core.stores.redis.scripts import Script, compose
from mageflow_core.stores.redis.wire import Wire

OpenWire = Callable[..., Any]
MakeServer = Callable[..., RedisServer]
MakeScript = Callable[..., Script]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written to sockets from now on, write by write."""
    seen: list[bytes] = []
    write = _TcpConnection.write

    def watched(self: _TcpConnection, data: bytes) -> None:
        seen.append(data)
        write(self, data)

    monkeypatch.setattr(_TcpConnection, "write", watched)
    return seen


def loads(writes: list[bytes]) -> int:
    """How many scripts were loaded."""
    return sum(write.count(b"\r\nLOAD\r\n") for write in writes)


def has(things: list[bytes], count: int) -> bool:
    return len(things) == count


def on_their_way(wire: Wire) -> int:
    """How many calls are written and not answered."""
    return len(wire._seed._link._expected) if wire._seed._link is not None else 0


# --- calls and replies ----------------------------------------------------------------------------
async def test_a_call_gives_what_its_script_returns(
    server: RedisServer, open_wire: OpenWire, make_script: MakeScript
) -> None:
    # Given a script that gives back its key and arguments
    wire = await open_wire(server.url)
    script = make_script("return {KEYS[1], ARGV[1], ARGV[2], ARGV[3], false, #KEYS}")
    # When it is called with text and numbers
    reply = await wire.call(script, "{a}:ü", "ß\n", 2**60, 1.5)
    # Then they are there as text, and what is false is None
    assert reply == ["{a}:ü", "ß\n", str(2**60), "1.5", None, 1]


async def test_plain_commands_are_answered(server: RedisServer, open_wire: OpenWire) -> None:
    wire = await open_wire(server.url)
    assert await wire.command("SET", "a", 1, key="a") == "OK"
    assert await wire.command("GET", "a", key="a") == "1"
    assert await wire.command("GET", "b", key="b") is None
    assert await wire.command("KEYS", "*", key="a") == ["a"]


async def test_a_single_server_is_everywhere(server: RedisServer, open_wire: OpenWire) -> None:
    wire = await open_wire(server.url)
    assert await wire.everywhere("PING") == ["PONG"]
    assert wire.addresses() == [wire.address]
    assert not wire.clustered


async def test_a_large_value_goes_and_comes(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    wire = await open_wire(server.url)
    text = "å" * 3_000_000
    assert await wire.call(echo, "k", text) == text


async def test_a_value_that_cannot_be_sent_fails_only_its_own_call(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given calls of which two have arguments that no command can have
    wire = await open_wire(server.url)
    wrong: Any = None
    # When they are made in one turn
    replies = await asyncio.gather(
        wire.call(echo, "k", "a"),
        wire.call(echo, "k", wrong),
        wire.call(echo, "k", "\ud800"),
        wire.call(echo, "k", "b"),
        return_exceptions=True,
    )
    # Then the others are answered
    assert [replies[0], replies[3]] == ["a", "b"]
    assert isinstance(replies[1], TypeError)
    assert isinstance(replies[2], UnicodeEncodeError)


async def test_bytes_that_are_no_text_come_as_they_are(
    server: RedisServer, open_wire: OpenWire, make_script: MakeScript, echo: Script
) -> None:
    # Given a script that gives a piece of a text, which ends within a character
    wire = await open_wire(server.url)
    piece = make_script("return {string.sub(ARGV[1], 1, 2)}")
    # When it is called between others
    replies = await asyncio.gather(
        wire.call(echo, "k", "1"), wire.call(piece, "k", "xü"), wire.call(echo, "k", "2")
    )
    # Then nothing is lost
    assert [replies[0], replies[2]] == ["1", "2"]
    assert replies[1][0].encode("utf-8", "surrogateescape") == "xü".encode()[:2]


# --- calls share writes ---------------------------------------------------------------------------
async def test_calls_of_one_turn_go_out_in_one_write(
    server: RedisServer, open_wire: OpenWire, echo: Script, writes: list[bytes]
) -> None:
    # Given a wire that is connected, and a server that has the script
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    writes.clear()
    # When a hundred calls are made at once
    replies = await asyncio.gather(*(wire.call(echo, f"k{n}", n) for n in range(100)))
    # Then one write had all of them, and each has its own reply
    assert len(writes) == 1
    assert replies == [str(n) for n in range(100)]


async def test_a_lone_call_does_not_wait_for_others(
    server: RedisServer, open_wire: OpenWire, echo: Script, writes: list[bytes]
) -> None:
    # Given a wire that is connected
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    writes.clear()
    # When a call is made, and the loop turns once
    task = asyncio.create_task(wire.call(echo, "k", "x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    # Then it is written already
    assert len(writes) == 1
    assert await task == "x"


async def test_several_writes_are_on_their_way_before_the_first_reply(
    server: RedisServer, open_wire: OpenWire, echo: Script, writes: list[bytes]
) -> None:
    # Given a server that answers nobody for a while
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    writes.clear()
    server.call("CLIENT", "PAUSE", 10_000, "WRITE")
    # When calls are made in turns of their own
    tasks = []
    for n in range(5):
        tasks.append(asyncio.create_task(wire.call(echo, "k", n)))
        await eventually(partial(has, writes, n + 1))
    # Then all are written, and answered once the server goes on
    assert len(writes) == 5
    assert not any(task.done() for task in tasks)
    server.call("CLIENT", "UNPAUSE")
    assert await asyncio.gather(*tasks) == ["0", "1", "2", "3", "4"]


async def test_one_connection_serves_all(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    before = int(server.info("clients")["connected_clients"])
    wire = await open_wire(server.url)
    await asyncio.gather(*(wire.call(echo, f"k{n}", n) for n in range(100)))
    assert int(server.info("clients")["connected_clients"]) == before + 1


# --- callers that go ------------------------------------------------------------------------------
async def test_the_reply_of_a_cancelled_call_is_given_to_nobody_else(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given calls that are on their way to a server that answers nobody for a while
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    server.call("CLIENT", "PAUSE", 10_000, "WRITE")
    tasks = [asyncio.create_task(wire.call(echo, "k", n)) for n in range(10)]
    await eventually(lambda: on_their_way(wire) == 10)
    # When some callers go, and the server goes on
    for task in tasks[::3]:
        task.cancel()
    server.call("CLIENT", "UNPAUSE")
    replies = await asyncio.gather(*tasks, return_exceptions=True)
    # Then the others have their own replies
    for n, reply in enumerate(replies):
        assert isinstance(reply, asyncio.CancelledError) if n % 3 == 0 else reply == str(n)


async def test_a_call_cancelled_before_it_is_written_is_not_made(
    server: RedisServer, open_wire: OpenWire, once: Script
) -> None:
    # Given a call
    wire = await open_wire(server.url)
    assert await wire.call(once, "k", "before") == "before:1"
    task = asyncio.create_task(wire.call(once, "k", "gone"))
    # When it is cancelled in the turn that it was made in
    await asyncio.sleep(0)
    task.cancel()
    # Then the server never sees it
    assert await wire.call(once, "k", "after") == "after:2"
    assert task.cancelled()


# --- scripts --------------------------------------------------------------------------------------
async def test_a_script_that_the_server_lacks_is_loaded_once_for_all_calls(
    server: RedisServer, open_wire: OpenWire, echo: Script, writes: list[bytes]
) -> None:
    # Given a server without the script
    wire = await open_wire(server.url)
    # When many calls need it
    replies = await asyncio.gather(*(wire.call(echo, "k", n) for n in range(50)))
    # Then it was loaded, once
    assert replies == [str(n) for n in range(50)]
    assert loads(writes) == 1


async def test_scripts_that_were_flushed_are_loaded_again(
    server: RedisServer, open_wire: OpenWire, echo: Script, writes: list[bytes]
) -> None:
    wire = await open_wire(server.url)
    for n in range(3):
        assert await wire.call(echo, "k", n) == str(n)
        server.call("SCRIPT", "FLUSH")
    assert loads(writes) == 3


async def test_the_error_of_a_script_names_the_file_and_its_line(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a script whose second part is wrong in its second line
    parts = {"first": "local a = 1\n", "second": "\nlocal b = a .. nil\n"}
    wrong = compose("both", ["first", "second"], instead=parts)
    wire = await open_wire(server.url)
    # When it is called between others
    replies = await asyncio.gather(
        wire.call(echo, "k", "1"),
        wire.call(wrong, "k"),
        wire.call(echo, "k", "2"),
        return_exceptions=True,
    )
    # Then it alone fails
    assert isinstance(replies[1], StoreBroken)
    assert "second.lua:2" in str(replies[1])
    assert "attempt to concatenate a nil value" in str(replies[1])
    assert [replies[0], replies[2]] == ["1", "2"]


async def test_a_script_that_is_no_lua_fails_at_once(
    server: RedisServer, open_wire: OpenWire, make_script: MakeScript
) -> None:
    wire = await open_wire(server.url)
    with pytest.raises(StoreBroken, match=r"part\.lua:1.*near") as failed:
        await wire.call(make_script("retrun 1"), "k")
    assert wire.address.host in str(failed.value)


async def test_an_unknown_command_fails_at_once(server: RedisServer, open_wire: OpenWire) -> None:
    wire = await open_wire(server.url)
    with pytest.raises(StoreBroken, match="unknown command"):
        await wire.command("NOSUCH", key="k")


# --- what the server refuses ----------------------------------------------------------------------
async def test_a_full_server_says_so_and_changes_nothing(
    make_server: MakeServer, open_wire: OpenWire, once: Script, make_script: MakeScript
) -> None:
    # Given a server whose memory is used up
    server = make_server()
    wire = await open_wire(server.url)
    await wire.call(once, "k", "a")
    server.call("CONFIG", "SET", "maxmemory", 1)
    # When something is to be stored
    with pytest.raises(StoreFull, match=r"maxmemory.*result_ttl") as failed:
        await wire.call(once, "k", "b")
    # Then the error says what to do, nothing was changed, and reading goes on
    assert server.url in str(failed.value)
    assert server.call("HGETALL", "k") == ["count", "1", "a", "a:1"]
    assert await wire.call(make_script("return redis.call('HGET', KEYS[1], 'a')"), "k") == "a:1"


async def test_a_server_that_cannot_write_to_its_disk_is_unavailable_at_once(
    make_server: MakeServer, open_wire: OpenWire, once: Script
) -> None:
    # Given a server whose last snapshot has failed
    server = make_server()
    wire = await open_wire(server.url)
    await wire.call(once, "k", "a")
    server.call("CONFIG", "SET", "save", "3600 1")
    (server.folder / "dump.rdb").mkdir()
    server.call("BGSAVE")
    await eventually(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err")
    # When something is to be stored
    with pytest.raises(StoreUnavailable, match=r"MISCONF.*its disk") as failed:
        await wire.call(once, "k", "b")
    # Then it is none of the errors that mean more
    assert type(failed.value) is StoreUnavailable


async def test_a_server_that_lacks_replicas_is_unavailable_at_once(
    open_wire: OpenWire, fake: Any, once: Script
) -> None:
    def handle(words: list[str]) -> str:
        return "-ERR no" if words[0] == "CLUSTER" else "-NOREPLICAS Not enough good replicas."

    async with fake(handle) as server:
        wire = await open_wire(server.url)
        with pytest.raises(StoreUnavailable, match=r"NOREPLICAS.*min-replicas-to-write"):
            await wire.call(once, "k", "a")
        await wire.close()


@pytest.mark.parametrize("login", ["", ":wr0ng@", "nobody:wr0ng@"])
async def test_a_wrong_password_is_refused_at_once_and_never_shown(
    make_server: MakeServer, login: str, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a server with a password
    caplog.set_level(logging.DEBUG)
    server = make_server(password="s3cr3t")
    wire = Wire(Address.parse(f"redis://{login}127.0.0.1:{server.port}"), patience=30)
    began = time.monotonic()
    # When it is opened with another, or without any
    with pytest.raises(StoreDenied, match=r"password") as failed:
        await wire.open()
    # Then that is told at once, without it
    assert time.monotonic() - began < 5
    assert f"127.0.0.1:{server.port}" in str(failed.value)
    shown = f"{failed.value!r} {failed.value.__cause__!r} {wire.address!r} {caplog.text}"
    assert "wr0ng" not in shown


async def test_a_user_who_may_not_call_scripts_is_told_so_at_once(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    server = make_server(users={"reader": ("pw", "~* +@all -@scripting")})
    wire = await open_wire(server.url_of("reader"))
    with pytest.raises(StoreDenied, match=r"NOPERM.*evalsha"):
        await wire.call(echo, "k", "a")


async def test_a_user_who_may_not_load_scripts_is_told_so_at_once(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    server = make_server(users={"caller": ("pw", "~* +@all -script")})
    wire = await open_wire(server.url_of("caller"))
    with pytest.raises(StoreDenied, match=r"NOPERM.*script"):
        await wire.call(echo, "k", "a")


async def test_a_user_who_may_not_use_the_keys_is_told_so_at_once(
    make_server: MakeServer, open_wire: OpenWire, make_script: MakeScript
) -> None:
    # Given a user of one namespace
    server = make_server(users={"app": ("pw", "resetchannels ~{app:* &app:* +@all")})
    wire = await open_wire(server.url_of("app"))
    inner = make_script("return redis.call('SET', ARGV[1], 1)")
    # When keys of it and of another are used, by name and inside of a script
    assert await wire.call(inner, "{app:1}:a", "{app:1}:b") == "OK"
    for key, argument in [("{other:1}:a", "x"), ("{app:1}:a", "{other:1}:a")]:
        # Then the others are refused
        with pytest.raises(StoreDenied):
            await wire.call(inner, key, argument)


async def test_a_user_without_rights_to_ask_for_a_cluster_can_use_a_server(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    server = make_server(users={"app": ("pw", "~* +@all -cluster")})
    wire = await open_wire(server.url_of("app"))
    assert await wire.call(echo, "k", "a") == "a"


async def test_a_database_that_is_not_there_is_a_setting_to_change(server: RedisServer) -> None:
    url = server.url.removesuffix("/0") + "/99"
    wire = Wire(Address.parse(url), patience=30)
    with pytest.raises(SettingsError, match="no such database"):
        await wire.open()


async def test_databases_are_apart(server: RedisServer, open_wire: OpenWire) -> None:
    first = await open_wire(server.url)
    other = await open_wire(server.url.removesuffix("/0") + "/1")
    await first.command("SET", "a", "1", key="a")
    assert await other.command("GET", "a", key="a") is None


# --- its life -------------------------------------------------------------------------------------
async def test_nothing_is_called_before_open_and_after_close(
    server: RedisServer, echo: Script
) -> None:
    wire = Wire(Address.parse(server.url), patience=1)
    with pytest.raises(NotOpen):
        await wire.call(echo, "k", "a")
    await wire.open()
    await wire.close()
    with pytest.raises(NotOpen):
        await wire.command("PING", key="k")
    await wire.close()


async def test_calls_without_a_reply_fail_when_it_is_closed(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given calls that are not answered
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    server.call("CLIENT", "PAUSE", 10_000, "WRITE")
    tasks = [asyncio.create_task(wire.call(echo, "k", n)) for n in range(3)]
    await eventually(lambda: on_their_way(wire) == 3)
    # When the wire is closed
    await wire.close()
    replies = await asyncio.gather(*tasks, return_exceptions=True)
    server.call("CLIENT", "UNPAUSE")
    # Then they say so, and no connection is left
    assert [type(reply) for reply in replies] == [NotOpen] * 3
    await eventually(lambda: server.info("clients")["connected_clients"] == "1")  # who asks


async def test_it_is_closed_at_once_also_while_a_server_reads_nothing(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a frozen server, and a call that is larger than what the system keeps for it
    server = make_server()
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "")
    server.pause()
    task = asyncio.create_task(wire.call(echo, "k", "x" * 50_000_000))
    await eventually(lambda: on_their_way(wire) == 1)
    # When the wire is closed
    async with asyncio.timeout(2):
        await wire.close()
    # Then nothing waits for the server
    with pytest.raises(NotOpen):
        await task
    server.resume()


async def test_it_is_closed_while_calls_wait_for_a_server_that_is_away(
    make_server: MakeServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a call that is made again and again
    server = make_server()
    wire = await open_wire(server.url)
    await asyncio.to_thread(server.kill)
    task = asyncio.create_task(wire.call(echo, "k", "a"))
    await eventually(lambda: wire._seed._troubles >= 2)
    # When the wire is closed
    await wire.close()
    # Then it is over, and nothing is left to be done later
    with pytest.raises(NotOpen):
        await task
    assert (wire._seed._timer, wire._seed._parked, wire._sweeping) == (None, [], None)


async def test_it_can_be_opened_again(server: RedisServer, open_wire: OpenWire) -> None:
    wire = await open_wire(server.url)
    await wire.close()
    await wire.open()
    assert await wire.command("PING", key="k") == "PONG"


async def test_calls_leave_nothing_in_memory(
    server: RedisServer, open_wire: OpenWire, echo: Script
) -> None:
    # Given a wire that has answered calls, of which some were cancelled
    wire = await open_wire(server.url)
    gone: list[weakref.ref[Any]] = []
    for n in range(50):
        task = asyncio.create_task(wire.call(echo, "k", n))
        gone.append(weakref.ref(task))
        await asyncio.sleep(0)
        if n % 2:
            task.cancel()
        await asyncio.wait([task])
        del task
    # When all of them are over
    await wire.call(echo, "k", "last")
    gc.collect()
    # Then nothing refers to them any more
    assert [each() for each in gone] == [None] * 50
    assert wire._calls == {}
    assert not [each for each in gc.get_objects() if isinstance(each, Call)]


async def test_nothing_is_told_to_the_debugger_of_the_loop(
    server: RedisServer, echo: Script, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a loop that looks for mistakes
    asyncio.get_running_loop().set_debug(True)
    wire = Wire(Address.parse(server.url), patience=10)
    # When a wire lives there
    await wire.open()
    await asyncio.gather(*(wire.call(echo, "k", n) for n in range(20)))
    await wire.close()
    # Then it finds none
    assert [each for each in caplog.records if each.name == "asyncio"] == []


async def test_a_server_that_closes_idle_connections_is_no_trouble(
    server: RedisServer, open_wire: OpenWire, echo: Script, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a connection that the server has closed while nobody used it
    wire = await open_wire(server.url)
    await wire.call(echo, "k", "a")
    server.call("CLIENT", "KILL", "TYPE", "normal")
    await eventually(lambda: wire._seed._link is None)
    # When it is used again
    reply = await wire.call(echo, "k", "b")
    # Then it is made anew, and nobody is told
    assert reply == "b"
    assert caplog.records == []
