"""Real servers, and one that says what it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any, Protocol

import pytest
from handles import Stores

from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.scripts import Script, compose
from mageflow_core.stores.redis.wire import Wire

ECHO = "return ARGV[1]"
# What all steps have in common: made again, it answers as it did the first time.
ONCE = """
local found = redis.call('HGET', KEYS[1], ARGV[1])
if found then return found end
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[1] .. ':' .. count)
return ARGV[1] .. ':' .. count
"""


class MakeServer(Protocol):
    def __call__(self, **options: Any) -> RedisServer: ...


class OpenWire(Protocol):
    def __call__(self, url: str, *, patience: float = ..., replicas: int = ...) -> Awaitable[Wire]:
        """A wire that is closed when the test ends."""
        ...


Handle = Callable[[list[str]], str | None]


class Fake:
    """A server that answers as a function says: in the protocol's words, `None` for not at all."""

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.seen: list[list[str]] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readline():
            words = []
            for _ in range(int(head[1:])):
                size = int((await reader.readline())[1:])
                words.append((await reader.readexactly(size + 2))[:-2].decode())
            self.seen.append(words)
            reply: str | None = "+OK" if words[0] in ("CLIENT", "SELECT") else self.handle(words)
            if reply == "hang up":
                break
            if reply is not None:
                writer.write(reply.encode() + b"\r\n")
        writer.close()


def script(text: str, name: str = "test") -> Script:
    return compose(name, ["part"], instead={"part": text})


@pytest.fixture
def make_script() -> Callable[..., Script]:
    return script


@pytest.fixture
def echo() -> Script:
    """Gives its argument back."""
    return script(ECHO, "echo")


@pytest.fixture
def once() -> Script:
    """Counts the ids that it is called with, and says for each which one in the row it was."""
    return script(ONCE, "once")


@pytest.fixture(scope="session")
def _shared() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(_shared: RedisServer) -> RedisServer:
    """An empty server that must be left as it is."""
    _shared.call("FLUSHALL")
    _shared.call("SCRIPT", "FLUSH")
    _shared.call("CONFIG", "RESETSTAT")
    return _shared


@pytest.fixture
def make_server() -> Iterator[MakeServer]:
    """Starts servers of the test's own."""
    require_redis()
    with ExitStack() as stack:

        def make(**options: Any) -> RedisServer:
            return stack.enter_context(RedisServer(**options))

        yield make


@pytest.fixture
async def open_wire() -> AsyncIterator[OpenWire]:
    wires = []

    async def make(url: str, *, patience: float = 10, replicas: int = 0) -> Wire:
        wire = Wire(Address.parse(url), patience=patience, wait_replicas=replicas)
        wires.append(wire)
        await wire.open()
        return wire

    yield make
    for wire in wires:
        await wire.close()


@pytest.fixture
async def stores(server: RedisServer) -> AsyncIterator[Stores]:
    """Opens stores that are closed when the test ends."""
    made = Stores(server)
    yield made
    await made.close()


@pytest.fixture
def fake() -> Callable[[Handle], Any]:
    """Serves while the context lasts."""

    @asynccontextmanager
    async def serve(handle: Handle) -> AsyncIterator[Fake]:
        made = Fake(handle)
        tasks = set()

        async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            tasks.add(task)
            try:
                await made.serve(reader, writer)
            except (asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
                writer.close()

        listening = await asyncio.start_server(serve_one, "127.0.0.1", 0)
        made.port = listening.sockets[0].getsockname()[1]
        try:
            yield made
        finally:
            listening.close()
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    return serve


@pytest.fixture(autouse=True)
async def nothing_is_left() -> AsyncIterator[None]:
    """Fails tests after which tasks are left."""
    before = asyncio.all_tasks()
    yield
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert left == set()
