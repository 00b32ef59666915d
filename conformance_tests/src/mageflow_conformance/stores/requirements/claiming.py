"""S-CLAIM: who may run a node, and who may not."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import INEXACT, SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Status, Verdict
from mageflow_core.stores.protocol import Claimed


def verdict(claimed: Claimed) -> Verdict:
    """What was answered, which only says that it may run together with the work to do."""
    assert (claimed.work is not None) == (claimed.verdict is Verdict.RUN), claimed
    assert claimed.why or claimed.work is not None, f"it does not say why: {claimed}"
    return claimed.verdict


@requirement(
    "S-CLAIM-01",
    "A granted claim has all that a worker needs: the node's key, its attempt, generation and "
    "depth, a fence, the signature, the labels and the input.",
)
async def work_is_complete(bench: Bench) -> None:
    step = task("work-a").bind(word="x").label(team="red")
    flow = await bench.start(chain(swarm(step).bind(inner=1)).bind(outer=[]).label(run="yes"), "m")
    handle = bench.first
    claimed = await flow.claim("/0/0", call="claim-1")
    assert verdict(claimed) is Verdict.RUN
    work = claimed.work
    assert work is not None
    assert (work.key, work.claim) == (flow.key("/0/0"), "claim-1")
    assert (work.attempt, work.generation, work.depth) == (1, 1, 3)
    assert work.fence >= 1
    assert work.signature == step
    assert dict(work.labels) == {"team": "red"}
    assert (work.input.message, work.input.previous) == ('"m"', None)
    assert [dict(args) for args in work.input.arguments] == [{"outer": []}, {"inner": 1}]
    assert (dict(work.input.dependencies), work.input.error) == ({}, None)
    view = await flow.view("/0/0")
    assert (view.status, view.worker, view.attempt) == (Status.ACTIVE, handle.worker, 1)
    assert view.started_at is not None


@requirement(
    "S-CLAIM-02",
    "A claim that is asked again with its id is answered as the first time, with the same fence "
    "and work, by any number of tries.",
)
async def asked_again(bench: Bench) -> None:
    flow = await bench.start(task(), {"n": 1})
    first = await flow.claim(call="claim-1")
    again = [await flow.claim(call="claim-1") for _ in range(3)]
    assert first.work is not None
    for answer in again:
        assert verdict(answer) is Verdict.RUN
        assert answer.work == first.work, "another answer than the first time"


@requirement(
    "S-CLAIM-03",
    "Of many claims of one node at the same time exactly one is granted, and all others are "
    "skipped.",
)
async def claimed_by_many(bench: Bench) -> None:
    handles = [bench.first, await bench.another()]
    flow = await bench.start(task())
    answers = await asyncio.gather(*(flow.claim(by=handles[i % 2]) for i in range(20)))
    verdicts = [verdict(answer) for answer in answers]
    assert verdicts.count(Verdict.RUN) == 1, verdicts
    assert verdicts.count(Verdict.SKIP) == 19, verdicts


@requirement(
    "S-CLAIM-04",
    "A claim by another worker of a node that runs is skipped, and takes nothing from the one "
    "that runs it.",
)
async def claimed_elsewhere(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(task())
    body = await flow.begin()
    assert verdict(await flow.claim(by=other)) is Verdict.SKIP
    assert (await flow.view()).worker == bench.first.worker
    assert await body.holds()
    await body.done(1)


@requirement(
    "S-CLAIM-05",
    "A claim for a run that is not there, or for a node that it does not have or whose turn has "
    "not come, is skipped.",
)
async def not_its_turn(bench: Bench) -> None:
    flow = await bench.start(chain(task(), chain(task(), task())))
    for path in ("/1", "/1/0", "/1/1", "/7", "~1", "/!success-0"):
        assert verdict(await flow.claim(path)) is Verdict.SKIP, path
    assert verdict(await bench.flow("nobody").claim()) is Verdict.SKIP
    pending = await bench.create(task())
    assert verdict(await pending.claim()) is Verdict.SKIP
    await (await flow.begin("/0")).done(1)
    assert verdict(await flow.claim("/1/1")) is Verdict.SKIP
    await flow.sends("/1/0")


@requirement(
    "S-CLAIM-06",
    "A claim with the number of an attempt that is over, or not due yet, is skipped.",
)
async def stale_attempt(bench: Bench) -> None:
    flow = await bench.start(task())
    assert verdict(await flow.claim(attempt=2)) is Verdict.SKIP
    await (await flow.begin()).fails(retry_in=0.0)
    await bench.eventually(lambda: flow.waiting() == [""], about="the second attempt")
    assert verdict(await flow.claim(attempt=1)) is Verdict.SKIP
    assert (await flow.begin()).work.attempt == 2


@requirement(
    "S-CLAIM-07",
    "A claim of what has ended is skipped, however it has ended.",
)
async def has_ended(bench: Bench) -> None:
    done, failed, canceled = [await bench.start(task()) for _ in range(3)]
    await (await done.begin()).done(1)
    await (await failed.begin()).fails()
    await canceled.cancel()
    for flow in (done, failed, canceled):
        before = await flow.view()
        assert verdict(await flow.claim()) is Verdict.SKIP
        assert await flow.view() == before


@requirement(
    "S-CLAIM-08",
    "A claim of a chain, swarm or graph is skipped.",
)
async def is_a_container(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(task())))
    for path in ("", "/0"):
        assert verdict(await flow.claim(path)) is Verdict.SKIP


@requirement(
    "S-CLAIM-09",
    "A claim before a node's time has come is skipped, and the node is sent in time.",
)
async def not_due(bench: Bench) -> None:
    before = bench.store.now()
    flow = await bench.start(task(delay=SOON))
    assert verdict(await flow.claim()) is Verdict.SKIP
    due = (await flow.view()).due_at
    assert due is not None
    assert due >= before + SOON - INEXACT
    body = await flow.begin()
    assert bench.store.now() >= due - INEXACT, "it was sent before its time"
    assert body.work.attempt == 1


@requirement(
    "S-CLAIM-10",
    "A claim below what was canceled is skipped, at any depth.",
)
async def canceled_above(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(task(), chain(task()))))
    await flow.cancel()
    for path in ("/0/0", "/0/1/0"):
        assert verdict(await flow.knock(path)) is Verdict.SKIP, path


@requirement(
    "S-CLAIM-11",
    "A claim at or below a node that is suspended or interrupted is parked, at any depth; the "
    "strongest mark on the path counts.",
)
async def parked(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(task(), chain(task()), task())))
    await flow.suspend("/0")
    assert verdict(await flow.knock("/0/0")) is Verdict.PARK
    assert verdict(await flow.knock("/0/1/0")) is Verdict.PARK
    assert await flow.status("/0/1/0") is Status.SUSPENDED
    await flow.interrupt()
    assert await flow.status("/0/1/0") is Status.INTERRUPTED
    assert verdict(await flow.knock("/0/2")) is Verdict.PARK
    assert await flow.due() == [], "a parked job is over"


@requirement(
    "S-CLAIM-12",
    "A refused claim changes nothing that can be read, and withdraws no job that counts.",
)
async def refused_claims_change_nothing(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    before = (await flow.view(), await flow.view("/0"), await flow.events())
    await flow.claim("/1")
    await flow.claim("/0", attempt=5)
    await flow.claim("")
    assert (await flow.view(), await flow.view("/0"), await flow.events()) == before
    await (await flow.begin("/0")).done(1)


@requirement(
    "S-CLAIM-13",
    "Fences of a node only grow, over attempts, releases, lost leases and generations.",
)
async def fences_grow(bench: Bench) -> None:
    flow = await bench.start(task())
    fences = []
    for end in ("released", "fails", "lost", "retry", "done"):
        body = await flow.begin()
        fences.append(body.work.fence)
        if end == "released":
            await body.released()
        elif end == "fails":
            await body.fails(retry_in=0.0)
        elif end == "lost":
            await bench.first.leave(crashed=True)
            await bench.first.renew()
        elif end == "retry":
            await body.fails()
            await flow.retry()
        else:
            await body.done(1)
    assert fences == sorted(set(fences)), fences
