"""JetStream of NATS."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace
from logging import getLogger
from typing import Any

from nats.aio.client import Client
from nats.errors import TimeoutError as NothingCame
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from taskiq import AckableMessage
from taskiq_nats import NatsBroker, PullBasedJetStreamBroker

from mageflow_core.backends import Capabilities
from mageflow_taskiq.engines.engine import PLAIN, Engine
from mageflow_taskiq.engines.taking import taken

log = getLogger("mageflow.taskiq")

BLOCK = 1.0  # seconds that a read waits at the server: as long as stopping may take


async def _told(error: Exception) -> None:
    """In place of a page for each attempt to connect."""
    log.warning("NATS: %s: %s", type(error).__name__, error)


class JetStreamBroker(PullBasedJetStreamBroker):
    """A stream that keeps what is not done, and a consumer that all workers share."""

    def __init__(self, url: str, *, queue: str, redeliver_after: float) -> None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", queue)
        super().__init__(
            url.split(","),
            subject=queue,
            stream_name=name,
            durable=name,
            stream_config=StreamConfig(retention=RetentionPolicy.WORK_QUEUE),
            consumer_config=ConsumerConfig(
                durable_name=name, ack_wait=redeliver_after, max_ack_pending=-1
            ),
            connect_timeout=5,
            max_reconnect_attempts=-1,
            error_cb=_told,
        )

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        messages = taken(self._read, self._give_back)
        async with aclosing(messages):
            async for message in messages:
                yield AckableMessage(data=message.data, ack=message.ack)

    async def _read(self) -> list[Any]:
        try:
            found: list[Any] = await self.consumer.fetch(batch=1, timeout=BLOCK)
        except NothingCame:
            return []
        return found

    async def _give_back(self, messages: list[Any]) -> None:
        for message in messages:
            await message.nak()


class JetStreamEngine(Engine):
    title = "NATS"

    @property
    def caps(self) -> Capabilities:
        kept = not isinstance(self.broker, NatsBroker)
        return replace(PLAIN, keeps_jobs=kept, reports_waiting=kept)

    @property
    def place(self) -> str:
        servers = self.broker.servers
        return servers if isinstance(servers, str) else ",".join(servers)

    def forget(self) -> None:
        self.broker.client = Client()

    def warnings(self, slots: int) -> Iterator[str]:
        del slots
        if isinstance(self.broker, NatsBroker):
            yield (
                "NatsBroker gives a task to those that listen at that moment, and forgets it: "
                "flows run all the same, late; use PullBasedJetStreamBroker"
            )

    async def waiting(self) -> int | None:
        if isinstance(self.broker, NatsBroker):
            await self.broker.client.flush(timeout=3)
            return None
        info = await self.broker.consumer.consumer_info()
        waiting: int | None = info.num_pending
        return waiting

    async def mend(self) -> None:
        if not isinstance(self.broker, NatsBroker):
            await self.broker._add_or_reuse_stream()  # noqa: SLF001 - taskiq does so at its start only
            await self.broker._startup_consumer()  # noqa: SLF001
