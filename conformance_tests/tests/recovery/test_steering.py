"""Steering by a process that does not work, of bodies that run in another one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal

import pytest

from mageflow_conformance.flows import call
from mageflow_conformance.history import steer
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.proxy import CutOff, Proxy
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, STOPPED
from mageflow_core import Mageflow, Run, Status, chain, swarm

WITHIN = 1.0  # seconds


async def stopped_after(ledger: Ledger, run: Run[Any], since: float) -> float:
    """Seconds until the body of a run was stopped."""
    rows = await ledger.has(STOPPED, below=run.id)
    return rows[-1].t - since


async def begun(mf: Mageflow, ledger: Ledger, flow: Any) -> Run[Any]:
    run = await mf.start(flow)
    await ledger.has(BEGUN, below=run.id)
    return run


async def test_interrupt_and_cancel_reach_a_body_in_another_process_within_a_second(
    make_site: Callable[..., Any],
    server: RedisServer,
    ledger: Ledger,
    record_property: Callable[[str, object], None],
) -> None:
    # Given a process that works, and bodies there
    site = make_site(server.url)
    await site.worker()
    mf = await site.watch()
    interrupted = await begun(mf, ledger, call("sleep"))
    canceled = await begun(mf, ledger, chain(call("sleep"), call("step")))
    now = asyncio.get_running_loop().time
    # When another one interrupts one of them and cancels the other
    stopping: list[tuple[Literal["interrupt", "cancel"], Run[Any]]] = [
        ("interrupt", interrupted),
        ("cancel", canceled),
    ]
    for verb, run in stopping:
        asked = now()
        assert await steer(ledger, run, verb)
        # Then they see it within a second
        took = await stopped_after(ledger, run, asked)
        record_property(verb, f"{took:.3f} s")
        assert took < WITHIN
    await canceled.settled(timeout=5)
    assert await canceled.status() is Status.CANCELED
    assert await interrupted.status() is Status.INTERRUPTED
    # When the interrupted one is resumed, then its body runs again, and cancelling it ends it
    assert await steer(ledger, interrupted, "resume")
    await ledger.has(BEGUN, 2, below=interrupted.id)
    assert await steer(ledger, interrupted, "cancel")
    for run in (interrupted, canceled):
        await site.kept(run)


async def test_nothing_is_claimed_below_what_another_process_has_suspended(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger
) -> None:
    # Given a swarm that runs elsewhere
    site = make_site(server.url)
    await site.worker()
    mf = await site.watch()
    items = [call("item", i=i, pace=0.02) for i in range(100)]
    run = await begun(mf, ledger, chain(swarm(items, max_concurrency=5), call("total")))
    # When it is suspended, then those that run end, and no other begins
    assert await steer(ledger, run, "suspend")
    assert await run.status() is Status.SUSPENDED
    count = len(ledger.of(BEGUN))
    await ledger.has(ENDED, count)
    assert count < len(items)
    # When other work has been done meanwhile, then still none has
    other = await mf.start(chain(*[call("step")] * 20))
    await site.kept(other)
    assert len(ledger.of(BEGUN, below=run.id)) == count
    # When it is resumed, then all of it ends
    assert await steer(ledger, run, "resume")
    assert await run.result(timeout=10) == {"n": sum(i * i for i in range(100))}
    await site.kept(run)


async def test_another_process_retries_what_has_failed(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger
) -> None:
    # Given a run that has failed in another process
    site = make_site(server.url)
    await site.worker()
    mf = await site.watch()
    flow = chain(call("step"), call("fail"), call("step")).on_error(call("warned"))
    run = await mf.start(flow)
    await run.settled(timeout=10)
    # When it is retried here, then what has failed runs again there, and what is done does not
    await run.retry()
    await ledger.has(FAILED, 2, below=run.id)
    await site.kept(run)
    assert [row.key for row in ledger.of(ENDED, task="step")] == [f"{run.id}/0"]
    assert len(ledger.of(ENDED, task="warned")) == 2


@pytest.mark.parametrize("verb", ["interrupt", "cancel"])
async def test_while_nobody_can_listen_a_body_is_stopped_at_the_next_renewal(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger, verb: Any
) -> None:
    # Given a worker whose control channel is down for good
    renewal = 1.0
    async with Proxy(server.port) as proxy:
        site = make_site(proxy.url, lease=6 * renewal)
        await site.worker()
        mf = await site.watch(store=server.url)
        run = await begun(mf, ledger, call("sleep"))
        proxy.rule = CutOff()
        proxy.cut(listening=True)
        # When its body is steered, then it sees that within one renewal
        asked = asyncio.get_running_loop().time()
        assert await steer(ledger, run, verb, reach=renewal + 0.5)
        assert await stopped_after(ledger, run, asked) < renewal + 0.5
        # And once the channel is up again, as fast as ever
        proxy.rule = None
        if verb == "interrupt":
            assert await steer(ledger, run, "resume")
            await ledger.has(BEGUN, 2, below=run.id)
            assert await steer(ledger, run, "cancel", reach=renewal + 0.5)
        await site.kept(run)
