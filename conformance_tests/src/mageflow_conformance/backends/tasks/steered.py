"""Tasks that go on until their gate is open, and are stopped before in every way there is."""

from __future__ import annotations

import asyncio
import time

from mageflow_conformance.backends.gates import OPEN
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow, Retry
from mageflow_core.errors import Interrupted

GO = "go"  # the gate that they wait at, unless another one is named
UNWINDING = "unwinding"  # rows of bodies that were told to stop and have not yet
LOOKS = 0.02  # seconds between two looks
LONGEST = 60.0  # seconds; nothing outlives its trial

STAGGER = Retry(retries=1, delay=1.5, jitter=False)


class Told:
    """Whether a gate is open; each body looks for itself, in whatever thread."""

    def __init__(self, witness: Witness, gate: str) -> None:
        self._ledger = Ledger(witness.ledger.path)
        self._gate = gate
        self._end = time.monotonic() + LONGEST

    def __call__(self) -> bool:
        return bool(self._ledger.of(OPEN, gate=self._gate)) or time.monotonic() > self._end

    async def wait(self) -> None:
        while not self():  # noqa: ASYNC110 - it is told in a file
            await asyncio.sleep(LOOKS)


def steered_tasks(mf: Mageflow, witness: Witness) -> None:
    _async_ones(mf, witness)
    _sync_ones(mf, witness)
    _failing_ones(mf, witness)


def _async_ones(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def until(ctx: Context, gate: str = GO, n: int = 0) -> dict[str, int]:
        """Goes on until it is told."""
        with witness.body(ctx):
            await Told(witness, gate).wait()
            return {"n": n + 1}

    @mf.task
    async def unwind(ctx: Context, gate: str = GO) -> None:
        """When it is stopped, takes until it is told."""
        with witness.body(ctx):
            try:
                await asyncio.sleep(LONGEST)
            finally:
                witness.note(UNWINDING, ctx)
                await Told(witness, gate).wait()

    @mf.task
    async def defy(ctx: Context, gate: str = GO) -> str:
        """Goes on until it is told, also when it is stopped."""
        with witness.body(ctx):
            told = Told(witness, gate)
            while not told():
                try:
                    await told.wait()
                except asyncio.CancelledError:
                    witness.note(UNWINDING, ctx)
            return "as if nothing had happened"


def _sync_ones(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    def heed(ctx: Context, gate: str = GO, n: int = 0) -> dict[str, int]:
        """Goes on until it is told, and looks whether it is to stop."""
        with witness.body(ctx):
            told = Told(witness, gate)
            while not told():
                if ctx.cancelled():
                    raise Interrupted
                time.sleep(LOOKS)
            return {"n": n + 1}

    @mf.task(interrupt="raise")
    def endure(ctx: Context, gate: str = GO, n: int = 0) -> dict[str, int]:
        """Goes on until it is told, and looks at nothing else."""
        with witness.body(ctx):
            told = Told(witness, gate)
            while not told():
                time.sleep(LOOKS)
            return {"n": n + 1}

    @mf.task
    def deafen(ctx: Context, gate: str = GO) -> str:
        """Goes on until it is told, and nothing stops it."""
        with witness.body(ctx):
            told = Told(witness, gate)
            while not told():
                time.sleep(LOOKS)
            return "as if nothing had happened"


def _failing_ones(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def mend(ctx: Context, gate: str = "mended", n: int = 0) -> dict[str, int]:
        """Fails, until it was told."""
        with witness.body(ctx):
            if not Told(witness, gate)():
                raise RuntimeError("it is not mended yet")
            return {"n": n + 1}

    @mf.task(retries=STAGGER)
    async def stagger(ctx: Context, gate: str = GO, n: int = 0) -> dict[str, int]:
        """Fails at its first attempt; the second one goes on until it is told."""
        with witness.body(ctx):
            if ctx.attempt == 1:
                raise RuntimeError("the first attempt fails")
            await Told(witness, gate).wait()
            return {"n": n + 1}
