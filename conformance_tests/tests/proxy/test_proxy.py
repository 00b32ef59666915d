"""A way to a server on which replies get lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from mageflow_conformance.flows.hastening import hastened_steps
from mageflow_conformance.proxy import Away, Counting, CutOff, LostReply, Proxy, step_names
from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_conformance.servers.wire import encode
from mageflow_conformance.waiting import eventually
from mageflow_core.stores.redis.steps import PARTS, Steps


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    server.call("FLUSHALL")
    async with Proxy(server.port) as proxy:
        yield proxy


class Client:
    """A connection by the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def to(cls, proxy: Proxy) -> Client:
        port = int(proxy.url.rpartition(":")[2].partition("/")[0])
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, *commands: tuple[str | int, ...]) -> None:
        self._writer.write(b"".join(map(encode, commands)))

    async def line(self) -> str:
        """The next one; "" where the connection has ended."""
        try:
            async with asyncio.timeout(5):
                return (await self._reader.readline()).decode().strip()
        except ConnectionError:
            return ""

    def close(self) -> None:
        self._writer.close()


class LostCommand(LostReply):
    """Of plain commands."""

    def __init__(self, command: str, nth: int) -> None:
        super().__init__("claim", nth)
        self._command = command

    def loses(self, words: list[str]) -> bool:
        self.seen += words[0] == self._command
        return words[0] == self._command and self.seen == self._nth


async def test_without_a_rule_all_goes_through(proxy: Proxy) -> None:
    client = await Client.to(proxy)
    client.send(("SET", "a", "x" * 200_000), ("STRLEN", "a"), ("PING",))
    assert [await client.line() for _ in range(3)] == ["+OK", ":200000", "+PONG"]
    client.close()


async def test_a_reply_gets_lost_once_the_server_has_done_what_was_asked(
    proxy: Proxy, server: RedisServer
) -> None:
    # Given three changes in one write, of which the reply to the second one gets lost
    rule = proxy.rule = LostCommand("INCR", 2)
    client = await Client.to(proxy)
    client.send(("INCR", "n"), ("INCR", "n"), ("INCR", "n"))
    # Then the first one is answered, and the connection ends
    assert [await client.line(), await client.line()] == [":1", ""]
    await rule.happened.wait()
    # And all that was on its way may have been done, the lost one surely
    assert int(server.call("GET", "n")) >= 2
    client.close()
    # And that happens once
    again = await Client.to(proxy)
    again.send(("INCR", "m"), ("INCR", "m"))
    assert [await again.line(), await again.line()] == [":1", ":2"]
    again.close()


async def test_other_connections_go_on(proxy: Proxy) -> None:
    proxy.rule = LostCommand("INCR", 1)
    one, other = await Client.to(proxy), await Client.to(proxy)
    one.send(("INCR", "n"))
    assert await one.line() == ""
    other.send(("PING",))
    assert await other.line() == "+PONG"
    one.close()
    other.close()


async def test_who_is_cut_off_cannot_listen_and_all_else_works(proxy: Proxy) -> None:
    # Given somebody who listens, and somebody who does not
    listener, client = await Client.to(proxy), await Client.to(proxy)
    listener.send(("SUBSCRIBE", "c"))
    assert [await listener.line() for _ in range(6)][-1] == ":1"
    client.send(("PUBLISH", "c", "hello"))
    assert await client.line() == ":1"
    assert [await listener.line() for _ in range(7)][-1] == "hello"
    assert proxy.listens
    # When listening is cut off
    rule = proxy.rule = CutOff()
    proxy.cut(listening=True)
    assert await listener.line() == ""
    # Then nobody can listen, and others are heard
    again = await Client.to(proxy)
    again.send(("SUBSCRIBE", "c"))
    assert await again.line() == ""
    client.send(("PING",))
    assert await client.line() == "+PONG"
    assert (proxy.listens, rule.refused) == (False, 1)
    for each in (listener, client, again):
        each.close()


async def test_a_server_that_is_away_ends_connections(proxy: Proxy, server: RedisServer) -> None:
    client = await Client.to(proxy)
    server.stop()
    try:
        assert await client.line() == ""
        other = await Client.to(proxy)
        assert await other.line() == ""
        other.close()
    finally:
        server.start()
    client.close()


async def test_closing_ends_all_that_is_open(server: RedisServer) -> None:
    async with Proxy(server.port) as proxy:
        client = await Client.to(proxy)
        client.send(("PING",))
        assert await client.line() == "+PONG"
        assert len(proxy._pairs) == 1
    assert await client.line() == ""
    await eventually(lambda: not proxy._pairs)
    client.close()


# --- rules ----------------------------------------------------------------------------------------
def test_a_step_is_known_by_its_digest_and_counted() -> None:
    names = step_names()
    assert set(names.values()) == set(PARTS)
    hastened = {sha for sha, name in names.items() if name == "report"}
    assert hastened == {Steps()["report"].sha, hastened_steps()["report"].sha}
    digest = {name: sha for sha, name in names.items()}
    rule = LostReply("claim", nth=2)
    assert not rule.loses(["EVALSHA", digest["report"], "1", "k"])
    assert not rule.loses(["GET", "k"])
    assert not rule.loses(["EVALSHA", digest["claim"], "1", "k"])
    assert rule.loses(["EVALSHA", digest["claim"], "1", "k"])
    assert not rule.loses(["EVALSHA", digest["claim"], "1", "k"])
    assert (rule.seen, rule.refuses(["SUBSCRIBE", "c"])) == (3, False)
    assert not rule.happened.is_set()


def test_a_server_is_away_for_one_step_until_it_is_back() -> None:
    sha = Steps()["claim"].sha
    rule = Away("claim")
    assert not rule.refuses(["EVALSHA", Steps()["report"].sha, "1", "k"])
    assert not rule.happened.is_set()
    assert rule.refuses(["EVALSHA", sha, "1", "k"])
    assert rule.refuses(["EVALSHA", sha, "1", "k"])
    assert (rule.happened.is_set(), rule.loses(["EVALSHA", sha])) == (True, False)
    rule.back()
    assert not rule.refuses(["EVALSHA", sha, "1", "k"])
    assert not rule.refuses(["GET", "k"])


def test_calls_of_steps_are_counted_also_of_a_store_that_is_hastened() -> None:
    rule = Counting()
    for sha, name in step_names().items():
        if name in ("claim", "steer"):
            assert not rule.refuses(["EVALSHA", sha, "1", "k"])
    assert not rule.refuses(["GET", "k"])
    assert rule.steps == {"claim": 2, "steer": 2}
