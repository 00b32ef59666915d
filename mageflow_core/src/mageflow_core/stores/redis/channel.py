"""What is published in a Redis server, told to those who listen."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NoReturn

from mageflow_core.errors import NotOpen, StoreDenied
from mageflow_core.stores.redis.call import pack
from mageflow_core.stores.redis.connecting import CONNECT_WITHIN, Address, Connection
from mageflow_core.stores.redis.node import FIRST_PAUSE, LONGEST_PAUSE
from mageflow_core.stores.redis.replies import REPLIES, Why, error_of, why_lost

log = logging.getLogger("mageflow.store")

CONFIRMED_WITHIN = 1.0  # seconds that one who begins to listen waits for the server to say so
PING_AFTER = 10.0  # seconds without a word; after as many again the connection counts as dead
SELDOM = 60  # attempts for one line in the log


class Topic:
    """A name that is listened to."""

    __slots__ = ("answered", "denied", "late", "tells", "waiting")

    def __init__(self) -> None:
        self.tells: dict[object, Callable[[str], None]] = {}
        self.waiting: list[asyncio.Future[None]] = []
        self.answered = False  # the server has, since it was last connected to
        self.denied: str | None = None
        self.late = False  # somebody who listens here did not wait for the answer any longer

    def settle(self, error: Exception | None = None) -> None:
        """Let those go on who wait until it is subscribed."""
        for future in self.waiting:
            if not future.done() and error is not None:
                future.set_exception(type(error)(str(error)))
            elif not future.done():
                future.set_result(None)
        self.waiting.clear()


class Channel:
    """One connection for all that one event loop listens to. Connects at the first `listen`.

    Guarantees: what is published after `listen` has returned is told, in order, while the
    connection stands; when it was lost, or could not be made, and stands again, `on_silence` is
    called and every listener is told "": something may have been missed, look again. A dead
    server is noticed within 20 s. Not guaranteed: that anything is told while the server is away.

    on_silence and what is told run on the event loop and must not block; what they raise is
    logged. others: asked for more servers of the same cluster, for when this one is away.
    """

    def __init__(
        self,
        address: Address,
        *,
        on_silence: Callable[[], None],
        others: Callable[[], Sequence[Address]] = tuple,
    ) -> None:
        self.address = address
        self.up = False  # connected, and everything is subscribed that was asked for before
        self._on_silence = on_silence
        self._others = others
        self._topics: dict[str, Topic] = {}
        self._open = False
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._asked: deque[Topic | None] = deque()  # who is answered next; None: nobody
        self._out: list[bytes] = []
        self._unconfirmed = 0  # of what was listened to before the connection was made
        self._heard = 0.0
        self._why = ""
        self._watching: asyncio.TimerHandle | None = None
        self._missed = False  # something may have been published that nobody was told
        self._away = False  # the last attempt to connect has failed

    async def open(self) -> None:
        """Does not connect yet."""
        self._open = True

    async def close(self) -> None:
        """End the connection and all listening. Who waits in `listen` gets `NotOpen`."""
        self._open = False
        for topic in self._topics.values():
            topic.settle(NotOpen("The store was closed before it answered."))
        self._topics.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        self._connection = None
        self.up = self._away = self._missed = False
        self._asked.clear()
        self._out.clear()

    async def listen(self, name: str, tell: Callable[[str], None]) -> Callable[[], None]:
        """Tell what is published under a name, from now on until the returned function is called.

        Returns when the server has confirmed it, or when it cannot be reached or, as one that is
        frozen, says nothing for a second: then `tell` gets "" once it has confirmed it. Raises
        `StoreDenied` if this user may not listen there, and `NotOpen`.
        """
        end = self.begin(name, tell)
        try:
            await self._confirmed(self._topics[name])
        except BaseException:
            end()
            raise
        return end

    def begin(self, name: str, tell: Callable[[str], None]) -> Callable[[], None]:
        """The same at once: `stands` says whether it is confirmed. Where this user may not listen
        there it is asked for again until that is so. Raises `NotOpen`."""
        if not self._open:
            raise NotOpen("The store is closed.")
        topic = self._topics.get(name)
        if topic is None:
            topic = self._topics[name] = Topic()
            if self._connection is not None:
                self._subscribe(name, topic)
        token = object()
        topic.tells[token] = tell
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"mageflow: channel {self.address}")
        return partial(self._end, name, topic, token)

    def stands(self, name: str) -> bool:
        """Whether what is published there now is told, and all that may have been missed before
        has been told as such."""
        topic = self._topics.get(name)
        return self.up and topic is not None and topic.answered and topic.denied is None

    async def _confirmed(self, topic: Topic) -> None:
        if topic.denied is not None:
            raise StoreDenied(topic.denied)
        if self._away:
            self._missed = True
        elif not topic.answered:
            future = asyncio.get_running_loop().create_future()
            topic.waiting.append(future)
            try:
                async with asyncio.timeout(CONFIRMED_WITHIN):
                    await future
            except TimeoutError:  # who asks it for something next learns that it is away
                topic.late = True

    def _end(self, name: str, topic: Topic, token: object) -> None:
        topic.tells.pop(token, None)
        if not topic.tells and self._topics.get(name) is topic:
            del self._topics[name]
            if self._connection is not None:
                self._send(None, "UNSUBSCRIBE", name)

    # --- the connection -------------------------------------------------------------------------
    async def _run(self) -> None:
        attempt = 0
        while self._topics:
            near = [self.address, *(each for each in self._others() if each != self.address)]
            address = near[attempt % len(near)]
            try:
                await self._serve(address)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
                why = self._why or why_lost(error, str(address))
            attempt = self._gone(address, why, attempt)
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 10))
            await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - jitter
        self._away = False
        self._task = None

    def _gone(self, address: Address, why: Why, attempt: int) -> int:
        """Take leave of a connection; gives how often in a row none could be made."""
        stood = self._connection is not None
        self.up = False
        self._connection = None
        self._asked.clear()
        self._out.clear()
        self._missed = self._missed or bool(self._topics)
        for topic in self._topics.values():
            topic.answered, topic.denied, topic.late = False, None, False
        if stood:
            log.warning("The connection to %s that listens was lost: %s", address, why)
            return 0
        if attempt % SELDOM == 0:
            log.warning("Nobody can listen at %s: %s", address, why)
        self._away = True
        for topic in self._topics.values():
            topic.settle(why if isinstance(why, Exception) else None)
        return attempt + 1

    async def _serve(self, address: Address) -> NoReturn:
        self._why = ""
        connection = address.connection()
        try:
            async with asyncio.timeout(CONNECT_WITHIN):
                await connection.connect()
            self._connection = connection
            self._heard = asyncio.get_running_loop().time()
            self._watch()
            self._unconfirmed = len(self._topics)
            for name, topic in self._topics.items():
                self._subscribe(name, topic)
            self._stand()
            await self._read(connection)
        finally:
            if self._watching is not None:
                self._watching.cancel()
            await connection.end()

    async def _read(self, connection: Connection) -> NoReturn:
        now = asyncio.get_running_loop().time
        while True:
            try:
                reply = await connection.read_response(disconnect_on_error=False)
            except REPLIES as error:
                reply = error
            self._heard = now()
            if isinstance(reply, list) and reply[0] == "message":
                topic = self._topics.get(reply[1])
                if topic is not None:
                    self._tell(topic, reply[2])
            elif (topic := self._asked.popleft()) is not None:
                self._answer(topic, reply)

    def _answer(self, topic: Topic, reply: Any) -> None:
        topic.answered = True
        if isinstance(reply, Exception):
            denied = error_of(reply, str(self.address))
            if topic.denied is None:
                log.warning("%s", denied)
            topic.denied = str(denied)
            topic.settle(denied)
        else:
            topic.settle()
            if topic.denied is not None or topic.late:
                topic.denied, topic.late = None, False
                self._safely(self._on_silence)
                self._tell(topic, "")
        if self._unconfirmed:  # replies come in the order of the questions
            self._unconfirmed -= 1
            self._stand()

    def _stand(self) -> None:
        if self._unconfirmed:
            return
        self.up, self._away = True, False
        if self._missed:
            self._missed = False
            log.info("%s is listened to again.", self.address)
            self._safely(self._on_silence)
            for topic in list(self._topics.values()):
                self._tell(topic, "")

    def _tell(self, topic: Topic, text: str) -> None:
        for tell in list(topic.tells.values()):
            self._safely(tell, text)

    def _safely(self, function: Callable[..., None], *args: str) -> None:
        try:
            function(*args)
        except Exception:
            log.exception("A listener has failed.")

    def _subscribe(self, name: str, topic: Topic) -> None:
        self._send(topic, "SUBSCRIBE", name)

    def _send(self, asker: Topic | None, *words: str) -> None:
        self._asked.append(asker)
        self._out.append(pack(*words))
        if len(self._out) == 1:
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        if self._out and self._connection is not None:
            self._connection.write(b"".join(self._out))
            self._out.clear()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        silent = loop.time() - self._heard
        if silent >= 2 * PING_AFTER and self._connection is not None:
            self._why = f"no word for {silent:.0f} s"
            self._connection.abort()
        elif silent >= PING_AFTER:
            self._send(None, "PING")
        for name, topic in self._topics.items():
            if topic.denied is not None:
                self._subscribe(name, topic)  # what a user may do can change
        self._watching = loop.call_later(PING_AFTER / 2, self._watch)
