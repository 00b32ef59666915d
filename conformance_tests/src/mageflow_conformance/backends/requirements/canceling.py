"""B-CANCEL: cancel, of what waits, of what runs, and of what is large."""

from __future__ import annotations

import asyncio

from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.steering import (
    LONG,
    begun,
    bodies,
    go,
    other_work,
    steer,
)
from mageflow_conformance.backends.tasks.steered import GO, UNWINDING
from mageflow_conformance.flows import call
from mageflow_conformance.proxy import Counting
from mageflow_conformance.witness import BEGUN, ENDED, STOPPED
from mageflow_core import Status, chain, swarm
from mageflow_core.errors import RunCanceled

RACES = 15
GRACE = 0.5  # seconds


@requirement(
    "B-CANCEL-01",
    "What is canceled while its job waits with the engine has ended at once, and never runs, nor "
    "do its callbacks, when a worker comes.",
)
async def queued_canceled(stage: Stage) -> None:
    flow = chain(call("step"), call("work")).on_success(call("noted")).on_error(call("warned"))
    run = await stage.mf.start(flow, {"n": 0})
    assert await steer(stage, run, "cancel")
    assert await run.status() is await run[0].status() is Status.CANCELED
    with raises(RunCanceled):
        await run.result(timeout=LONG)
    await run.settled(timeout=LONG)
    await stage.worker()
    await other_work(stage)
    assert bodies(stage, run) == {}
    assert all(child.node.role == "child" for child in (await run.tree()).children)


@requirement(
    "B-CANCEL-02",
    "What is canceled in the moment in which it was started, or in which its body has begun, ends "
    "as canceled, and no body of it runs on.",
)
async def canceled_at_its_start(stage: Stage) -> None:
    await stage.worker()
    raced = []
    for number in range(2 * RACES):
        run = await stage.mf.start(call("until"))
        if number % 2:
            await stage.ledger.has(BEGUN, below=run.id, within=LONG)
        assert await steer(stage, run, "cancel")
        raced.append(run)
    for run in raced:
        await run.settled(timeout=LONG)
        assert await run.status() is Status.CANCELED
    began = [run for run in raced if bodies(stage, run)]
    assert len(began) >= RACES
    stage.measured["begun"] = len(began)
    for run in began:
        await stage.ledger.has(STOPPED, below=run.id, within=LONG)
        await stage.kept(run)
    assert stage.ledger.of(ENDED) == []
    await other_work(stage)


@requirement(
    "B-CANCEL-03",
    "What is canceled while a body of it runs is canceling until that body has ended, then "
    "canceled; nothing after it begins, and it has no callbacks.",
)
async def running_canceled(stage: Stage) -> None:
    await stage.worker()
    noted = call("noted")
    flow = chain(call("unwind").on_error(noted).on_success(noted), call("step"))
    run = await begun(stage, flow.on_success(noted).on_error(noted))
    assert await steer(stage, run, "cancel", reach=LONG)
    await stage.ledger.has(UNWINDING, below=run.id, within=LONG)
    await other_work(stage)
    assert await run.status() is await run[0].status() is Status.CANCELING
    go(stage)
    assert (await run.wait(timeout=LONG)).status is Status.CANCELED
    await stage.ledger.has(STOPPED, below=run.id, within=LONG)
    await stage.kept(run)
    assert bodies(stage, run) == {f"{run.id}/0": [1]}


@requirement(
    "B-CANCEL-04",
    "A swarm of 200 items is canceled by one step of the store, as one of 2 is: those that run are "
    "stopped, and no other begins afterwards.",
)
async def large_canceled(stage: Stage) -> None:
    await stage.worker()
    await stage.load_scripts()
    proxy = await stage.proxy()
    steering = await stage.watch(store=proxy.url)
    for size in (2, 200):
        run = await begun(stage, swarm([call("until")] * size, max_concurrency=2))
        await stage.ledger.has(BEGUN, 2, below=run.id, within=LONG)
        theirs = await steering.load(run.id)
        proxy.rule = counting = Counting()
        assert await steer(stage, theirs, "cancel")
        proxy.rule = None
        assert counting.steps == {"steer": 1}, counting.steps
        assert (await run.wait(timeout=LONG)).status is Status.CANCELED
        await stage.ledger.has(STOPPED, 2, below=run.id, within=LONG)
        await other_work(stage)
        assert len(stage.ledger.of(BEGUN, below=run.id)) == 2
        items = await (await stage.mf.opened()).children(run.id, 0, size)
        assert len(items) == size
        assert {item.status for item in items} == {Status.CANCELED}
        await stage.kept(run)


