"""Finding runs: every bucket has its own indexes, and pages are merged from all of them."""

from __future__ import annotations

import asyncio
import json
from math import ceil
from typing import Any

from mageflow_core.machine import Status
from mageflow_core.signatures.signature import Signature, TaskSignature
from mageflow_core.stores.protocol import Query
from mageflow_core.stores.redis.keys import BUCKETS
from mageflow_core.stores.redis.server import Server

Found = tuple[int, str]  # time of creation in ms, id


def indexes_of(signature: Signature[object]) -> list[str]:
    """What a run of this signature is found by, besides time and status."""
    names = []
    if isinstance(signature, TaskSignature):
        names.append(f"t:{signature.task}")
    if signature.name is not None:
        names.append(f"n:{signature.name}")
    return names + [_label(name, value) for name, value in signature.labels.items()]


def _label(name: str, value: str) -> str:
    return f"l:{json.dumps(name)}={value}"


def _asked(query: Query) -> list[str]:
    """The indexes to look into."""
    names = [f"i:{_label(name, value)}" for name, value in query.labels.items()]
    if query.name is not None:
        names.append(f"i:n:{query.name}")
    if query.task is not None:
        names.append(f"i:t:{query.task}")
    if query.status is not None:
        names.append(f"i:s:{query.status.value}")
    return names or ["i"]


class Finder:
    def __init__(self, server: Server) -> None:
        self._server = server

    async def page(self, query: Query) -> list[Found]:
        """The newest that match, one more than asked for where there are more."""
        after_time, _, after_id = (query.after or "-").partition("-")
        arguments = (
            json.dumps(_asked(query)),
            _ceiling(query.since),
            _ceiling(query.until),
            after_time,
            after_id,
            query.limit + 1,
        )
        rows = await self._everywhere("find", *arguments)
        found = [
            (int(time), run_id)
            for row in rows
            for run_id, time in zip(row[::2], row[1::2], strict=True)
        ]
        return sorted(found, reverse=True)[: query.limit + 1]

    async def counts(self) -> dict[Status, int]:
        statuses = list(Status)
        rows = await self._everywhere("counts", *(status.value for status in statuses))
        sums = {s: sum(row[n] for row in rows) for n, s in enumerate(statuses)}
        return {status: count for status, count in sums.items() if count}

    async def _everywhere(self, step: str, *arguments: str | int) -> list[list[Any]]:
        calls = (self._server.on_bucket(step, bucket, *arguments) for bucket in range(BUCKETS))
        return list(await asyncio.gather(*calls))


def _ceiling(seconds: float | None) -> int | str:
    """The first whole millisecond that is not before that time, as far as floats are exact."""
    return ceil(round(seconds * 1000, 3)) if seconds is not None else ""


def cursor(found: Found) -> str:
    time, run_id = found
    return f"{time}-{run_id}"
