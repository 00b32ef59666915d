"""Threads that talk to the broker: Celery's own publishing blocks."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from celery import Celery

from mageflow_celery.brokers import Broker
from mageflow_celery.publisher import Outgoing, Publisher

log = logging.getLogger("mageflow.celery")
T = TypeVar("T")

NOT_FOUND = "404"  # of a queue that nobody has made yet

# Of a parent process. One that were collected here would close what the two share.
_inherited: list[object] = []


class Lane:
    """One thread with one connection, which it makes when it first needs it and makes anew after
    any failure. A call that takes too long is left behind with its thread."""

    def __init__(self, app: Celery, broker: Broker, timeout: float) -> None:
        self._app = app
        self._broker = broker
        self._timeout = timeout
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._connection: Any = None
        self._publisher: Publisher | None = None
        self._thread = threading.Thread(target=self._run, name="mageflow celery", daemon=True)
        self._thread.start()

    def call(self, function: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._calls.put((function, future))
        return future

    def end(self) -> None:
        """After what it was given before; does not wait."""
        self._calls.put(None)

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            function, future = call
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function())
                except BaseException as error:  # noqa: BLE001 - the caller's
                    self._drop()
                    future.set_exception(error)
        self._drop()

    # --- on the thread --------------------------------------------------------------------------
    def connection(self) -> Any:
        if self._connection is None:
            made = self._app.connection_for_write(
                connect_timeout=self._timeout,
                heartbeat=0,  # nobody would read it while nothing is sent
            )
            options = self._broker.transport_options(self._timeout)
            made.transport_options = {**(made.transport_options or {}), **options}
            self._connection = made
            made.connect()
            made.default_channel  # noqa: B018 - of Redis, the first thing that asks the server
        return self._connection

    def send(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """For each an error, or `None`."""
        used = self._connection is not None
        found = self._published(messages)
        if used and self._connection is None:  # the connection may just have been an old one
            missing = [i for i, error in enumerate(found) if error is not None]
            again = self._published([messages[i] for i in missing])
            for i, error in zip(missing, again, strict=True):
                found[i] = error
        return found

    def _published(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """Where the connection was lost, there is none afterwards."""
        try:
            if self._publisher is None:
                made = self.connection()
                self._publisher = Publisher(self._app, self._broker, made, self._timeout)
            found = self._publisher.publish(messages)
        except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
            self._drop()
            return [error] * len(messages)
        if any(map(self._publisher.is_lost, found)):
            self._drop()
        return found

    def waiting(self, queues: Sequence[str]) -> int:
        connection = self.connection()
        count = 0
        for queue in queues:
            with connection.channel() as channel:  # a new one: an error closes it
                try:
                    count += channel.queue_declare(queue, passive=True).message_count
                except connection.channel_errors as error:
                    if str(getattr(error, "reply_code", "")) != NOT_FOUND:
                        raise
        return count

    def _drop(self) -> None:
        connection, self._connection, self._publisher = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
                log.debug("a connection was not closed in order: %s", error)


class Lanes:
    """One lane at a time in each process, for coroutines."""

    def __init__(self, app: Celery, broker: Broker, timeout: float) -> None:
        self._make: Callable[[], Lane] = lambda: Lane(app, broker, timeout)
        self._lane: Lane | None = None
        self._pid = 0

    def _here(self) -> Lane:
        if self._pid != os.getpid():
            _inherited.append(self._lane)
            self._lane, self._pid = None, os.getpid()
        if self._lane is None:
            self._lane = self._make()
        return self._lane

    async def call(self, function: Callable[[Lane], T], within: float) -> T:
        """Raises `TimeoutError` where it takes longer; it may be done all the same."""
        lane = self._here()
        future: Future[T] = lane.call(lambda: function(lane))
        try:
            async with asyncio.timeout(within):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            if self._lane is lane:
                self._lane = None
            lane.end()
            raise

    async def close(self, within: float) -> None:
        lane, self._lane = (self._lane, None) if self._pid == os.getpid() else (None, None)
        if lane is not None:
            lane.end()
            await asyncio.to_thread(lane.join, within)
