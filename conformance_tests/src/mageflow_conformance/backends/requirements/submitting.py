"""B-SUBMIT: from a client to some worker that knows the task."""

from __future__ import annotations

import asyncio

from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.flows import call
from mageflow_conformance.witness import ENDED
from mageflow_core import chain


@requirement(
    "B-SUBMIT-01",
    "A task is started by its name from a process that does not have its code, and runs in a "
    "worker that has.",
)
async def by_name(stage: Stage) -> None:
    await stage.worker()
    stranger = await stage.watch(bare=True)
    run = await stranger.start(call("step", add=4), {"n": 1})
    assert await run.result(timeout=20) == {"n": 5}
    await stage.kept(run)


@requirement(
    "B-SUBMIT-02",
    "Many runs that are started at once all run, each once, shared out over the workers there are.",
)
async def many_at_once(stage: Stage) -> None:
    workers = [await stage.worker(), await stage.worker()]
    runs = await asyncio.gather(
        *(stage.mf.start(call("step", add=n, pace=0.02), {"n": 0}) for n in range(200))
    )
    results = await asyncio.gather(*(run.result(timeout=40) for run in runs))
    assert results == [{"n": n} for n in range(200)]
    ran = stage.ledger.of(ENDED)
    assert len(ran) == len({row.key for row in ran}) == 200
    assert {row.pid for row in ran} == {worker.pid for worker in workers}


@requirement(
    "B-SUBMIT-03",
    "What is started before there is any worker runs when one comes, without anybody asking again.",
)
async def producer_first(stage: Stage) -> None:
    run = await stage.mf.start(chain(call("step"), call("work")), {"n": 0})
    await stage.worker()
    assert await run.result(timeout=30) == {"n": 2}
    await stage.kept(run)
