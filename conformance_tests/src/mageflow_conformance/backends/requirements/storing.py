"""B-STORE: a store that is killed, away or cut off, or whose replies get lost."""

from __future__ import annotations

import asyncio

from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.tasks.faults import open_gate
from mageflow_conformance.flows import call
from mageflow_conformance.flows.load import load_on
from mageflow_conformance.proxy import Away, LostReply, Proxy
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, LOST
from mageflow_core import chain


async def losing(stage: Stage, step: str, nth: int) -> tuple[Proxy, LostReply]:
    """A way to the store on which the n-th reply to a step gets lost."""
    await stage.load_scripts()
    proxy = await stage.proxy()
    rule = proxy.rule = LostReply(step, nth)
    return proxy, rule


def ran_once(stage: Stage) -> None:
    """No body has run twice; `stumble` fails at its first attempt."""
    begun = stage.ledger.of(BEGUN)
    again = len(stage.ledger.of(FAILED, task="stumble"))
    assert len(begun) == len({row.key for row in begun}) + again
    assert not stage.ledger.of(LOST)


# --- lost replies ---------------------------------------------------------------------------------
@requirement(
    "B-STORE-01",
    "A start whose acknowledgement gets lost is asked for again, and there is one run, which runs "
    "once.",
)
async def lost_reply_to_a_start(stage: Stage) -> None:
    await stage.worker()
    proxy, rule = await losing(stage, "create", 2)
    client = await stage.watch(store=proxy.url)
    runs = [await client.start(chain(call("step"), call("work")), {"n": n}) for n in range(3)]
    assert rule.happened.is_set()
    assert [await run.result(timeout=20) for run in runs] == [{"n": n + 2} for n in range(3)]
    for run in runs:
        await stage.kept(run)
    assert {run.id for run in await stage.mf.find()} == {run.id for run in runs}
    assert len(stage.ledger.of(BEGUN)) == 2 * len(runs)


@requirement(
    "B-STORE-02",
    "A claim whose answer gets lost is asked for again by the worker that made it, and its body "
    "runs once.",
)
async def lost_reply_to_a_claim(stage: Stage) -> None:
    proxy, rule = await losing(stage, "claim", 2)
    await stage.worker(store=proxy.url)
    await _two_callbacks(stage)
    assert rule.happened.is_set()


@requirement(
    "B-STORE-03",
    "An outcome whose acknowledgement gets lost is reported again, and counts once: what comes "
    "next runs once, and so do callbacks.",
)
async def lost_reply_to_a_report(stage: Stage) -> None:
    proxy, rule = await losing(stage, "report", 2)
    await stage.worker(store=proxy.url)
    await _two_callbacks(stage)
    assert rule.happened.is_set()


async def _two_callbacks(stage: Stage) -> None:
    flow = chain(call("step"), call("stumble").on_success(call("noted")), call("work"))
    run = await stage.mf.start(flow.on_success(call("noted")), {"n": 1})
    assert await run.result(timeout=20) == {"n": 13}
    await stage.kept(run)
    ran_once(stage)
    assert len(stage.ledger.of(ENDED, task="noted")) == 2


# --- away -----------------------------------------------------------------------------------------
@requirement(
    "B-STORE-04",
    "A job that comes while the store does not answer, for longer than a call waits for it, is not "
    "lost, and runs once when it does.",
)
async def away_at_a_claim(stage: Stage) -> None:
    proxy = await stage.proxy()
    rule = proxy.rule = Away("claim")
    patience = 1.5  # seconds that a call waits before it gives up
    await stage.worker(store=proxy.url, store_patience=patience)
    runs = [await stage.mf.start(call("step"), {"n": n}) for n in range(5)]
    async with asyncio.timeout(20):
        await rule.happened.wait()
    await asyncio.sleep(1.5 * patience)  # as long as the store is away
    assert not stage.ledger.of(BEGUN)
    rule.back()
    for n, run in enumerate(runs):
        assert await run.result(timeout=30) == {"n": n + 1}
        await stage.kept(run)
    assert len(stage.ledger.of(BEGUN)) == len(runs)


@requirement(
    "B-STORE-05",
    "While connections to the store are cut again and again, each start that was acknowledged "
    "ends, and no body runs twice.",
    within=120,
)
async def cut_off(stage: Stage) -> None:
    proxy = await stage.proxy()
    for _ in range(2):
        await stage.worker(store=proxy.url)
    client = await stage.watch(store=proxy.url)
    async with load_on(client, stage.ledger, at_once=2) as load:
        for _ in range(3):
            await load.grows()
            proxy.cut()
        await load.grows()
    for _, run in load.started:
        await stage.kept(run, within=40)
    ran_once(stage)


@requirement(
    "B-STORE-06",
    "When the store was away for longer than a lease, what ran meanwhile has run once: no worker "
    "takes another one for dead.",
    settings={"lease": 2.0},
    within=120,
)
async def away_for_longer_than_a_lease(stage: Stage) -> None:
    server = await stage.own_store()
    for _ in range(2):
        await stage.worker(store=server.url)
    client = await stage.watch(store=server.url)
    runs = [await client.start(call("await_gate", gate="go")) for _ in range(6)]
    await stage.ledger.has(BEGUN, len(runs))
    await asyncio.to_thread(server.pause)
    try:
        await asyncio.sleep(1.5 * float(stage.settings["lease"]))  # as long as that is
        open_gate(stage.ledger, "go")
        await stage.ledger.has(ENDED, len(runs))
    finally:
        server.resume()
    for run in runs:
        assert await run.result(timeout=30) == {"n": 1}
        evidence = await stage.kept(run)
        assert evidence.root.view.crashes == 0
    assert len(stage.ledger.of(BEGUN)) == len(runs)


@requirement(
    "B-STORE-07",
    "When the store is killed and started again under load, having kept what it acknowledged, each "
    "start that was acknowledged ends, and no body runs twice.",
    alone=True,
    within=120,
)
async def killed(stage: Stage) -> None:
    server = await stage.own_store()
    for _ in range(2):
        await stage.worker(store=server.url)
    client = await stage.watch(store=server.url)
    async with load_on(client, stage.ledger, at_once=4) as load:
        for _ in range(2):
            await load.grows()
            await asyncio.to_thread(_kill_and_start, server)
        await load.grows()
    for _, run in load.started:
        await stage.kept(run, within=60)
    ran_once(stage)


def _kill_and_start(server: RedisServer) -> None:
    server.kill()
    server.start()
