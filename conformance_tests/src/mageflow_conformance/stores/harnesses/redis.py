"""The store in Redis: on a server at a URL, or on one that the suite has started itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, ClassVar, Self
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from mageflow_conformance.servers import Aio, RedisCluster, RedisServer, Wire
from mageflow_conformance.stores.harness import StoreHarness, Times
from mageflow_conformance.stores.requirement import Ability
from mageflow_core.stores.protocol import Store, StoreOptions

if TYPE_CHECKING:
    from mageflow_core.stores.redis.steps import Steps

SHORT = Times(unconfirmed_after=1.0, resend_after=1.2, reservation=1.5)
CONFIRM_WITHIN = 0.05  # seconds; it has to be less than `unconfirmed_after`
BATCH = 1_000  # keys


class RedisHarness(StoreHarness):
    """Needs the driver of Redis, as the store does."""

    abilities: frozenset[Ability] = frozenset({"size", "hasten"})
    times: ClassVar[Times] = SHORT

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._server: Aio[RedisServer | RedisCluster] | None = None

    @classmethod
    def on(cls, server: RedisServer | RedisCluster) -> Self:
        """On a server that was started by the suite, which so can restart it."""
        harness = cls(server.url)
        harness._server = Aio(server)
        harness.lasting = server.persistence == "aof"
        harness.abilities |= {"restart"}
        return harness

    def make(self, options: StoreOptions, *, hastened: bool) -> Store:
        if not hastened:
            return super().make(options, hastened=False)
        from mageflow_core.stores.redis import RedisStore, confirming  # noqa: PLC0415
        from mageflow_core.stores.redis.connecting import Address  # noqa: PLC0415

        with patch.object(confirming, "WITHIN", CONFIRM_WITHIN):
            return RedisStore(Address.parse(self.url), options, steps=shortened())

    # --- beside the store -------------------------------------------------------------------------
    def _nodes(self) -> Iterator[Wire]:
        parts = urlsplit(self.url)
        host, port = parts.hostname or "localhost", parts.port or 6_379
        user = unquote(parts.username) if parts.username else None
        password = unquote(parts.password) if parts.password else None

        def wire(host: str, port: int) -> Wire:
            return Wire(port, host=host, user=user, password=password)

        first = wire(host, port)
        if "cluster_enabled:1" not in str(first.call("INFO", "cluster")):
            yield first
            return
        for line in str(first.call("CLUSTER", "NODES")).splitlines():
            _, address, flags, *_ = line.split()
            if "master" in flags and "fail" not in flags:
                place, _, number = address.partition("@")[0].rpartition(":")
                yield wire(place, int(number))

    def _keys(self, node: Wire, namespace: str) -> list[str]:
        found: list[str] = []
        cursor = "0"
        while True:
            cursor, keys = node.call("SCAN", cursor, "MATCH", f"{{{namespace}:*", "COUNT", BATCH)
            found += keys
            if cursor == "0":
                return found

    async def size(self, store: Store, namespace: str) -> int:  # noqa: ARG002
        def count() -> int:
            return sum(len(set(self._keys(node, namespace))) for node in self._nodes())

        return await asyncio.to_thread(count)

    async def clean(self, namespace: str) -> None:
        def remove() -> None:
            for node in self._nodes():
                keys = self._keys(node, namespace)
                if keys:  # one by one: in a cluster, they may be of several slots
                    node.call_all([("UNLINK", key) for key in keys])

        await asyncio.to_thread(remove)

    async def stop_server(self) -> None:
        assert self._server is not None
        await self._server.kill()

    async def start_server(self) -> None:
        assert self._server is not None
        await self._server.start()


def changes(times: Times) -> dict[str, list[tuple[str, str]]]:
    """Lines of the store's scripts by their names, and how they say these times."""
    unconfirmed, resend = times.unconfirmed_after * 1000, times.resend_after * 1000
    reservation = f"{times.reservation * 1000:.0f}"
    return {
        "effects": [("UNCONFIRMED = 10000", f"UNCONFIRMED = {unconfirmed:.0f}")],
        "confirm": [("LONGEST = 60000", f"LONGEST = {resend:.0f}")],
        "fire": [("tonumber(ARGV[5])", reservation)],
        "reserve": [("tonumber(ARGV[3])", reservation)],
    }


@cache
def shortened(times: Times = SHORT) -> Steps:
    """The store's scripts, going by shorter times."""
    from mageflow_core.stores.redis.steps import Steps  # noqa: PLC0415

    folder = files("mageflow_core.stores.redis") / "lua"
    instead = {}
    for name, pairs in changes(times).items():
        text = (folder / f"{name}.lua").read_text("utf-8")
        for said, shorter in pairs:
            assert said in text, f"{name}.lua does not say {said!r} any more"
            text = text.replace(said, shorter)
        instead[name] = text
    return Steps(instead)
