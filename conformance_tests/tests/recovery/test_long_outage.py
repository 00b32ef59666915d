"""A server that is away for longer than a lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mageflow_conformance.flows import call
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, LOST
from mageflow_core import swarm

LEASE = 2.0  # seconds
SHORT = 24  # items
WAITED = 14  # items that have begun when the others have waited for longer than a second


@pytest.mark.parametrize("workers", [1, 2])
async def test_work_goes_on_at_once_when_the_server_is_back_and_nothing_counts_as_lost(
    make_site: Callable[..., Any],
    make_server: Callable[..., RedisServer],
    ledger: Ledger,
    workers: int,
) -> None:
    # Given more jobs than slots, two of which are taken for long
    server = make_server()
    site = make_site(server.url, lease=LEASE)
    for _ in range(workers):
        await site.worker(slots=4 // workers)
    mf = await site.watch()
    away, longest = call("sleep", seconds=3 * LEASE), call("sleep", seconds=5 * LEASE)
    short = [call("sleep", seconds=0.4)] * SHORT
    run = await mf.start(swarm([away, longest, *short], max_concurrency=None))
    await eventually(lambda: len(ledger.of(BEGUN)) >= WAITED, within=20)
    # When its server is killed, and comes back when every lease has ended
    await asyncio.to_thread(server.kill)
    await eventually(lambda: ledger.of(ENDED, below=f"{run.id}/0"), within=20)
    await asyncio.to_thread(server.start)
    # Then all of it runs, and what ran meanwhile is taken as it is
    await site.kept(run)
    assert len(ledger.of(BEGUN)) == len({row.key for row in ledger.of(BEGUN)}) == 2 + SHORT
    assert ledger.of(LOST) == []
