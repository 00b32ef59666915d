"""A Redis server that has no memory left."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mageflow_conformance.flows import SHAPES, call
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import stays
from mageflow_conformance.witness import BEGUN
from mageflow_core import Mageflow, Run, Status, chain, swarm
from mageflow_core.errors import StoreFull

BALLAST = "x" * 50_000
LIMIT = 5


async def fill(mf: Mageflow) -> StoreFull:
    """Start runs until the server takes no more."""
    while True:
        try:
            await mf.store(call("step", ballast=BALLAST))
        except StoreFull as full:
            return full


@pytest.mark.timeout(180)
async def test_starting_says_that_the_server_is_full_and_what_runs_ends_when_it_is_not(
    make_site: Callable[..., Any], make_server: Callable[..., RedisServer], ledger: Ledger
) -> None:
    # Given flows that run on a server of little memory
    server = make_server(maxmemory="8mb")
    site = make_site(server.url, lease=30.0)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    items = [call("item", i=i, pace=0.5) for i in range(100)]
    many = chain(swarm(items, max_concurrency=LIMIT), call("total"))
    runs: list[Run[Any]] = [await mf.start(many)]
    runs += [await mf.start(shape(), {"n": 1}) for shape in SHAPES.values()]
    await ledger.has(BEGUN, 10, below=runs[0].id)
    # When it is full, then starting says so, and what to do
    full = await fill(mf)
    assert "has no memory left" in str(full)
    assert "maxmemory" in str(full)
    # And what runs goes no further for as long as that lasts, while it can be read
    server.call("CONFIG", "SET", "maxmemory", "1mb")
    count = len(ledger.of(BEGUN)) + LIMIT
    with pytest.raises(StoreFull):
        await mf.start(call("step"))
    await stays(lambda: len(ledger.of(BEGUN)) < count, seconds=1.5)
    assert await runs[0].status() is Status.ACTIVE
    # When there is memory again
    server.call("CONFIG", "SET", "maxmemory", "64mb")
    # Then all that had been started ends, and nothing has run twice
    for run in runs:
        await site.kept(run, within=90)
    assert await runs[0].result() == {"n": sum(i * i for i in range(100))}
    await site.kept(await mf.start(call("step")))
