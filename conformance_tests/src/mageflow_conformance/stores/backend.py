"""The backend that a bench plays: it keeps what it is handed until somebody takes it."""

from __future__ import annotations

from collections.abc import Sequence

from mageflow_core.machine import Job
from mageflow_core.names import split_key


class Backend:
    """jobs: all that were ever handed over, in their order."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self._of: dict[str, dict[str, list[Job]]] = {}  # run id → path → jobs
        self._waiting: dict[str, dict[str, Job]] = {}  # the latest of each

    def take_in(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs
        for job in jobs:
            run_id, path = split_key(job.key)
            self._of.setdefault(run_id, {}).setdefault(path, []).append(job)
            self._waiting.setdefault(run_id, {})[path] = job

    def of(self, run_id: str, path: str | None = None) -> list[Job]:
        """All that were ever handed over of a run or node, taken or not."""
        paths = self._of.get(run_id, {})
        if path is not None:
            return list(paths.get(path, ()))
        return [job for jobs in paths.values() for job in jobs]

    def waiting(self, run_id: str) -> list[str]:
        """Paths of the jobs that nobody has taken, each once."""
        return list(self._waiting.get(run_id, ()))

    def take(self, run_id: str, path: str) -> Job | None:
        """The latest job of a node, and with it all older ones."""
        return self._waiting.get(run_id, {}).pop(path, None)

    def forget(self) -> None:
        """Lose all that nobody has taken."""
        self._waiting.clear()
