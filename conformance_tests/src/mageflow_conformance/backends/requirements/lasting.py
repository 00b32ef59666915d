"""B-RES: what a process keeps of the runs that it has handled, which is nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mageflow_conformance.backends.census import assert_none_grew, back_to
from mageflow_conformance.backends.clients import CENSUS, start_many
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import REAL_TIMES, Stage
from mageflow_conformance.flows import call
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import FAILED
from mageflow_core import Retry, chain, swarm

AT_ONCE = 100
WARM, RUNS = 1_000, 5_000
STARTED = 2_000


async def census(stage: Stage, counted: int) -> Mapping[str, int]:
    """Of the only worker there is, when so many have run in it and nothing is on its way."""

    async def taken() -> Mapping[str, int]:
        run = await stage.mf.start(call("census"))
        found: Mapping[str, int] = await run.result(timeout=60)
        return found

    async def all_ran() -> bool:
        return (await taken())["counted"] == counted

    await eventually(all_ran, within=60, about=f"{counted} runs in one worker")
    return await taken()


async def one_process(stage: Stage) -> None:
    """A worker whose bodies run in one process, which can count them. In real times: with ever
    more that is sent again, as it waits, how long it takes would have no end."""
    await stage.worker(**REAL_TIMES, **({"slots": 1} if stage.harness.forks else {}))


async def run_many(stage: Stage, count: int) -> None:
    async def one(n: int) -> None:
        run = await stage.mf.start(call("count" if n % 10 else "count_in_thread"))
        if n % 10 == 0:
            await run.settled(timeout=60)

    for first in range(0, count, AT_ONCE):
        await asyncio.gather(*(one(n) for n in range(first, first + AT_ONCE)))


@requirement(
    "B-RES-01",
    f"Over {RUNS:,} runs in one worker neither its memory grows, nor its connections to the store "
    "and the engine, nor its threads and asyncio tasks.",
    alone=True,
    within=180,
)
async def worker_keeps_nothing(stage: Stage) -> None:
    await one_process(stage)
    await run_many(stage, WARM)
    before = await census(stage, WARM)
    await run_many(stage, RUNS)
    after = await back_to(before, lambda: census(stage, WARM + RUNS), RUNS)
    assert_none_grew(before, after, RUNS)


@requirement(
    "B-RES-02",
    "All async bodies of a process run on one event loop, so that an async client of one's own "
    "serves all of them.",
)
async def one_event_loop(stage: Stage) -> None:
    await stage.worker()
    port = stage.store.port
    again = call("ask", port=port, failures=1).options(retries=Retry(retries=1, delay=0.0))
    runs = [
        *[await stage.mf.start(call("ask", port=port)) for _ in range(40)],
        await stage.mf.start(chain(call("ask", port=port), call("echo"), again)),
    ]
    many = await stage.mf.start(swarm([call("ask", port=port) for _ in range(40)] + [again]))
    told = [await run.result(timeout=30) for run in runs] + await many.result(timeout=30)
    for run in (*runs, many):
        await stage.kept(run)
    assert len(stage.ledger.of(FAILED, task="ask")) == 2
    places = {tuple(each) for each in told}
    assert len(told) == 82
    assert len(places) == len({pid for pid, _, _ in places}), (
        f"more than one of a process: {places}"
    )


@requirement(
    "B-RES-03",
    f"A process that starts {STARTED:,} runs and works on none of them keeps nothing of them: no "
    "memory, no connections, no tasks.",
    alone=True,
    within=120,
)
async def client_keeps_nothing(stage: Stage) -> None:
    await one_process(stage)
    client = stage.begin(start_many, warm=WARM, count=STARTED)
    await client.exited(0, within=90)
    before, after = stage.ledger.of(CENSUS)
    assert before.pid == client.pid
    assert_none_grew(before.more, after.more, STARTED)
    await census(stage, WARM + STARTED)
