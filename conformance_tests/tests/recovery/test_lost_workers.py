"""Processes that are killed, freeze, or are taken for dead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from mageflow_conformance.flows import call
from mageflow_conformance.history import Evidence
from mageflow_conformance.ledger import Ledger, Row
from mageflow_conformance.processes import Process
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, LOST, STOPPED
from mageflow_core import Status, chain, swarm
from mageflow_core.stores.protocol import Store

LEASE = 2.0  # seconds
ITEMS, LIMIT = 200, 10


def callbacks(evidence: Evidence) -> list[list[Row]]:
    """What each callback of the run wrote."""
    nodes = [node for node in evidence.root.walk() if node.view.role == "callback"]
    return [evidence.bodies[node.key] for node in nodes]


async def test_another_process_ends_the_run_of_one_that_is_killed_in_the_middle(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger
) -> None:
    # Given two processes that work, and a long swarm inside a chain
    site = make_site(server.url, lease=LEASE)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    items = [call("item", i=i, pace=0.03) for i in range(ITEMS)]
    many = swarm(items, max_concurrency=LIMIT).on_success(call("noted"))
    flow = chain(call("step"), many, call("total"), call("step")).on_success(call("noted"))
    run = await mf.start(flow, {"n": 1})
    # When the one that runs it is killed, with bodies that have begun
    rows = await ledger.has(BEGUN, ITEMS * 2 // 5, below=run.id)
    victim = site.of(rows[-1].pid)
    await freeze_at_work(victim, ledger)
    await victim.kill()
    # Then the other one ends it
    assert await run.result(timeout=20) == {"n": 1 + sum(i * i for i in range(ITEMS))}
    evidence = await site.kept(run)
    assert {row.pid for row in ledger.of(ENDED, task="total")} != {victim.pid}
    # And what ran in the one that died has run again, all else once, and so did each callback
    again = [rows for rows in evidence.bodies.values() if len([*begun(rows)]) > 1]
    assert 0 < len(again) <= LIMIT
    assert [len(rows) for rows in callbacks(evidence)] == [2, 2]


async def seen_since(store: Store, time: float) -> bool:
    """Whether two workers are alive, and both have said so since."""
    workers = await store.workers()
    return len(workers) == 2 and all(each.seen_at > time for each in workers)


async def freeze_at_work(process: Process, ledger: Ledger) -> None:
    """Returns when it stands still with some body that has begun and not ended."""
    while True:
        await process.freeze()
        mine = [row for row in ledger.rows() if row.pid == process.pid]
        count = sum((row.what == BEGUN) - (row.what == ENDED) for row in mine)
        if count:
            return
        process.thaw()
        await ledger.has(BEGUN, len(ledger.of(BEGUN)) + 1)


def begun(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.what == BEGUN]


@pytest.mark.parametrize("task", ["sleep", "doze"])
async def test_what_a_frozen_process_says_late_changes_nothing_and_it_works_on(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger, task: str
) -> None:
    # Given a process that runs a body
    site = make_site(server.url, lease=LEASE)
    zombie = await site.worker()
    mf = await site.watch()
    run = await mf.start(chain(call(task, seconds=LEASE / 2), call("noted")))
    await ledger.has(BEGUN, below=run.id)
    # When it is frozen for longer than its lease
    await zombie.freeze()
    await site.worker()
    await ledger.has(ENDED, 2, below=run.id)
    # Then another one ends the run
    evidence = await site.kept(run)
    first, second = begun(evidence.bodies[f"{run.id}/0"])
    assert (first.pid, first.fence, second.fence) == (zombie.pid, 1, 2)
    # When it goes on, then it knows what has happened, and what its body says is refused
    zombie.thaw()
    await ledger.has(ENDED, 3, below=run.id)
    late = ledger.of(ENDED, below=run.id)[-1]
    assert (late.pid, late.fence) == (zombie.pid, 1)
    assert [row.pid for row in await ledger.has(LOST)] == [zombie.pid]
    store = await mf.opened()
    assert await store.value(f"{run.id}/0") == "2"
    await site.kept(run)
    # And it works on as any other, once they have heard of each other again
    back = store.now()
    await eventually(lambda: seen_since(store, back), within=20)
    heard = store.now()
    await eventually(lambda: seen_since(store, heard), within=20)
    later = [await mf.start(chain(call("step"), call("work"))) for _ in range(12)]
    for each in later:
        await site.kept(each)
    ran = [row for each in later for row in ledger.of(ENDED, below=each.id)]
    assert {row.fence for row in ran} == {1}
    assert zombie.pid in {row.pid for row in ran}


async def test_a_body_is_stopped_when_its_process_hears_that_it_runs_elsewhere(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger
) -> None:
    # Given a long body, in a process that is frozen until another one runs it
    site = make_site(server.url, lease=LEASE)
    zombie = await site.worker()
    mf = await site.watch()
    run = await mf.start(call("sleep", seconds=2 * LEASE))
    await ledger.has(BEGUN, below=run.id)
    await zombie.freeze()
    await site.worker()
    await ledger.has(BEGUN, 2, below=run.id)
    # When it goes on, then its body is stopped, and not the other one
    zombie.thaw()
    (stopped,) = await ledger.has(STOPPED, below=run.id)
    assert (stopped.pid, stopped.fence) == (zombie.pid, 1)
    assert await run.result(timeout=10) == 2
    await site.kept(run)
    assert len(ledger.of(STOPPED)) == 1


async def test_a_body_keeps_its_claim_though_nothing_was_claimed_before_for_long(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger
) -> None:
    # Given a step that begins when the lease that the one before it was claimed under would end
    site = make_site(server.url, lease=LEASE)
    await site.worker()
    mf = await site.watch()
    delays = [LEASE * 0.7, LEASE * 0.8, LEASE * 0.9, LEASE - 0.05]
    runs = [
        await mf.start(chain(call("step"), call("sleep", seconds=LEASE).options(delay=delay)))
        for delay in delays
    ]
    # When it takes as long as a lease, then it has run once
    for run in runs:
        await site.kept(run)
        assert len(ledger.of(BEGUN, below=run.id)) == 2
        assert await run.status() is Status.DONE
