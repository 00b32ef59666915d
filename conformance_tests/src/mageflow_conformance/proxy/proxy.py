"""A proxy on the loopback, in the test's own event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from mageflow_conformance.proxy.frames import Frames, words_of
from mageflow_conformance.servers.ports import HOST

CHUNK = 65_536


class Rule(Protocol):
    """What happens to requests on their way."""

    def refuses(self, words: list[str]) -> bool:
        """Whether the connection is closed instead of forwarding this request."""
        ...

    def loses(self, words: list[str]) -> bool:
        """Whether this request is forwarded and the connection closed when its reply has come,
        without a part of that."""
        ...

    def lost(self, words: list[str]) -> None:
        """A reply was lost: the server has done what was asked."""
        ...


class Proxy:
    """To a server at this port. `async with` it; connections are as many as are made.

    rule: of all requests, `None` for none; may be changed at any time.
    """

    def __init__(self, port: int) -> None:
        self.rule: Rule | None = None
        self._to = port
        self._server: asyncio.Server
        self._pairs: set[_Pair] = set()
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return f"redis://{HOST}:{port}/0"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def listens(self) -> bool:
        """Whether a connection has subscribed, that nothing has ended since."""
        return any(pair.listens for pair in self._pairs)

    def cut(self, *, listening: bool = False) -> None:
        """End the connections there are; listening: only those that have subscribed."""
        for pair in self._pairs:
            if pair.listens or not listening:
                pair.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._pass(reader, writer)
        finally:
            self._serving.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            to_reader, to_writer = await asyncio.open_connection(HOST, self._to)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(self, writer, to_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(pair.ask(reader), pair.answer(to_reader))
        finally:
            self._pairs.discard(pair)


class _Pair:
    """One client's connection, and the one to the server."""

    def __init__(
        self, proxy: Proxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter
    ) -> None:
        self.listens = False
        self._proxy = proxy
        self._client = client
        self._server = server
        self._owed: deque[list[str] | None] = deque()  # words of those whose replies get lost

    def abort(self) -> None:
        self._client.transport.abort()
        self._server.transport.abort()

    async def ask(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                for request in frames.feed(data):
                    if not self._forward(request):
                        break
        self.abort()

    def _forward(self, request: bytes) -> bool:
        rule, words = self._proxy.rule, words_of(request)
        if rule is not None and rule.refuses(words):
            self.abort()
            return False
        self.listens = self.listens or words[0].upper() == "SUBSCRIBE"
        self._owed.append(words if rule is not None and rule.loses(words) else None)
        self._server.write(request)
        return True

    async def answer(self, reader: asyncio.StreamReader) -> None:
        frames = Frames()
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self.listens:  # what comes there is no reply
                    self._client.write(data)
                    continue
                for reply in frames.feed(data):
                    words = self._owed.popleft()
                    if words is not None:
                        self.abort()
                        if self._proxy.rule is not None:
                            self._proxy.rule.lost(words)
                        return
                    self._client.write(reply)
        self.abort()
