"""What MageFlow knows of a kind of broker, beyond what taskiq's own interface says."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from taskiq import AsyncBroker, BrokerMessage

from mageflow_core.backends import Capabilities, Job

PLAIN = Capabilities(late_registration=True, gives_back=True)


class Engine:
    """A broker of a kind that nothing more is known of; derive from it for those that it is.

    Derived classes may look into their brokers: taskiq says nothing of depths, of connections that
    have died with their loop, or of sending many messages at once.
    """

    title = "taskiq"

    def __init__(self, broker: AsyncBroker) -> None:
        self.broker: Any = broker

    @property
    def caps(self) -> Capabilities:
        return PLAIN

    @property
    def place(self) -> str:
        """Its URL, as it is known; passwords and all."""
        return type(self.broker).__name__

    def labels(self, job: Job) -> Mapping[str, str]:
        """What the broker itself reads of a message."""
        return {"queue_name": job.queue} if job.queue else {}

    def warnings(self, slots: int) -> Iterator[str]:
        """What would lose or double work, or hold it up, with the setting to change. slots: bodies
        that a worker runs at the same time."""
        del slots
        kind = type(self.broker)
        yield (
            f"{kind.__module__}.{kind.__qualname__} is a broker that MageFlow knows nothing of: "
            "what it loses is sent again in a minute or later"
        )

    async def send(self, messages: Sequence[BrokerMessage]) -> list[BaseException | None]:
        """For each what went wrong, or `None`. May raise: then it went wrong for all."""
        kicks = (self.broker.kick(message) for message in messages)
        return list(await asyncio.gather(*kicks, return_exceptions=True))

    async def greet(self) -> None:
        """Have the engine answer, where starting the broker does not."""

    async def waiting(self) -> int | None:
        """Messages that no worker has taken, where that can be known. Raises where the engine does
        not answer."""
        return None

    def limit(self, slots: int) -> None:
        """Before listening: have no more than this given to this process, if that can be said."""

    async def mend(self) -> None:
        """Make again what a restart of the engine may have taken with it, before listening."""

    def connections(self) -> object:
        """What holds those that there are, whatever becomes of the broker."""
        return vars(self.broker).copy()

    def forget(self) -> None:
        """Let go of connections, which are closed, or belong to another process or event loop."""
