"""Broken in what is asked again, or told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Concatenate, ParamSpec, TypeVar

from mageflow_core.machine import Add, Draft, Refusal
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.protocol import Created, NewRun

P = ParamSpec("P")
A = TypeVar("A")


class CreatesAgain(MemoryStore):
    """Puts a new run in the place of one that is there."""

    async def create(self, new: NewRun) -> Created:
        if new.id in self.runs:
            self._remove(new.id, self.runs[new.id])
        return await super().create(new)


class ForgetsStarts(MemoryStore):
    """Forgets by whom a run was started, and that it was."""

    async def start(self, run_id: str, message: str, start_id: str) -> str | None:
        if run_id in self.runs:
            self.runs[run_id].run.start_id = None
        return await super().start(run_id, message, start_id)


class ReservesForAll(MemoryStore):
    """Keeps a run for anybody who asks."""

    async def reserve(self, run_id: str, by: str) -> bool:
        await super().reserve(run_id, by)
        return True


class AddsAgain(MemoryStore):
    """Takes an addition that is asked again for another one."""

    async def add(self, run_id: str, request: Add) -> tuple[int, ...] | Refusal:
        another = replace(request, id=f"{request.id}-{self._random.random()}")
        return await super().add(run_id, another)


class NeverSignals(MemoryStore):
    """Lets bodies find out for themselves that they are to stop."""

    def _apply(self, run_id: str, state: RunState, draft: Draft) -> None:
        draft.effects.signals.clear()
        super()._apply(run_id, state, draft)


class AlwaysHolds(MemoryStore):
    """Tells all bodies to go on."""

    async def holds(self, key: str, claim: str) -> bool:
        return True


class ForgivesCrashes(MemoryStore):
    """Takes each crash for a worker that has left."""

    async def leave(self, worker: str, *, crashed: bool) -> None:
        await super().leave(worker, crashed=False)


class KeepsClaims(MemoryStore):
    """Leaves what a worker had claimed to a worker that is gone."""

    async def leave(self, worker: str, *, crashed: bool) -> None:
        self.live.pop(worker, None)


class WaitsForWorkers(MemoryStore):
    """Waits for ever for a worker that knows a task."""

    async def unknown(self, key: str) -> None:
        """It will come."""


class HasNoDeadlines(MemoryStore):
    """Lets runs take their time."""

    def step(
        self,
        run_id: str,
        function: Callable[Concatenate[Draft, P], A],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        if args and args[0] == "deadline":
            return None  # type: ignore[return-value]
        return super().step(run_id, function, *args, **kwargs)


CALLS: dict[type[MemoryStore], tuple[str, ...]] = {
    CreatesAgain: ("S-CREATE-02", "S-CREATE-03", "S-CREATE-07"),
    ForgetsStarts: ("S-CREATE-05", "S-SHARE-03"),
    ReservesForAll: ("S-RESERVE-01", "S-RESERVE-02"),
    AddsAgain: ("S-ADD-02",),
    NeverSignals: ("S-SIGNAL-01", "S-SIGNAL-02"),
    AlwaysHolds: ("S-HOLDS-01", "S-HOLDS-02", "S-CANCEL-01"),
    ForgivesCrashes: ("S-LOST-02", "S-LOST-03"),
    KeepsClaims: ("S-LOST-01", "S-LOST-03", "S-CANCEL-05"),
    WaitsForWorkers: ("S-TIME-07",),
    HasNoDeadlines: ("S-TIME-04", "S-TIME-05"),
}
