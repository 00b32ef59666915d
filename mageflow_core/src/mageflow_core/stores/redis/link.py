"""One connection to one server, which many calls share."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NoReturn, Protocol

from mageflow_core.errors import StoreUnavailable
from mageflow_core.stores.redis.call import Call, Written, pack
from mageflow_core.stores.redis.connecting import CONNECT_WITHIN, Address, Connection
from mageflow_core.stores.redis.replies import REPLIES, Why, code_of, why_lost
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.several import Several, grouped

STALLED = 10.0  # seconds without a reply that is owed, after which a connection counts as dead
WAIT, WAIT_AGAIN = 1.0, 0.1  # seconds for replicas: as a rule, and once too few have answered


class Owner(Protocol):
    """What a link tells. Called on the event loop."""

    def answered(self, link: Link, call: Call, reply: Any) -> None:
        """reply: what the server has said, or the driver's exception."""
        ...

    def ended(self, link: Link, calls: list[Call], why: Why) -> None:
        """The connection is gone, and these have no answer. why: an error of ours where it is of
        no use to connect again."""
        ...

    def few_replicas(self, link: Link, count: int) -> None: ...


class Link:
    """Calls made in one turn of the event loop go out in one write, and any number of such writes
    may be on their way. A call whose caller has gone still takes its reply out of the row.

    Lives from `start` to the first trouble, then gives back what it could not do. replicas: how
    many must have what scripts have written before their replies are given. several: the script
    by which calls go together that may; what fails in company is asked again alone.
    """

    def __init__(
        self, address: Address, owner: Owner, *, replicas: int, several: Script | None = None
    ) -> None:
        self.address = address
        self.refused: dict[str, Exception] = {}  # scripts that could not be loaded, by digest
        self._owner = owner
        self._replicas = replicas
        self._several = several
        self._knows_several = False
        self._wait = WAIT
        self._queue: list[Call] = []
        self._expected: deque[Call | Several | Script | Written] = deque()
        self._flushing = True  # nothing is written before it is connected
        self._heard = 0.0
        self._why: Why | None = None
        self._connection: Connection | None = None
        self._watching: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None]
        self._closed = False
        self._over = False  # its event loop has cancelled what it has, and nobody has closed this

    def start(self) -> None:
        self._task = self._loop.create_task(self._run(), name=f"mageflow: {self.address}")

    @property
    def idle(self) -> bool:
        return not (self._queue or self._expected)

    def submit(self, call: Call) -> None:
        if self._over:
            call.fail(_over())
            return
        self._queue.append(call)
        if not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def drop(self, why: str) -> None:
        """End the connection; its calls are given back."""
        self._why = why
        if self._connection is not None:
            self._connection.abort()

    async def close(self) -> None:
        """End the connection, and tell nobody."""
        self._closed = True
        self._task.cancel()
        await asyncio.wait([self._task])

    # --- writing --------------------------------------------------------------------------------
    def _flush(self) -> None:
        self._flushing = False
        calls, self._queue = self._queue, []
        if not self._expected:
            self._heard = self._loop.time()
        parts: list[bytes] = []
        written = None
        loaded = set()
        # Who has gone asks no more.
        asked = [call for call in calls if not call.future.done()]
        for entry in grouped(asked, self._several):
            script = entry.script
            if script is not None:
                load = entry.load or (script is self._several and not self._knows_several)
                if load and script.sha not in loaded:
                    loaded.add(script.sha)
                    self._knows_several |= script is self._several
                    parts.append(pack("SCRIPT", "LOAD", script.text))
                    self._expected.append(script)
                if self._replicas and written is None:
                    written = Written()
            entry.written = written if script is not None else None
            parts.append(entry.packed)
            self._expected.append(entry)
        if written is not None:
            parts.append(pack("WAIT", self._replicas, int(self._wait * 1000)))
            self._expected.append(written)
        if parts and self._connection is not None:
            self._connection.write(b"".join(parts))

    # --- reading --------------------------------------------------------------------------------
    async def _run(self) -> None:
        try:
            self._connection = self.address.connection()
            async with asyncio.timeout(CONNECT_WITHIN):
                await self._connection.connect()
            self._watch()
            self._flush()
            await self._read(self._connection)
        except asyncio.CancelledError:
            if not self._closed:
                self._over = True
                for call in self._unanswered():
                    call.fail(_over())
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, its calls must go on
            self._why = self._why or why_lost(error, str(self.address))
        finally:
            if self._watching is not None:
                self._watching.cancel()
            if self._connection is not None:
                await self._connection.end()
        self._owner.ended(self, self._unanswered(), self._why or "the connection was lost")

    async def _read(self, connection: Connection) -> NoReturn:
        while True:
            self._take(await self._next(connection))

    async def _next(self, connection: Connection) -> Any:
        try:
            return await connection.read_response(disconnect_on_error=False)
        except REPLIES as error:
            return error

    def _take(self, reply: Any) -> None:
        self._heard = self._loop.time()
        entry = self._expected.popleft()
        if isinstance(entry, Call):
            self._answered(entry, reply, entry.written)
        elif isinstance(entry, Several):
            self._take_several(entry, reply)
        elif isinstance(entry, Script):
            self._loaded(entry, reply)
        else:
            self._replicated(entry, reply)

    def _answered(self, call: Call, reply: Any, written: Written | None) -> None:
        if written is None or isinstance(reply, Exception):
            self._owner.answered(self, call, reply)
        else:
            written.answers.append((call, reply))

    def _take_several(self, several: Several, reply: Any) -> None:
        if isinstance(reply, Exception) and code_of(reply) == "NOSCRIPT":
            self._knows_several = False
        replies = [reply] * len(several.calls) if isinstance(reply, Exception) else reply
        for call, own in zip(several.calls, replies, strict=False):
            if isinstance(own, Exception):
                call.company = None
                self.submit(call)
            else:
                self._answered(call, own, several.written)
        for call in several.calls[len(replies) :]:
            self.submit(call)

    def _loaded(self, script: Script, reply: Any) -> None:
        if isinstance(reply, Exception):
            self.refused[script.sha] = reply
            if script is self._several:
                self._several = None
        else:
            self.refused.pop(script.sha, None)

    def _replicated(self, written: Written, reply: Any) -> None:
        failed = isinstance(reply, Exception)
        if not failed:
            few = reply < self._replicas
            self._wait = WAIT_AGAIN if few else WAIT
            if few:
                self._owner.few_replicas(self, reply)
        for call, answer in written.answers:
            self._owner.answered(self, call, reply if failed else answer)

    def _watch(self) -> None:
        if self._expected and self._loop.time() - self._heard > STALLED:
            self.drop(f"no reply for {STALLED:g} s")
        else:
            self._watching = self._loop.call_later(STALLED / 4, self._watch)

    def _unanswered(self) -> list[Call]:
        calls = []
        for entry in self._expected:
            if isinstance(entry, Call):
                calls.append(entry)
            elif isinstance(entry, Several):
                calls += entry.calls
            elif isinstance(entry, Written):
                calls += [call for call, _ in entry.answers]
        return calls + self._queue


def _over() -> StoreUnavailable:
    return StoreUnavailable("The event loop ends, and the store was not closed before that.")
