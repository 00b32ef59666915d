"""Streams of Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, suppress
from logging import getLogger
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage, BrokerMessage
from taskiq_redis import RedisStreamBroker

from mageflow_taskiq.engines.redis import BLOCK, RedisEngine
from mageflow_taskiq.engines.taking import Room, one, taken

log = getLogger("mageflow.taskiq")

LOOK = 60.0  # seconds between looks for what was taken and never acknowledged
SOON = 60_000  # milliseconds: an `idle_timeout` below it doubles everyday tasks

Entry = tuple[Any, Any, bytes]  # stream, id, message


class StreamBroker(RedisStreamBroker):
    """A stream that keeps what is not done, and nothing else.

    To be used in place of taskiq-redis's: it misses nothing that was sent before its group was
    made, makes that again where a restart of the server has taken it, takes no more than can be
    worked on, deletes what is acknowledged, and looks for what was taken and never acknowledged
    also while nothing new comes.
    """

    def __init__(self, url: str, *, serves: Sequence[str] = (), **options: Any) -> None:
        super().__init__(url, **{"consumer_id": "0", **options})
        self.served = tuple(serves) or (self.queue_name,)
        self.room: Room = one
        self._redis: Redis = Redis(connection_pool=self.connection_pool)
        self._looked = 0.0
        self._done: list[tuple[Any, Any]] = []
        self._removing: asyncio.Task[None] | None = None

    async def _declare_consumer_group(self) -> None:
        for stream in self.served:
            with suppress(ResponseError):  # it is there
                await self._redis.xgroup_create(
                    stream, self.consumer_group_name, "0", mkstream=True
                )

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        entries = taken(self._read, self._give_back)
        async with aclosing(entries):
            async for stream, number, data in entries:
                yield AckableMessage(data=data, ack=self._ack_generator(number, stream))

    async def _read(self) -> list[Entry]:
        if time.monotonic() - self._looked > min(LOOK, self.idle_timeout / 1000):
            self._looked = time.monotonic()
            found = [each for stream in self.served for each in await self._left(stream)]
            if found:
                return found
        try:
            fetched: Any = await self._redis.xreadgroup(
                self.consumer_group_name,
                self.consumer_name,
                dict.fromkeys(self.served, ">"),
                block=round(BLOCK * 1000),
                count=max(1, self.room()),
            )
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._declare_consumer_group()  # the server has forgotten
            return []
        return [
            (stream, number, fields[b"data"])
            for stream, entries in fetched or ()
            for number, fields in entries
        ]

    async def _left(self, stream: str) -> list[Entry]:
        """What others have taken and not acknowledged for long."""
        try:
            claimed: Any = await self._redis.xautoclaim(
                stream,
                self.consumer_group_name,
                self.consumer_name,
                min_idle_time=self.idle_timeout,
                count=max(1, self.room()),
            )
        except ResponseError:
            return []  # no group: the next read makes it
        return [(stream, number, fields[b"data"]) for number, fields in claimed[1] if fields]

    async def _give_back(self, entries: list[Entry]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            for stream, number, data in entries:
                pipe.xadd(stream, {b"data": data})
                self._remove(pipe, stream, [number])
            await pipe.execute()

    def _remove(self, pipe: Any, stream: Any, numbers: list[Any]) -> None:
        pipe.xack(stream, self.consumer_group_name, *numbers)
        pipe.xdel(stream, *numbers)

    def _ack_generator(self, id: str, queue_name: str) -> Callable[[], Awaitable[None]]:  # noqa: A002
        async def ack() -> None:
            self._done.append((queue_name, id))
            if self._removing is None or self._removing.done():
                self._removing = asyncio.create_task(self._remove_done())

        return ack

    async def _remove_done(self) -> None:
        """All that is acknowledged meanwhile goes in one call: nothing waits for it."""
        while self._done:
            done, self._done = self._done, []
            async with self._redis.pipeline(transaction=True) as pipe:
                for stream in {stream for stream, _ in done}:
                    self._remove(pipe, stream, [number for of, number in done if of == stream])
                try:
                    await pipe.execute()
                except (RedisError, OSError) as error:
                    # They come once more, in `idle_timeout`, and are found to be over.
                    log.warning("%d messages could not be acknowledged: %s", len(done), error)

    async def shutdown(self) -> None:
        if self._removing is not None:
            await asyncio.wait([self._removing], timeout=BLOCK)
        await super().shutdown()


class StreamEngine(RedisEngine):
    def _adder(self) -> Callable[[Any, str, BrokerMessage], object] | None:
        broker = self.broker
        if type(broker).kick is not RedisStreamBroker.kick:
            return None
        options = {"maxlen": broker.maxlen, "approximate": broker.approximate}
        return lambda pipe, queue, said: pipe.xadd(queue, {b"data": said.message}, **options)

    def warnings(self, slots: int) -> Iterator[str]:
        broker = self.broker
        if broker.maxlen is not None:
            yield (
                f"maxlen={broker.maxlen} of the stream {broker.queue_name!r} throws away what is "
                "not done as well: leave it out, and use mageflow_taskiq.StreamBroker, which "
                "deletes what is done"
            )
        if broker.idle_timeout < SOON:
            yield (
                f"idle_timeout={broker.idle_timeout} of the stream {broker.queue_name!r} is in "
                "milliseconds: what runs longer is given to a second worker, which runs it again "
                "if it is no part of a flow. Set it above the longest task"
            )
        if not isinstance(broker, StreamBroker) and (broker.count or slots) > 1:
            yield (
                f"xread_count={broker.count} of the stream {broker.queue_name!r} has a busy worker "
                "hold so many tasks while others are idle: set it to 1, or use "
                "mageflow_taskiq.StreamBroker, which takes as many as can be run"
            )

    async def waiting(self) -> int | None:
        if not hasattr(self.broker, "connection_pool"):
            return None
        group = self.broker.consumer_group_name
        waiting: int = 0
        for stream in getattr(self.broker, "served", (self.broker.queue_name,)):
            groups: Any = await self._redis.xinfo_groups(stream)
            found = [each for each in groups if each["name"] == group.encode()]
            if not isinstance(self.broker, StreamBroker):
                lag = found[0].get("lag") if found else None
                if lag is None:
                    return None
                waiting += int(lag)
            elif found:  # what is there is what is not done
                waiting += int(await self._redis.xlen(stream)) - int(found[0]["pending"])
        return waiting

    async def mend(self) -> None:
        await self.broker._declare_consumer_group()  # noqa: SLF001 - taskiq does so at its start only
