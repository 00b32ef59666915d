"""The way to a Redis server, or to a cluster of them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any

from redis.exceptions import NoPermissionError

from mageflow_core.errors import NotOpen, StoreBroken, StoreError, StoreUnavailable
from mageflow_core.stores.redis.call import Call
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.link import Link
from mageflow_core.stores.redis.node import Node
from mageflow_core.stores.redis.replies import (
    Meaning,
    code_of,
    error_of,
    meaning_of,
    moved_to,
    text_of,
)
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.slots import Place, Slots
from mageflow_core.stores.redis.steps import TOGETHER

log = logging.getLogger("mageflow.store")

LEARN_WITHIN = 2.0  # seconds for a server to say who has which slot
REDIRECTS = 5  # in a row, without a pause
SILENCE = 60.0  # seconds between two warnings


class Wire:
    """Sends calls to the server of their key and gives their replies. For one event loop.

    Guarantees: a call gets its own reply. Where the reply is lost, or the server cannot answer for
    now (it is restarted, loads its data, is busy, another takes its place), the call is made
    again, until `patience` seconds after it was first made. So it may be done more than once, and
    must be one that can be. Not guaranteed: any order between calls; whether a call is done whose
    caller is cancelled, or was told that the store is unavailable.

    Errors: `StoreUnavailable` when the patience is over, and at once where the server takes no
    changes; `StoreFull` and `StoreDenied` at once; `StoreBroken` for the error of a script;
    `NotOpen` before `open` and after `close`.

    wait_replicas: how many must have what a script has written before its reply is given, if they
    say so within a second; if not, that is logged once a minute. several: the script by which
    steps go together that are asked for in one turn of the event loop.
    """

    def __init__(
        self,
        address: Address,
        *,
        patience: float,
        wait_replicas: int = 0,
        several: Script | None = None,
    ) -> None:
        self.address = address
        self.patience = patience
        self.wait_replicas = wait_replicas
        self._several = several
        self._seed = self._node(address)
        self._nodes: dict[Place, Node] = {}
        self._slots = Slots()
        self._calls: dict[Call, None] = {}  # by when their patience is over
        self._sweeping: asyncio.TimerHandle | None = None
        self._learning: asyncio.Task[None] | None = None
        self._warned: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Connect, and learn whether this is a cluster.

        Raises what calls do, and `SettingsError` for a database that the server does not have or
        certificates that cannot be read.
        """
        self._loop = asyncio.get_running_loop()
        try:
            call = Call("CLUSTER", "SLOTS", server=self._seed)
            self._slots.learn(await self._ask(call), self.address.host)
        except StoreBroken:
            pass  # no cluster
        except BaseException as error:
            if not isinstance(error.__cause__, NoPermissionError):
                await self.close()
                raise
            # Who may not ask is told by the servers, slot by slot.

    async def close(self) -> None:
        """End all connections. Calls without a reply raise `NotOpen`."""
        self._loop = None
        for call in self._calls:
            call.fail(_not_open())
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        if self._learning is not None:
            self._learning.cancel()
            await asyncio.wait([self._learning])
        nodes = [self._seed, *self._nodes.values()]
        self._nodes.clear()
        for node in nodes:
            await node.close()

    # --- calls ----------------------------------------------------------------------------------
    async def call(self, script: Script, key: str, *args: str | float) -> Any:
        """What the script gives for this key and these arguments."""
        company = None
        if script.name in TOGETHER:
            # Of a cluster's keys those with one tag are together wherever they are moved.
            company = key.partition("}")[0] if self._slots else ""
        return await self._ask(
            Call("EVALSHA", script.sha, 1, key, *args, key=key, script=script, company=company),
        )

    async def command(self, *args: str | float, key: str) -> Any:
        """The reply to a plain command, of the server that has the key's slot."""
        return await self._ask(Call(*args, key=key))

    async def everywhere(self, *args: str | float) -> list[Any]:
        """The replies to a plain command of all servers that hold slots; where another one takes
        the place of one that is away, of that one."""
        slots: list[int | None] = [*self._slots.some().values()] or [None]
        return await asyncio.gather(*(self._ask(Call(*args, slot=slot)) for slot in slots))

    def addresses(self) -> list[Address]:
        """Servers that hold slots, as far as is known."""
        return [node.address for node in self._masters()]

    @property
    def clustered(self) -> bool:
        return bool(self._slots)

    async def _ask(self, call: Call) -> Any:
        loop = self._loop
        if loop is None:
            raise _not_open()
        call.future = loop.create_future()
        call.deadline = loop.time() + self.patience
        self._calls[call] = None
        if self._sweeping is None:
            self._sweeping = loop.call_at(call.deadline, self._sweep, loop)
        self.route(call)
        try:
            return await call.future
        finally:
            del self._calls[call]

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        self._sweeping = None
        now = loop.time()
        for call in self._calls:
            if call.deadline > now:
                self._sweeping = loop.call_at(call.deadline, self._sweep, loop)
                return
            node = self._node_for(call)
            call.fail(
                StoreUnavailable(
                    f"The Redis server {node.address} has not answered for {self.patience:g} s:"
                    f" {call.cause or 'no reply'}. Check that it runs and can be reached from"
                    " here. What was asked may have been done or not."
                )
            )

    # --- routing --------------------------------------------------------------------------------
    def route(self, call: Call) -> None:
        self._node_for(call).send(call)

    def _node_for(self, call: Call) -> Node:
        if call.server is not None:
            return call.server
        slots, place = self._slots, None
        if slots:
            place = slots.place(call.key) if call.slot is None else slots.at(call.slot)
        return self._seed if place is None else self._node_at(place)

    def _node_at(self, place: Place) -> Node:
        node = self._nodes.get(place)
        if node is None:
            node = self._nodes[place] = self._node(self.address.at(*place))
        return node

    def _node(self, address: Address) -> Node:
        return Node(address, self, replicas=self.wait_replicas, several=self._several)

    def _masters(self) -> list[Node]:
        return [self._node_at(place) for place in self._slots.places()] or [self._seed]

    # --- trouble --------------------------------------------------------------------------------
    def refused(self, node: Node, link: Link, call: Call, error: Exception) -> None:
        meaning = Meaning.FINAL if call.once else meaning_of(error)
        if meaning is Meaning.UNKNOWN_SCRIPT and call.script is not None:
            refusal = link.refused.get(call.script.sha)
            if refusal is not None and call.load:
                error, meaning = refusal, meaning_of(refusal)
            elif call.load:
                node.park(call, text_of(error))
                return
            else:
                call.load = True
                node.send(call)
                return
        if meaning is Meaning.MOVED:
            self._moved(node, call, error)
        elif meaning is Meaning.AGAIN:
            if code_of(error) == "READONLY":
                # Another server has its part now, maybe under the same name.
                link.drop(text_of(error))
            self.lost(node)
            node.park(call, text_of(error))
        else:
            text = text_of(error)
            if call.script is not None:
                text = call.script.explain(text)
            call.fail(error_of(error, str(node.address), text))

    def _moved(self, node: Node, call: Call, error: Exception) -> None:
        slot, host, port = moved_to(error)
        self._slots.move(slot, Place(host or node.address.host, port))
        self.lost(node)
        call.redirects += 1
        if call.redirects % REDIRECTS:
            self.route(call)
        else:
            node.park(call, text_of(error))

    def lost(self, node: Node) -> None:
        if self._slots and self._loop is not None and self._learning is None:
            self._learning = self._loop.create_task(self._learn(node), name="mageflow: slots")

    async def _learn(self, troubled: Node) -> None:
        nodes = [*self._masters(), self._seed]
        nodes.sort(key=lambda node: node is troubled)  # which may be cut off from the others
        try:
            for node in nodes:
                with suppress(StoreError, TimeoutError):
                    async with asyncio.timeout(LEARN_WITHIN):
                        reply = await self._ask(Call("CLUSTER", "SLOTS", server=node, once=True))
                    self._slots.learn(reply, node.address.host)
                    break
            places = set(self._slots.places())
            for place in self._nodes.keys() - places:
                self._nodes[place].release()
                if self._nodes[place].idle:
                    await self._nodes.pop(place).close()
        finally:
            self._learning = None

    def few_replicas(self, node: Node, count: int) -> None:
        now = asyncio.get_running_loop().time()
        if self._warned is None or now - self._warned >= SILENCE:
            self._warned = now
            log.warning(
                "Only %d of the %d replicas that wait_replicas asks for have what %s has stored. It"
                " is kept there; a failover could lose it.",
                count,
                self.wait_replicas,
                node.address,
            )


def _not_open() -> NotOpen:
    return NotOpen("The store is closed, or was closed before it answered.")
