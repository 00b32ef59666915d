"""Workers that die at a point which is known before."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from signal import SIGKILL
from typing import Any

from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.processes import Process
from mageflow_conformance.sweep import Case, Hits
from mageflow_core.failpoints import LOG_VARIABLE, NAMES, VARIABLE

_numbers = count(1)


@dataclass(frozen=True)
class Doomed:
    process: Process
    hits: Hits
    point: str
    nth: int = 1

    async def dies(self, *, within: float = 20.0) -> None:
        """Wait for its death. Raises `AssertionError` where it was no death, or elsewhere."""
        await self.process.exited(-SIGKILL, within=within)
        case = Case("", "stay", self.point, self.nth)
        pids = self.hits.pids()  # the worker's own, and those of its children
        said = (
            f"it did not die at {self.point}, but after {[self.hits.names(p)[-5:] for p in pids]}"
        )
        assert any(self.hits.show_death(pid, case) for pid in pids), said


def doomed(stage: Stage, point: str, *, nth: int = 1, **settings: Any) -> Doomed:
    """A worker that dies when it comes to this failpoint for the n-th time, which may be before it
    says that it works."""
    assert point in NAMES, point
    hits = new_hits(stage)
    environment = {VARIABLE: f"{point}=kill-all@{nth}", LOG_VARIABLE: str(hits.log)}
    return Doomed(stage.launch(environment=environment, **settings), hits, point, nth)


def new_hits(stage: Stage) -> Hits:
    """For what a worker writes of its failpoints: `environment={LOG_VARIABLE: str(hits.log)}`."""
    return Hits(stage.ledger.path.with_suffix(f".{next(_numbers)}.hits"))
