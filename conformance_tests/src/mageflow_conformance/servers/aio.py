"""Servers from within an event loop."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar


class Server(Protocol):
    """What all servers here can do. Each call blocks until it is done, some milliseconds mostly."""

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...
    def restart(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def close(self) -> None: ...


S = TypeVar("S", bound=Server)


class Aio(Generic[S]):
    """A server whose calls do not block the loop: each runs in a thread.

    `async with Aio(RedisServer()) as server:` starts it, and ends it with all it has written.
    """

    def __init__(self, server: S) -> None:
        self.sync = server

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.sync.close)

    async def start(self) -> None:
        await asyncio.to_thread(self.sync.start)

    async def stop(self) -> None:
        await asyncio.to_thread(self.sync.stop)

    async def kill(self) -> None:
        await asyncio.to_thread(self.sync.kill)

    async def restart(self) -> None:
        await asyncio.to_thread(self.sync.restart)

    async def pause(self) -> None:
        await asyncio.to_thread(self.sync.pause)

    async def resume(self) -> None:
        await asyncio.to_thread(self.sync.resume)
