"""B-CRASH: a worker dies at each point that a flow has it come to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from mageflow_conformance.backends.doomed import Doomed, doomed, new_hits
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.flows import SHAPES, roles
from mageflow_conformance.history import check, collect
from mageflow_conformance.sweep import BY_TIME, Ended, ending
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN
from mageflow_core import Run
from mageflow_core.failpoints import LOG_VARIABLE

SHAPE, MESSAGE = "nested", {"n": 1}
LANES = 6  # most of the time of a death is waiting for a lease to end
AT_ONCE = 2  # flows, so that one of them comes to the worker that is to die
LEAVING = ("worker.leaving", "worker.left")
SETTINGS = {"lease": 1.5}


async def start(stage: Stage) -> Run[Any]:
    return await stage.mf.start(SHAPES[SHAPE](), MESSAGE)


async def ended(stage: Stage, run: Run[Any]) -> tuple[Ended, list[str]]:
    """How a run has ended, and what was not kept."""
    await run.settled(timeout=40)
    store = await stage.mf.opened()
    evidence = await collect(store, run.id, stage.ledger)
    return await ending(store, evidence), [str(broken) for broken in check(evidence)]


async def recorded(stage: Stage) -> tuple[Ended, list[str]]:
    """How the flow ends where nobody dies, and which points a worker comes to on the way."""
    hits = new_hits(stage)
    worker = await stage.worker(environment={LOG_VARIABLE: str(hits.log)})
    expected, broken = await ended(stage, await start(stage))
    assert not broken, broken
    await worker.stop()
    return expected, sorted({name for pid in hits.pids() for name in hits.names(pid)})


@dataclass(frozen=True)
class Lane:
    """A namespace with a worker that lives, in which others die, one after the other."""

    stage: Stage
    expected: Ended

    @classmethod
    async def open(cls, stage: Stage, name: str, expected: Ended) -> Lane:
        own = await stage.beside(name)
        await own.worker()
        return cls(own, expected)

    async def work_through(self, points: list[str]) -> list[str]:
        """Take what is left until nothing is; gives what was wrong."""
        wrong: list[str] = []
        while points:
            point = points.pop()
            try:
                wrong += [f"{point}: {each}" for each in await self.die(point)]
            except (AssertionError, TimeoutError) as error:
                wrong.append(f"{point}: {type(error).__name__}: {error}")
        return wrong

    async def die(self, point: str) -> list[str]:
        victim = doomed(self.stage, point, nth=2 if point in BY_TIME else 1)
        await eventually(lambda: self._works(victim), within=20, about="a worker that may die")
        runs: list[Run[Any]] = []
        while victim.process.runs:
            batch = await asyncio.gather(*(start(self.stage) for _ in range(AT_ONCE)))
            runs += batch
            if point in LEAVING:
                await self._have_it_leave(victim)
                break
            await eventually(
                partial(self._over, victim, batch),
                within=40,
                about="a death, or the end of the flows",
            )
        await victim.dies()
        wrong = []
        for run in runs:
            end, broken = await ended(self.stage, run)
            wrong += broken
            if end != self.expected:
                wrong.append(f"{run.id} ended as {end}, not as {self.expected}")
        return wrong

    def _works(self, victim: Doomed) -> bool:
        rows = self.stage.ledger.of(roles.SERVING)
        return not victim.process.runs or any(row.process == victim.process.pid for row in rows)

    async def _over(self, victim: Doomed, runs: Sequence[Run[Any]]) -> bool:
        return not victim.process.runs or all(
            [(await run.info()).settled_at is not None for run in runs]
        )

    async def _have_it_leave(self, victim: Doomed) -> None:
        """While a body of it runs, if one comes to it."""
        pid = victim.process.pid

        async def began() -> bool:
            if any(row.process == pid for row in self.stage.ledger.of(BEGUN)):
                return True
            await ended(self.stage, await start(self.stage))
            return False

        await eventually(began, within=40, about="a body in the worker that is to leave")
        victim.process.ask_to_end()


@requirement(
    "B-CRASH-01",
    "Wherever a worker dies while flows of all kinds of nodes run, and another one lives, they end "
    "as they do where nobody dies, and all is kept that is promised of them.",
    alone=True,
    settings=SETTINGS,
    within=180,
)
async def dies_everywhere(stage: Stage) -> None:
    expected, points = await recorded(stage)
    assert {"runner.delivered", "runner.claimed", "runner.reported", *LEAVING} <= {*points}
    names = [f"lane-{number}" for number in range(min(LANES, len(points)))]
    lanes = await asyncio.gather(*(Lane.open(stage, name, expected) for name in names))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(lane.work_through(points)) for lane in lanes]
    wrong = [each for task in tasks for each in task.result()]
    assert not wrong, "\n".join(["not kept:", *wrong])
