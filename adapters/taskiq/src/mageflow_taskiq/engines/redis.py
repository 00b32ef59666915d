"""What all that is on Redis has in common, and its channels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionLost
from taskiq import BrokerMessage

from mageflow_core.backends import Capabilities
from mageflow_taskiq.engines.engine import PLAIN, Engine

BLOCK = 1.0  # seconds that a read waits at the server: as long as stopping may take


class RedisEngine(Engine):
    """Those of clusters and sentinels have connections of their own kind: they are used as taskiq
    has them."""

    title = "Redis"

    @property
    def caps(self) -> Capabilities:
        return replace(PLAIN, reports_waiting=hasattr(self.broker, "connection_pool"))

    @property
    def place(self) -> str:
        pool = getattr(self.broker, "connection_pool", None)
        said = getattr(pool, "connection_kwargs", {})
        if "path" in said:
            return f"unix://{said['path']}"
        return (
            f"redis://{said['host']}:{said.get('port', 6379)}" if "host" in said else super().place
        )

    def connections(self) -> object:
        pool = getattr(self.broker, "connection_pool", None)
        return super().connections(), vars(pool).copy() if pool is not None else None

    def forget(self) -> None:
        pool = getattr(self.broker, "connection_pool", None)
        if pool is not None:
            pool.reset()

    async def greet(self) -> None:
        if hasattr(self.broker, "connection_pool"):
            await self._redis.ping()

    @cached_property
    def _redis(self) -> Redis:
        """Of the broker's own connections, where it has a pool of them."""
        return Redis(connection_pool=self.broker.connection_pool)

    async def send(self, messages: Sequence[BrokerMessage]) -> list[BaseException | None]:
        add = self._adder()
        if add is None:
            return await super().send(messages)
        try:
            return await self._send(messages, add)
        except ConnectionLost:
            # Most likely one that has died while it was not used; so may have the others.
            await self.broker.connection_pool.disconnect(inuse_connections=False)
            return await self._send(messages, add)

    async def _send(
        self, messages: Sequence[BrokerMessage], add: Callable[[Any, str, BrokerMessage], object]
    ) -> list[BaseException | None]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for message in messages:
                add(pipe, message.labels.get("queue_name") or self.broker.queue_name, message)
            said = await pipe.execute(raise_on_error=False)
        return [each if isinstance(each, BaseException) else None for each in said]

    def _adder(self) -> Callable[[Any, str, BrokerMessage], object] | None:
        """How one message is sent among others; `None` for brokers with a way of their own."""
        return None


class ChannelEngine(RedisEngine):
    @property
    def caps(self) -> Capabilities:
        return PLAIN

    def warnings(self, slots: int) -> Iterator[str]:
        del slots
        yield (
            "PubSubBroker gives each task to all workers that listen at that moment, and forgets "
            "it: flows run all the same, late, with work for nothing; use streams instead"
        )
