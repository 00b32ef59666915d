"""Tasks whose bodies wait: for a gate that the check opens, or for each other."""

from __future__ import annotations

from collections.abc import Callable

from mageflow_conformance.backends.gates import OPEN
from mageflow_conformance.ledger import Ledger, Row
from mageflow_conformance.waiting import eventually, eventually_sync
from mageflow_conformance.witness import BEGUN, Witness
from mageflow_core import Context, Mageflow

PATIENCE = 25.0  # seconds


def gate_tasks(mf: Mageflow, witness: Witness) -> None:
    def is_open(gate: str) -> Callable[[], list[Row]]:
        reading = Ledger(witness.ledger.path)  # each reader has a place of its own in the file
        return lambda: reading.of(OPEN, gate=gate)

    def are_there(task: str, many: int) -> Callable[[], bool]:
        reading = Ledger(witness.ledger.path)
        return lambda: len(reading.of(BEGUN, task=task)) >= many

    @mf.task
    async def held(ctx: Context, gate: str) -> int:
        """Gives its fence once the gate is open."""
        with witness.body(ctx):
            await eventually(is_open(gate), within=PATIENCE, about=f"gate {gate}")
            return ctx.fence

    @mf.task
    def held_in_thread(ctx: Context, gate: str, attempts: int = 99) -> int:
        """As `held`, in a thread. attempts: those that wait, the others do not."""
        with witness.body(ctx):
            if ctx.attempt <= attempts:
                eventually_sync(is_open(gate), within=PATIENCE, about=f"gate {gate}")
            return ctx.fence

    @mf.task
    async def meet(ctx: Context, many: int, i: int = 0) -> int:
        """Gives `i` once so many of these have begun: the first ones end together or never."""
        with witness.body(ctx):
            await eventually(are_there("meet", many), within=PATIENCE, about=f"{many} that meet")
            return i

    @mf.task
    def meet_in_thread(ctx: Context, many: int, i: int = 0) -> int:
        """As `meet`, in threads, among themselves."""
        with witness.body(ctx):
            there = are_there("meet_in_thread", many)
            eventually_sync(there, within=PATIENCE, about=f"{many} that meet in threads")
            return i
