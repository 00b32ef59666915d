"""Tasks for trials of what goes wrong: bodies that run until they are let go, or do harm."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

from mageflow_conformance.flows.shapes import call
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow

LOOK = 0.02  # seconds between two looks at a gate


def gate_at(ledger: Ledger, name: str) -> Path:
    """A file that is there when the gate is open: any thread of any process can look."""
    return ledger.path.with_suffix(f".{name}.gate")


def open_gate(ledger: Ledger, name: str) -> None:
    """Let go on what waits there, now or later."""
    gate_at(ledger, name).touch()


async def opens(gate: Path) -> None:
    is_open = gate.exists
    while not is_open():  # noqa: ASYNC110 - another process opens it
        await asyncio.sleep(LOOK)


def fault_tasks(mf: Mageflow, witness: Witness) -> None:
    for register in (_waiting, _waiting_in_threads, _harmful):
        register(mf, witness)


def _waiting(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def await_gate(ctx: Context, gate: str) -> dict[str, int]:
        """Runs until that is open; gives its fence."""
        with witness.body(ctx):
            await opens(gate_at(witness.ledger, gate))
            return {"n": ctx.fence}

    @mf.task
    async def start_behind_gate(ctx: Context, gate: str) -> str:
        """Starts a run as soon as that is open; gives its id."""
        with witness.body(ctx):
            await opens(gate_at(witness.ledger, gate))
            return (await mf.start(call("step"), {"n": 1})).id


def _waiting_in_threads(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    def await_gate_in_thread(ctx: Context, gate: str) -> dict[str, int]:
        """As `await_gate`, where nothing can stop it."""
        with witness.body(ctx):
            while not gate_at(witness.ledger, gate).exists():
                time.sleep(LOOK)
            return {"n": ctx.fence}

    @mf.task
    def await_gate_and_heed(ctx: Context, gate: str) -> dict[str, int]:
        """As `await_gate_in_thread`, and stops when it is told to."""
        with witness.body(ctx):
            while not gate_at(witness.ledger, gate).exists():
                if ctx.cancelled():
                    raise asyncio.CancelledError
                time.sleep(LOOK)
            return {"n": ctx.fence}


def _harmful(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def poison(ctx: Context) -> None:
        """Kills its worker, with all the processes of that."""
        with witness.body(ctx):
            os.killpg(0, signal.SIGKILL)

    @mf.task
    async def block(ctx: Context, seconds: float) -> dict[str, int]:
        """Lets nothing else run on its event loop meanwhile."""
        with witness.body(ctx):
            time.sleep(seconds)  # noqa: ASYNC251 - as people do
            return {"n": ctx.fence}
