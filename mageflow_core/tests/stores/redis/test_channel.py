"""What is published is told to those who listen; what may have been missed is told too."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Protocol

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mageflow_conformance.servers import Aio, RedisCluster, RedisServer, require_redis
from mageflow_conformance.waiting import eventually
from mageflow_core.errors import NotOpen, StoreDenied
from mageflow_core.stores.redis import channel as module
from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.connecting import Address

MakeServer = Callable[..., RedisServer]


class Silences:
    """Counts how often something may have been missed."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


class OpenChannel(Protocol):
    def __call__(self, url: str, silences: Silences | None = None) -> Awaitable[Channel]: ...


@pytest.fixture
async def open_channel() -> AsyncIterator[OpenChannel]:
    channels = []

    async def make(url: str, silences: Silences | None = None) -> Channel:
        channel = Channel(Address.parse(url), on_silence=silences or Silences())
        channels.append(channel)
        await channel.open()
        return channel

    yield make
    for channel in channels:
        await channel.close()


def listening(server: RedisServer, name: str) -> int:
    count: int = server.call("PUBSUB", "NUMSUB", name)[1]
    return count


def connections(server: RedisServer) -> int:
    return len(str(server.call("CLIENT", "LIST", "TYPE", "pubsub")).splitlines())


def has(told: list[str], count: int) -> bool:
    return len(told) == count


def cut(server: RedisServer) -> None:
    """End the connections that listen."""
    server.call("CLIENT", "KILL", "TYPE", "pubsub")


