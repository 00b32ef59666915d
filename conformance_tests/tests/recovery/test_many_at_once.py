"""Many bodies in one process, and bodies that let nothing else of it run."""

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
from mageflow_core import Mageflow, Status, swarm
from mageflow_core.stores.redis.keys import BUCKETS

SWARMS, ITEMS = 100, 100
LEASE = 6.0  # seconds


def calls(server: RedisServer, command: str) -> int:
    said = server.info("commandstats").get(f"cmdstat_{command}", "calls=0")
    return int(said.split(",")[0].removeprefix("calls="))


async def seen_at(mf: Mageflow) -> float:
    (worker,) = await (await mf.opened()).workers()
    return worker.seen_at


@pytest.mark.timeout(120)
async def test_renewing_costs_no_more_for_ten_thousand_bodies_than_for_one_in_each_bucket(
    make_site: Callable[..., Any], server: RedisServer
) -> None:
    # Given ten thousand bodies at once, of runs in all buckets
    site = make_site(server.url)
    free, running = asyncio.Event(), 0
    mf = Mageflow(**site.settings, lease=LEASE, slots=SWARMS * ITEMS, warn_unclosed=False)

    @mf.task
    async def wait(i: int) -> int:
        nonlocal running
        running += 1
        await free.wait()
        return i

    items = swarm([call("wait", i=i) for i in range(ITEMS)], max_concurrency=None)
    async with mf:
        runs = [await mf.start(items) for _ in range(SWARMS)]
        await eventually(lambda: running == SWARMS * ITEMS, within=60, about="all bodies")
        # When leases are renewed
        last = await seen_at(mf)

        async def renewed() -> bool:
            return await seen_at(mf) != last

        await eventually(renewed, within=10)
        server.call("CONFIG", "RESETSTAT")
        last = await seen_at(mf)
        await eventually(renewed, within=10)
        # Then that is a call for each bucket, and not for each body
        assert calls(server, "evalsha") <= 3 * BUCKETS + 20  # with what the reconciler looks at
        # And all end, each once
        free.set()
        for run in runs:
            assert await run.result(timeout=60) == list(range(ITEMS))
        assert running == SWARMS * ITEMS


@pytest.mark.parametrize(("lease", "seconds"), [(6.0, 3.0), (30.0, 5.0)])
async def test_a_body_that_holds_the_gil_costs_no_body_its_claim(
    make_site: Callable[..., Any],
    server: RedisServer,
    ledger: Ledger,
    lease: float,
    seconds: float,
) -> None:
    # Given two processes, in one of which bodies run beside one that lets nobody else run
    site = make_site(server.url, lease=lease)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    runs = [await mf.start(call("sleep", seconds=seconds / 2)) for _ in range(10)]
    holding = await mf.start(swarm([call("hold", seconds=seconds)] + [call("step")] * 5))
    # When that takes long
    for run in [*runs, holding]:
        await run.settled(timeout=30)
    (held,), (free,) = (ledger.of(what, task="hold") for what in (BEGUN, ENDED))
    beside = [row for row in ledger.rows() if row.pid == held.pid]
    assert [row for row in beside if held.t + 0.5 < row.t < free.t - 0.5] == []
    assert free.t - held.t >= seconds
    # Then all have run once
    for run in [*runs, holding]:
        await site.kept(run)
        assert await run.status() is Status.DONE
    assert len(ledger.of(BEGUN)) == len(ledger.of(ENDED)) == len(runs) + 6
    assert ledger.of(LOST) == []
