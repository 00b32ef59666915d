"""Adapters that do something else with jobs than to have the runner run them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.backends import Delivery, Job
from mageflow_core.backends.local import AsyncioBackend
from mageflow_core.runtime.inputs import Inputs
from mageflow_core.runtime.runner import Runner
from mutants.breaking import fails, replace


@fails("B-SUBMIT-01", "B-SUBMIT-03")
def acknowledges_without_running(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "_deliver")
    async def deliver(_before: Any, _self: Any, _job: Job, _runner: Any) -> None:
        """The job is gone."""


def _loses(mf: Mageflow, lost: Any) -> None:
    """Says that it was sent, and forgets it, however often it is sent."""
    del mf

    @replace(AsyncioBackend, "submit_many")
    async def submit_many(before: Any, self: Any, jobs: Sequence[Job]) -> Sequence[None]:
        await before(self, [job for job in jobs if not lost(job)])
        return [None] * len(jobs)


@fails("B-SUBMIT-09")
def loses_what_is_urgent(mf: Mageflow) -> None:
    _loses(mf, lambda job: job.priority == "high")


@fails("B-SUBMIT-10")
def loses_what_names_a_queue(mf: Mageflow) -> None:
    _loses(mf, lambda job: job.queue is not None)


@fails("B-SEAM-04", "B-SEAM-06")
def drops_what_has_a_key_that_it_knows(mf: Mageflow) -> None:
    """As an engine that throws duplicates away, where ids were made from the key alone."""
    known: set[tuple[str, int]] = set()

    def seen(job: Job) -> bool:
        name = (job.key, job.attempt)
        there = name in known
        known.add(name)
        return there

    _loses(mf, seen)


@fails("B-SEAM-01", "B-SEAM-07")
def runs_duplicates_without_a_claim(_mf: Mageflow) -> None:
    """The first time a body is claimed; after that it is called with what it was called with."""
    called: dict[str, Any] = {}

    @replace(Inputs, "bind")
    async def bind(before: Any, self: Any, task: Any, work: Any, *more: Any) -> Any:
        called[work.key] = bound = await before(self, task, work, *more)
        return bound

    @replace(Runner, "run")
    async def run(before: Any, self: Any, delivery: Delivery) -> Any:
        bound, task = called.get(delivery.job.key), self._find(delivery.job.task)
        if bound is not None and task.is_async:
            await task.fn(**bound.kwargs)
        elif bound is not None:
            await asyncio.to_thread(task.fn, **bound.kwargs)
        return await before(self, delivery)


@fails("B-SUBMIT-02", "B-SEAM-02")
def reports_what_another_one_gave(_mf: Mageflow) -> None:
    last: list[Any] = [None]

    @replace(Runner, "_returned")
    def returned(before: Any, self: Any, *given: Any) -> Any:
        *most, value = given
        mine, last[0] = last[0], value
        return before(self, *most, mine if mine is not None else value)


@fails("B-SEAM-05", "B-EXEC-06")
def retries_on_top(_mf: Mageflow) -> None:
    """Runs a body that failed once more, by itself."""

    @replace(Runner, "_call")
    async def call(before: Any, self: Any, *given: Any) -> Any:
        try:
            return await before(self, *given)
        except Exception:  # noqa: BLE001  # whatever it is
            return await before(self, *given)


@fails("B-EXEC-10")
def has_more_slots_than_it_was_told(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "serve")
    async def serve(before: Any, self: Any, *, slots: int, **more: Any) -> None:
        await before(self, slots=10 * slots, **more)


@fails("B-EXEC-09")
def runs_one_at_a_time(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "serve")
    async def serve(before: Any, self: Any, *, slots: int, **more: Any) -> None:
        await before(self, slots=min(slots, 1), **more)


@fails("B-FAIL-09")
def stops_bodies_at_once_when_it_is_to_leave(_mf: Mageflow) -> None:
    @replace(AsyncioBackend, "_drain")
    async def drain(before: Any, self: Any, _grace: float) -> None:
        await before(self, 0.0)


@fails("B-FAIL-10")
def takes_its_time_to_leave(_mf: Mageflow) -> None:
    """Waits for the end of all bodies, whatever grace they have."""

    @replace(AsyncioBackend, "_drain")
    async def drain(before: Any, self: Any, _grace: float) -> None:
        await before(self, 3_600.0)

    @replace(Runner, "stop_all")
    def stop_all(_before: Any, _self: Any) -> None:
        """Nobody is told."""


@fails("B-FLOW-10", "B-CRASH-01")
def calls_back_twice(_mf: Mageflow) -> None:
    @replace(Runner, "_call")
    async def call(before: Any, self: Any, task: Any, work: Any, *given: Any) -> Any:
        if "/!" in work.key:
            await before(self, task, work, *given)
        return await before(self, task, work, *given)
