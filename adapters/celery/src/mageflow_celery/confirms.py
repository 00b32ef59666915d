"""Confirmations of RabbitMQ for what was published, many at a time."""

from __future__ import annotations

from typing import Any, Self

from amqp.exceptions import MessageNacked

MARK = "_mageflow_confirms"


class Confirms:
    """Of one channel of py-amqp's, which by itself waits for each message's confirmation before it
    sends the next. Not to be used by two threads at once."""

    def __init__(self, channel: Any) -> None:
        self._connection = channel.connection
        self._publish = channel._basic_publish  # noqa: SLF001 - what it does without waiting
        self._sent = 0  # the server counts them likewise
        self._open: set[int] = set()
        self._refused = False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._confirmed)
        channel.events["basic_nack"].add(self._nacked)
        channel.basic_publish = self._send
        setattr(channel, MARK, self)

    @classmethod
    def of(cls, channel: Any) -> Self:
        found: Self | None = getattr(channel, MARK, None)
        return found if found is not None else cls(channel)

    def wait(self, timeout: float) -> None:
        """Until all that was published is confirmed. timeout: seconds without any word of the
        server's. Raises `TimeoutError` then, and `MessageNacked` where one was refused."""
        while self._open:
            self._connection.drain_events(timeout=timeout)
        refused, self._refused = self._refused, False
        if refused:
            raise MessageNacked("RabbitMQ has refused a message")

    def _send(self, *args: Any, confirm_timeout: float | None = None, **kwargs: Any) -> Any:  # noqa: ARG002 - it does not wait
        sent = self._publish(*args, **kwargs)
        self._sent += 1
        self._open.add(self._sent)
        return sent

    def _confirmed(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - called by py-amqp
        if multiple:
            self._open = {each for each in self._open if each > tag}
        else:
            self._open.discard(tag)

    def _nacked(self, tag: int, multiple: bool) -> None:  # noqa: FBT001 - likewise
        self._refused = True
        self._confirmed(tag, multiple)