# --- listening ------------------------------------------------------------------------------------
async def test_what_is_published_after_listen_is_told(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given a channel that listens to a name
    channel = await open_channel(server.url)
    told: list[str] = []
    await channel.listen("ns:a", told.append)
    # When something is published there, and elsewhere
    for n in range(100):
        assert server.call("PUBLISH", "ns:a", f"ü{n}") == 1
        server.call("PUBLISH", "ns:b", "other")
    # Then it is told, in order
    await eventually(lambda: len(told) >= 100)
    assert told == [f"ü{n}" for n in range(100)]


async def test_nothing_is_connected_before_somebody_listens(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(server.url)
    assert connections(server) == 0
    assert not channel.up
    await channel.listen("a", print)
    assert connections(server) == 1
    assert channel.up


async def test_all_who_listen_share_one_connection_and_one_subscription(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given many who listen to few names
    channel = await open_channel(server.url)
    told: dict[int, list[str]] = {n: [] for n in range(50)}
    await asyncio.gather(*(channel.listen(f"n{n % 5}", told[n].append) for n in range(50)))
    assert connections(server) == 1
    assert listening(server, "n3") == 1
    # When something is published under one of them
    server.call("PUBLISH", "n3", "x")
    await eventually(lambda: told[3])
    # Then all who listen to it were told, and nobody else
    assert {n for n, texts in told.items() if texts == ["x"]} == set(range(3, 50, 5))
    assert all(texts in ([], ["x"]) for texts in told.values())


async def test_who_has_ended_is_told_nothing_more(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given two who listen to a name
    channel = await open_channel(server.url)
    first: list[str] = []
    second: list[str] = []
    end_first = await channel.listen("a", first.append)
    end_second = await channel.listen("a", second.append)
    # When one ends, twice
    end_first()
    end_first()
    server.call("PUBLISH", "a", "x")
    await eventually(lambda: second)
    # Then only the other is told
    assert (first, second) == ([], ["x"])
    assert listening(server, "a") == 1
    # And when nobody is left it is not listened to any more
    end_second()
    await eventually(lambda: listening(server, "a") == 0)
    assert channel._topics == {}


async def test_one_can_begin_to_listen_and_ask_later_whether_that_stands(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given one who does not wait until it is confirmed
    channel = await open_channel(server.url)
    told: list[str] = []
    assert not channel.stands("a")
    end = channel.begin("a", told.append)
    assert not channel.stands("a")
    # When it is
    await eventually(lambda: channel.stands("a"))
    # Then it is told
    assert server.call("PUBLISH", "a", "x") == 1
    await eventually(lambda: told == ["x"])
    # And one that is begun on a connection that stands has to be confirmed as well
    end_other = channel.begin("b", told.append)
    assert (channel.stands("a"), channel.stands("b")) == (True, False)
    await eventually(lambda: channel.stands("b"))
    end()
    end_other()
    assert not channel.stands("a")


async def test_nothing_stands_until_what_was_missed_was_told(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given some who listen
    channel = await open_channel(server.url)
    names = [f"n{n}" for n in range(50)]
    stood: list[bool] = []
    for name in names:
        await channel.listen(name, lambda _text: stood.append(channel.stands("last")))
    channel.begin("last", lambda text: stood.append(text == "" and channel.stands("last")))
    await eventually(lambda: channel.stands("last"))
    # When the connection is lost
    cut(server)
    # Then it stands again when all are told so
    await eventually(lambda: len(stood) > len(names))
    assert stood == [True] * (len(names) + 1)


async def test_a_name_does_not_stand_while_others_are_still_to_be_confirmed(
    fake: Callable[..., Any], open_channel: OpenChannel
) -> None:
    # Given a server that hangs up once, and then answers for one of two names only
    def handle(words: list[str]) -> str | None:
        name = words[1]
        if name == "c" and server.connections == 1:
            return "hang up"
        if name == "b" and server.connections > 1:
            return None
        return f"*3\r\n$9\r\nsubscribe\r\n$1\r\n{name}\r\n:1"

    async with fake(handle) as server:
        channel = await open_channel(server.url)
        told: list[str] = []
        for name in ("a", "b"):
            await channel.listen(name, told.append)
        assert channel.stands("a")
        # When it listens to them anew
        channel.begin("c", told.append)
        await eventually(lambda: server.connections == 2 and channel._topics["a"].answered)
        # Then nobody was told yet that something may have been missed
        assert told == []
        assert not channel.stands("a")
        await channel.close()


async def test_a_name_can_be_listened_to_again(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given a name that is left and taken up in one turn, again and again
    channel = await open_channel(server.url)
    told: list[str] = []
    for n in range(20):
        end = await channel.listen("a", told.append)
        server.call("PUBLISH", "a", str(n))
        await eventually(partial(has, told, n + 1))
        end()
    # Then all was told, once
    assert told == [str(n) for n in range(20)]
    await eventually(lambda: listening(server, "a") == 0)


async def test_one_may_end_while_told(server: RedisServer, open_channel: OpenChannel) -> None:
    # Given one who ends when told, and another
    channel = await open_channel(server.url)
    told: list[str] = []
    ends: list[Callable[[], None]] = []

    def once(text: str) -> None:
        told.append(text)
        ends[0]()

    ends.append(await channel.listen("a", once))
    other: list[str] = []
    await channel.listen("a", other.append)
    # When something is published twice
    server.call("PUBLISH", "a", "1")
    server.call("PUBLISH", "a", "2")
    # Then it was told once, and the other twice
    await eventually(lambda: len(other) == 2)
    assert told == ["1"]


async def test_what_a_listener_raises_is_logged_and_no_matter_for_others(
    server: RedisServer, open_channel: OpenChannel, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a listener that raises
    channel = await open_channel(server.url)

    def fail(text: str) -> None:
        raise ValueError(f"no {text}")

    await channel.listen("a", fail)
    told: list[str] = []
    await channel.listen("a", told.append)
    # When it is told something
    server.call("PUBLISH", "a", "x")
    await eventually(lambda: told)
    # Then the log has it, and the channel goes on
    assert "ValueError: no x" in caplog.text
    assert channel.up


async def test_a_listener_that_is_cancelled_leaves_nothing(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given one who is about to listen
    channel = await open_channel(server.url)
    await channel.listen("other", print)
    task = asyncio.create_task(channel.listen("a", print))
    await asyncio.sleep(0)
    # When it is cancelled before it is confirmed
    task.cancel()
    await asyncio.wait([task])
    # Then nobody listens
    assert task.cancelled()
    assert set(channel._topics) == {"other"}
    await eventually(lambda: listening(server, "a") == 0)
    assert channel.up


async def test_listeners_leave_nothing_in_memory(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    channel = await open_channel(server.url)
    gone = []
    for n in range(20):
        told: list[str] = []
        tell = lambda text, told=told: told.append(text)  # noqa: E731
        gone.append(weakref.ref(tell))
        end = await channel.listen(f"n{n}", tell)
        end()
        del tell, end
    await channel.listen("last", print)
    gc.collect()
    assert [each() for each in gone] == [None] * 20
    assert len(channel._asked) == 0


# --- its life -------------------------------------------------------------------------------------
async def test_nobody_listens_before_open_and_after_close(server: RedisServer) -> None:
    channel = Channel(Address.parse(server.url), on_silence=Silences())
    with pytest.raises(NotOpen):
        await channel.listen("a", print)
    await channel.open()
    end = await channel.listen("a", print)
    await channel.close()
    with pytest.raises(NotOpen):
        await channel.listen("a", print)
    with pytest.raises(NotOpen):
        channel.begin("a", print)
    end()
    await channel.close()
    assert not channel.up
    await eventually(lambda: connections(server) == 0)


async def test_who_is_about_to_listen_is_told_when_it_is_closed(server: RedisServer) -> None:
    channel = Channel(Address.parse(server.url), on_silence=Silences())
    await channel.open()
    task = asyncio.create_task(channel.listen("a", print))
    await asyncio.sleep(0)
    await channel.close()
    with pytest.raises(NotOpen):
        await task


# --- silence --------------------------------------------------------------------------------------
async def test_after_a_lost_connection_everybody_is_told_to_look_again(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given some who listen
    silences = Silences()
    channel = await open_channel(server.url, silences)
    told: dict[str, list[str]] = {"a": [], "b": []}
    for name, texts in told.items():
        await channel.listen(name, texts.append)
    assert silences.count == 0
    # When the connection is lost
    cut(server)
    await eventually(lambda: silences.count)
    # Then all are told so, once, and what is published then is told again
    assert told == {"a": [""], "b": [""]}
    assert silences.count == 1
    assert channel.up
    server.call("PUBLISH", "b", "x")
    await eventually(lambda: told["b"] == ["", "x"])


async def test_silence_is_told_only_when_all_is_listened_to_again(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given one who publishes under every name as soon as it is told of a silence
    told: list[str] = []
    names = [f"n{n}" for n in range(200)]

    def publish() -> None:
        for name in names:
            server.call("PUBLISH", name, name)

    channel = Channel(Address.parse(server.url), on_silence=publish)
    await channel.open()
    for name in names:
        await channel.listen(name, lambda text: told.append(text) if text else None)
    # When the connection is lost
    cut(server)
    # Then nothing of it is missed
    await eventually(lambda: len(told) == len(names))
    assert told == names
    await channel.close()


async def test_a_server_that_is_killed_and_comes_back_is_listened_to_again(
    make_server: MakeServer, open_channel: OpenChannel, caplog: pytest.LogCaptureFixture
) -> None:
    # Given somebody who listens to a server that is killed
    caplog.set_level(logging.INFO, "mageflow.store")
    server = Aio(make_server(password="s3cr3t"))
    silences = Silences()
    channel = await open_channel(server.sync.url, silences)
    told: list[str] = []
    await channel.listen("a", told.append)
    await server.kill()
    await eventually(lambda: channel._away)
    assert not channel.up
    # When it comes back
    await server.start()
    await eventually(lambda: silences.count)
    server.sync.call("PUBLISH", "a", "x")
    # Then it is heard, and the log has said what was, without the password
    await eventually(lambda: told == ["", "x"])
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING", "INFO"]
    assert "s3cr3t" not in caplog.text


async def test_one_who_listens_while_the_server_is_away_does_not_wait_for_it(
    make_server: MakeServer, open_channel: OpenChannel
) -> None:
    # Given a server that is away
    server = Aio(make_server())
    await server.kill()
    silences = Silences()
    channel = await open_channel(server.sync.url, silences)
    told: list[str] = []
    # When some begin to listen, and it comes back
    async with asyncio.timeout(5):
        await channel.listen("a", told.append)
        await channel.listen("b", told.append)
    assert told == []
    await server.start()
    # Then they are told to look again
    await eventually(lambda: told == ["", ""])
    assert silences.count == 1
    assert listening(server.sync, "a") == 1


@pytest.mark.parametrize("connected", [True, False])
async def test_one_who_listens_while_the_server_is_frozen_does_not_wait_for_it(
    make_server: MakeServer, open_channel: OpenChannel, *, connected: bool
) -> None:
    # Given a server that is frozen, and takes connections all the same
    server = make_server()
    silences = Silences()
    channel = await open_channel(server.url, silences)
    if connected:
        await channel.listen("other", print)
    server.pause()
    told: list[str] = []
    # When somebody begins to listen
    async with asyncio.timeout(module.PING_AFTER / 2):
        await channel.listen("a", told.append)
    assert told == []
    # Then that one is told to look again when the server goes on, and what is published from then
    server.resume()
    await eventually(lambda: told == [""])
    assert silences.count == 1
    server.call("PUBLISH", "a", "x")
    await eventually(lambda: told == ["", "x"])


async def test_nobody_is_told_of_a_silence_that_nobody_was_in(
    server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given a connection that is lost while nobody listens
    silences = Silences()
    channel = await open_channel(server.url, silences)
    end = await channel.listen("a", print)
    end()
    await eventually(lambda: listening(server, "a") == 0)
    server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    await eventually(lambda: channel._task is None)
    # When somebody listens again
    told: list[str] = []
    await channel.listen("a", told.append)
    server.call("PUBLISH", "a", "x")
    # Then there was nothing to miss
    await eventually(lambda: told == ["x"])
    assert silences.count == 0


async def test_a_frozen_server_is_noticed(
    monkeypatch: pytest.MonkeyPatch, make_server: MakeServer, open_channel: OpenChannel
) -> None:
    # Given a server that is frozen
    monkeypatch.setattr(module, "PING_AFTER", 0.1)
    server = make_server()
    silences = Silences()
    channel = await open_channel(server.url, silences)
    told: list[str] = []
    await channel.listen("a", told.append)
    server.pause()
    # When it has said nothing for a while
    await eventually(lambda: not channel.up)
    server.resume()
    # Then another connection is made
    await eventually(lambda: silences.count)
    assert told == [""]


async def test_a_server_that_has_nothing_to_tell_is_not_left(
    monkeypatch: pytest.MonkeyPatch, server: RedisServer, open_channel: OpenChannel
) -> None:
    # Given a channel that nothing is published to
    monkeypatch.setattr(module, "PING_AFTER", 0.3)
    silences = Silences()
    channel = await open_channel(server.url, silences)
    end = await channel.listen("a", print)
    first = channel._connection

    def pings() -> int:
        stats = server.info("commandstats").get("cmdstat_ping", "calls=0,")
        return int(stats.partition("=")[2].partition(",")[0])

    # When time passes, with somebody who listens and without
    before = pings()
    await eventually(lambda: pings() > before + 2)
    end()
    before = pings()
    await eventually(lambda: pings() > before + 2)
    # Then the connection is the same
    assert channel._connection is first
    assert silences.count == 0


# --- users ----------------------------------------------------------------------------------------
async def test_a_name_that_a_user_may_not_listen_to_is_refused(
    make_server: MakeServer, open_channel: OpenChannel, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a user of one namespace
    server = make_server(users={"app": ("s3cr3t", "resetchannels ~* &app:* +@all")})
    channel = await open_channel(server.url_of("app"))
    told: list[str] = []
    # When it listens to names of it and of another
    for name in ("other:a", "other:b"):
        with pytest.raises(StoreDenied, match="NOPERM"):
            await channel.listen(name, told.append)
    await channel.listen("app:a", told.append)
    # Then only its own is heard
    server.call("PUBLISH", "app:a", "x")
    await eventually(lambda: told == ["x"])
    assert set(channel._topics) == {"app:a"}
    assert "s3cr3t" not in caplog.text


async def test_a_wrong_password_is_told_to_who_listens(
    make_server: MakeServer, open_channel: OpenChannel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = make_server(password="s3cr3t")
    channel = await open_channel(f"redis://:wr0ng@127.0.0.1:{server.port}")
    with pytest.raises(StoreDenied, match="password") as failed:
        await channel.listen("a", print)
    assert "wr0ng" not in f"{failed.value} {caplog.text}"
    assert channel._topics == {}


async def test_rights_that_are_taken_away_are_logged(
    monkeypatch: pytest.MonkeyPatch,
    make_server: MakeServer,
    open_channel: OpenChannel,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a user who listens to two names, and may then listen to one of them only
    monkeypatch.setattr(module, "PING_AFTER", 0.2)
    server = make_server(users={"app": ("pw", "resetchannels ~* &a &b +@all")})
    silences = Silences()
    channel = await open_channel(server.url_of("app"), silences)
    told: dict[str, list[str]] = {"a": [], "b": []}
    for name, texts in told.items():
        await channel.listen(name, texts.append)
    server.call("ACL", "SETUSER", "app", "resetchannels", "&b")
    cut(server)
    # When the connection stands again
    await eventually(lambda: silences.count)
    # Then the other goes on, the log says which is denied, and so does the next `listen`
    server.call("PUBLISH", "b", "x")
    await eventually(lambda: told["b"] == ["", "x"])
    assert "NOPERM" in caplog.text
    assert not channel.stands("a")
    with pytest.raises(StoreDenied, match="NOPERM"):
        await channel.listen("a", print)
    # And once it may again, it is told to look
    server.call("ACL", "SETUSER", "app", "resetchannels", "&a", "&b")
    before = silences.count
    await eventually(lambda: len(told["a"]) > 1)
    assert told["a"][-1] == ""
    assert silences.count > before
    server.call("PUBLISH", "a", "y")
    await eventually(lambda: told["a"][-1] == "y")


# --- clusters -------------------------------------------------------------------------------------
async def test_another_server_of_the_cluster_is_listened_to_when_one_is_gone() -> None:
    # Given a cluster, and somebody who listens to its first server
    require_redis()
    async with Aio(RedisCluster(masters=3)) as aio:
        nodes = aio.sync.nodes
        told: list[str] = []
        silences = Silences()
        channel = Channel(
            Address.parse(nodes[0].url),
            on_silence=silences,
            others=lambda: [Address.parse(node.url) for node in nodes],
        )
        await channel.open()
        await channel.listen("a", told.append)
        nodes[2].call("PUBLISH", "a", "x")
        await eventually(lambda: told == ["x"])
        # When this one is killed
        await asyncio.to_thread(nodes[0].kill)
        await eventually(lambda: silences.count)
        # Then another one is listened to
        assert nodes[1].call("PUBLISH", "a", "y") == 1 or nodes[2].call("PUBLISH", "a", "y") == 1
        await eventually(lambda: told[-1] == "y")
        await channel.close()


# --- anything -------------------------------------------------------------------------------------
MOVES = st.one_of(
    st.tuples(st.just("listen"), st.integers(0, 3)),
    st.tuples(st.just("end"), st.integers(0, 20)),
    st.tuples(st.just("publish"), st.integers(0, 3)),
    st.tuples(st.just("cut"), st.just(0)),
    st.tuples(st.just("turn"), st.integers(0, 5)),
)


class Play:
    """A channel that moves are made with."""

    def __init__(self, server: RedisServer) -> None:
        self.server = server
        self.channel = Channel(Address.parse(server.url), on_silence=Silences())
        # For each who listens: the name, how to end it, what it was told, what it should be.
        self.listeners: list[tuple[str, Callable[[], None], list[str], list[str]]] = []
        self.published: dict[str, list[str]] = {}

    async def move(self, what: str, number: int) -> None:
        name = f"n{number}"
        if what == "listen":
            told: list[str] = []
            end = await self.channel.listen(name, told.append)
            self.listeners.append((name, end, told, []))
        elif what == "end" and self.listeners:
            self.listeners.pop(number % len(self.listeners))[1]()
        elif what == "publish":
            self.publish(name)
        elif what == "cut":
            cut(self.server)
        elif what == "turn":
            for _ in range(number):
                await asyncio.sleep(0)

    def publish(self, name: str) -> None:
        texts = self.published.setdefault(name, [])
        texts.append(f"{name}:{len(texts)}")
        self.server.call("PUBLISH", name, texts[-1])
        for listener, _, _, due in self.listeners:
            if listener == name:
                due.append(texts[-1])

    def stands(self) -> bool:
        names = {listener[0] for listener in self.listeners}
        return self.channel.up and all(listening(self.server, name) for name in names)

    async def check(self) -> None:
        if self.listeners:
            # The last one to each name is told to all, once the connection stands again.
            await eventually(self.stands)
            for name in {listener[0] for listener in self.listeners}:
                self.publish(name)
            for _, _, told, due in self.listeners:
                await eventually(partial(ends_alike, told, due))
        for name, _, told, due in self.listeners:
            texts = [text for text in told if text]
            in_order = [text for text in self.published[name] if text in texts]
            assert texts == in_order  # each once
            assert "" in told or set(due) <= set(texts)  # what may be missing was told of


def ends_alike(told: list[str], due: list[str]) -> bool:
    return bool(told) and told[-1] == due[-1]


async def play(server: RedisServer, moves: list[tuple[str, int]]) -> None:
    play = Play(server)
    await play.channel.open()
    for what, number in moves:
        await play.move(what, number)
    await play.check()
    await play.channel.close()


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(MOVES, max_size=15))
def test_everything_is_told_or_told_to_be_missing(
    server: RedisServer, moves: list[tuple[str, int]]
) -> None:
    asyncio.run(play(server, moves))
