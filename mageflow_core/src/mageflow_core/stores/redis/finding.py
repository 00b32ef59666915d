"""Finding runs: every bucket has its own indexes, and pages are merged from all of them."""

from __future__ import annotations

import asyncio
import json
from math import ceil

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
        buckets = [self._of_bucket(bucket, query) for bucket in range(BUCKETS)]
        found = [each for some in await asyncio.gather(*buckets) for each in some]
        return sorted(found, reverse=True)[: query.limit + 1]

    async def _of_bucket(self, bucket: int, query: Query) -> list[Found]:
        """Likewise, of those of one bucket: by as many calls as there is to look at."""
        time, _, run_id = (query.after or "-").partition("-")
        span = json.dumps(_asked(query)), _ceiling(query.since), _ceiling(query.until)
        wanted = query.limit + 1
        found: list[Found] = []
        while True:
            row, *at = await self._server.on_bucket(
                "find", bucket, *span, time, run_id, wanted - len(found)
            )
            found += [(int(time), each) for each, time in zip(row[::2], row[1::2], strict=True)]
            if not at:
                return found
            time, run_id = at

    async def counts(self) -> dict[Status, int]:
        statuses = list(Status)
        named = [status.value for status in statuses]
        rows = await asyncio.gather(
            *(self._server.on_bucket("counts", bucket, *named) for bucket in range(BUCKETS))
        )
        sums = {s: sum(row[n] for row in rows) for n, s in enumerate(statuses)}
        return {status: count for status, count in sums.items() if count}


def _ceiling(seconds: float | None) -> int | str:
    """The first whole millisecond that is not before that time, as far as floats are exact."""
    return ceil(round(seconds * 1000, 3)) if seconds is not None else ""


def cursor(found: Found) -> str:
    time, run_id = found
    return f"{time}-{run_id}"
