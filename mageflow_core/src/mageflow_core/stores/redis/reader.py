"""Reads of one run: plain functions over a snapshot, which is filled as they ask for more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from mageflow_core.machine import Draft
from mageflow_core.names import parent_of
from mageflow_core.stores.redis.records import INLINE
from mageflow_core.stores.redis.server import Server
from mageflow_core.stores.redis.snapshot import LONG, Missing, Snapshot

T = TypeVar("T")
Read = Callable[[Draft], T]

AT_ONCE = 1_000  # fields of one request


class Reader:
    """What it gives may be put together from more than one moment of a run that goes on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wire = server.wire
        self._keys = server.keys

    async def one(self, run_id: str, path: str, read: Read[T]) -> T:
        """What the function gives. The node at `path` and those above it are read ahead.

        Raises `RunNotFound`."""
        (found,) = await self.each(Snapshot(run_id), [read], *lineage(path))
        return found

    async def each(self, snapshot: Snapshot, reads: Sequence[Read[T]], *ahead: str) -> list[T]:
        """What each function gives; as few requests as the deepest of them needs. What the
        snapshot has is not read again."""
        await self._fill(snapshot, [n for n in ("run", *ahead) if n not in snapshot.fields])
        draft = Draft(snapshot, self._server.now(), self._server.options.policy)
        found: dict[int, T] = {}
        waiting = list(range(len(reads)))
        while waiting:
            missing: dict[str, None] = {}
            left = []
            for number in waiting:
                try:
                    found[number] = reads[number](draft)
                except Missing as error:
                    missing |= dict.fromkeys(error.names)
                    left.append(number)
            waiting = left
            await self._fill(snapshot, list(missing))
        return [found[number] for number in range(len(reads))]

    async def _fill(self, snapshot: Snapshot, names: Sequence[str]) -> None:
        fields = [name for name in names if not name.startswith(LONG)]
        if len(fields) <= AT_ONCE:
            await self._read(snapshot, fields)
        else:
            chunks = (fields[i : i + AT_ONCE] for i in range(0, len(fields), AT_ONCE))
            await asyncio.gather(*(self._read(snapshot, chunk) for chunk in chunks))
        for name in names:
            if name.startswith(LONG):
                snapshot.fields[name] = await self._long(snapshot.id, name[1:])

    async def _read(self, snapshot: Snapshot, fields: Sequence[str]) -> None:
        if fields:
            key = self._keys.run(snapshot.id)
            row = await self._wire.command("HMGET", key, *fields, key=key)
            snapshot.fields.update(zip(fields, row, strict=True))

    async def _long(self, run_id: str, place: str) -> str | None:
        """A value that has a key of its own, in pieces: one reply must not hold up all others."""
        key = self._keys.value(run_id, place)
        size = await self._wire.command("STRLEN", key, key=key)
        whole = bytearray()
        for first in range(0, size, INLINE):
            piece = await self._wire.command("GETRANGE", key, first, first + INLINE - 1, key=key)
            whole += piece.encode("utf-8", "surrogateescape")  # it may end within a character
        return whole.decode() if whole else None


def lineage(path: str) -> list[str]:
    """Fields of a node and those above it."""
    names = []
    above: str | None = path
    while above is not None:
        names.append(f"n{above}")
        above = parent_of(above)
    return names
