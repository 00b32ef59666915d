"""Lists of Redis."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import Any

from redis.asyncio import Redis
from taskiq import BrokerMessage
from taskiq_redis import ListQueueBroker

from mageflow_taskiq.engines.redis import BLOCK, RedisEngine
from mageflow_taskiq.engines.taking import Room, one, taken


class ListBroker(ListQueueBroker):
    """A list that is taken from no faster than can be worked on."""

    def __init__(self, url: str, *, serves: Sequence[str] = (), **options: Any) -> None:
        super().__init__(url, **options)
        self.served = tuple(serves) or (self.queue_name,)
        self.room: Room = one
        self._redis: Redis = Redis(connection_pool=self.connection_pool)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        entries = taken(self._read, self._give_back)
        async with aclosing(entries):
            async for _, data in entries:
                yield data

    async def _read(self) -> list[tuple[Any, bytes]]:
        found: Any = await self._redis.brpop(list(self.served), timeout=BLOCK)
        if found is None:
            return []
        queue, first = found
        more: Any = None
        if (room := self.room()) > 1:
            more = await self._redis.rpop(queue, room - 1)
        return [(queue, data) for data in [first, *(more or ())]]

    async def _give_back(self, entries: list[tuple[Any, bytes]]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            for queue, data in reversed(entries):
                pipe.rpush(queue, data)
            await pipe.execute()


class ListEngine(RedisEngine):
    def _adder(self) -> Callable[[Any, str, BrokerMessage], object] | None:
        if type(self.broker).kick is not ListQueueBroker.kick:
            return None
        return lambda pipe, queue, said: pipe.lpush(queue, said.message)

    def warnings(self, slots: int) -> Iterator[str]:
        del slots
        yield (
            f"the list {self.broker.queue_name!r} of Redis forgets a task as soon as it gives it "
            "to a worker: what one that is killed had goes. MageFlow sends its own again, after "
            "half a minute what ran, after a minute what did not; tasks that are called natively "
            "are lost. Use streams instead"
        )

    async def waiting(self) -> int | None:
        if not hasattr(self.broker, "connection_pool"):
            return None
        queues = getattr(self.broker, "served", (self.broker.queue_name,))
        return sum([int(await self._redis.llen(queue)) for queue in queues])