@requirement(
    "B-CANCEL-05",
    "A sync body that is canceled and looks, or is to be stopped by an exception, ends early; one "
    "that does neither goes on and has its outcome taken, and nothing after it begins.",
)
async def sync_canceled(stage: Stage) -> None:
    await stage.worker()
    for task in ("heed", "endure"):
        run = await begun(stage, call(task))
        assert await steer(stage, run, "cancel")
        await stage.ledger.has(STOPPED, below=run.id, within=LONG)
        assert (await run.wait(timeout=LONG)).status is Status.CANCELED
        await stage.kept(run)
    deaf = await begun(stage, chain(call("deafen"), call("step")))
    assert await steer(stage, deaf, "cancel", reach=LONG)
    await other_work(stage)
    assert await deaf.status() is await deaf[0].status() is Status.CANCELING
    go(stage)
    with raises(RunCanceled):
        await deaf.result(timeout=LONG)
    await stage.ledger.has(ENDED, below=deaf.id, within=LONG)
    assert await deaf[0].status() is Status.DONE
    await stage.kept(deaf)
    assert bodies(stage, deaf) == {f"{deaf.id}/0": [1]}


@requirement(
    "B-CANCEL-06",
    "A body that does not end when it is canceled is waited for as long as cancel_grace says; then "
    "its run is canceled all the same, and what it says later changes nothing.",
    settings={"cancel_grace": GRACE},
)
async def grace_over(stage: Stage) -> None:
    await stage.worker()
    now = asyncio.get_running_loop().time
    run = await begun(stage, chain(call("defy"), call("step")).on_error(call("warned")))
    asked = now()
    assert await steer(stage, run, "cancel", reach=3 * LONG)
    assert (await run.wait(timeout=LONG)).status is Status.CANCELED
    assert now() - asked > GRACE
    assert stage.ledger.of(UNWINDING, below=run.id), "it was told"
    assert not stage.ledger.of(ENDED, below=run.id), "it was to run on"
    before = await run.tree()
    go(stage)
    await stage.ledger.has(ENDED, below=run.id, within=LONG)
    await other_work(stage)
    assert await run.tree() == before
    await stage.kept(run)
    assert bodies(stage, run) == {f"{run.id}/0": [1]}


@requirement(
    "B-CANCEL-07",
    "Callbacks of what was done before its container was canceled run to their end, and the run is "
    "settled only then.",
)
async def callbacks_go_on(stage: Stage) -> None:
    await stage.worker()
    done = call("item", i=3).on_success(call("until", gate=GO))
    run = await stage.mf.start(swarm([done, call("until", gate="never")]))
    callback = f"{run[0].key}/!success-0"
    await stage.ledger.has(BEGUN, below=callback, within=LONG)
    await stage.ledger.has(BEGUN, below=run[1].key, within=LONG)
    assert await steer(stage, run, "cancel")
    assert (await run.wait(timeout=LONG)).status is Status.CANCELED
    await stage.ledger.has(STOPPED, below=run[1].key, within=LONG)
    await other_work(stage)
    assert (await run.info()).settled_at is None
    go(stage)
    await stage.ledger.has(ENDED, below=callback, within=LONG)
    await stage.kept(run)
    assert bodies(stage, run)[callback] == [1], "it was not to be stopped"
    assert (await run[0].status(), await run[1].status()) == (Status.DONE, Status.CANCELED)


@requirement(
    "B-CANCEL-08",
    "A canceled item frees its slot, leaves nothing in the results of its swarm and is no failure; "
    "a canceled step cancels its chain.",
)
async def one_node_canceled(stage: Stage) -> None:
    await stage.worker()
    items = [call("until", gate="never"), *[call("item", i=i) for i in range(4)]]
    many = swarm(items, max_concurrency=1, stop_after_n_failures=1)
    run = await begun(stage, many.on_success(call("noted")))
    assert await steer(stage, run[0], "cancel")
    assert await run.result(timeout=LONG) == [None, 0, 1, 4, 9]
    await stage.kept(run)
    view = await run.view()
    assert (view.done, view.canceled, view.failed) == (4, 1, 0)
    steps = await begun(stage, chain(call("step"), call("until", gate="never"), call("step")))
    await stage.ledger.has(BEGUN, below=steps[1].key, within=LONG)
    assert await steer(stage, steps[1], "cancel")
    with raises(RunCanceled):
        await steps.result(timeout=LONG)
    await stage.kept(steps)
    assert set(bodies(stage, steps)) == {f"{steps.id}/0", f"{steps.id}/1"}


@requirement(
    "B-CANCEL-09",
    "Of two clients that cancel a run at once, one is told that it did, the other that there was "
    "nothing to do.",
)
async def two_cancels(stage: Stage) -> None:
    await stage.worker()
    second = await stage.watch()
    for _ in range(10):
        run = await begun(stage, call("until"))
        theirs = await second.load(run.id)
        answers = await asyncio.gather(run.cancel(), theirs.cancel())
        assert sorted(answers) == [False, True]
        assert (await run.wait(timeout=LONG)).status is Status.CANCELED
        await stage.ledger.has(STOPPED, below=run.id, within=LONG)
        await stage.kept(run)
