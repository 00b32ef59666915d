"""A listener that keeps what it is told."""

from __future__ import annotations

from collections.abc import Sequence

from mageflow_core.machine import Job, Signal


class Ear:
    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.signals: list[tuple[str, Signal]] = []
        self.dues: list[float] = []
        self.silences = 0

    @property
    def keys(self) -> list[str]:
        """Of the jobs, in their order."""
        return [job.key for job in self.jobs]

    def take(self) -> list[Job]:
        """The jobs since it was last asked."""
        jobs, self.jobs = self.jobs, []
        return jobs

    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def on_signal(self, run_id: str, signal: Signal) -> None:
        self.signals.append((run_id, signal))

    def on_due(self, time: float) -> None:
        self.dues.append(time)

    def on_silence(self) -> None:
        self.silences += 1
