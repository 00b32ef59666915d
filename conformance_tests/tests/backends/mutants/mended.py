"""What backends may do: the core mends it, so that these fail nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.backends import Job
from mageflow_core.backends.local import AsyncioBackend
from mutants.breaking import mends, replace


@mends("B-SUBMIT-02", "B-FLOW-14")
def loses_every_third_job(_mf: Mageflow) -> None:
    numbers = itertools.count()

    @replace(AsyncioBackend, "submit_many")
    async def submit_many(before: Any, self: Any, jobs: Sequence[Job]) -> Sequence[None]:
        await before(self, [job for job in jobs if next(numbers) % 3])
        return [None] * len(jobs)


@mends("B-EXEC-06", "B-FLOW-14")
def takes_every_job_twice(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "submit_many")
    async def submit_many(before: Any, self: Any, jobs: Sequence[Job]) -> Any:
        await before(self, jobs)
        return await before(self, jobs)


@mends("B-EXEC-06", "B-FLOW-14")
def takes_jobs_in_any_order(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "_next")
    def next_(_before: Any, self: Any) -> Job | None:
        queue = next(filter(None, self._queues.values()), None)
        if queue is None:
            return None
        queue.rotate(random.randrange(len(queue)))
        job: Job = queue.popleft()
        return job


@mends("B-EXEC-06", "B-FLOW-14")
def says_that_it_has_not_taken_what_it_has(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "submit_many")
    async def submit_many(before: Any, self: Any, jobs: Sequence[Job]) -> Sequence[Exception]:
        await before(self, jobs)
        return [ConnectionError("who knows")] * len(jobs)


@mends("B-FLOW-14")
def is_late(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "_deliver")
    async def deliver(before: Any, self: Any, *given: Any) -> None:
        await asyncio.sleep(random.uniform(0, 0.1))
        await before(self, *given)
