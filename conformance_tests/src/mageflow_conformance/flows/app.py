"""An app whose tasks write in the ledger that they ran."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mageflow_conformance.flows.shapes import call
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.witness import Witness
from mageflow_core import (
    Context,
    ErrorValue,
    Mageflow,
    Retry,
    ReturnValue,
    Signature,
    chain,
)

STUMBLE = Retry(retries=2, delay=0.3, jitter=False)


def make_app(ledger: Ledger | Path | str, **settings: Any) -> Mageflow:
    """A new app with all tasks that the shapes name. What a body returns depends on its input
    alone, however often it ran before."""
    kept = ledger if isinstance(ledger, Ledger) else Ledger(ledger)
    return furnish(Mageflow(warn_unclosed=False, **settings), kept)


def furnish(mf: Mageflow, kept: Ledger, *, listens: bool = True) -> Mageflow:
    """Give an app these tasks; returns it. listens: write down what its worker says of leases, for
    as long as the process lasts."""
    witness = Witness(kept, lambda: mf.worker_id)
    if listens:
        witness.listen()
    for register in (_steps, _items, _callbacks, _long_ones):
        register(mf, witness)
    return mf


Register = Callable[[Mageflow, Witness], None]


def _steps(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def step(ctx: Context, n: int = 0, add: int = 1, pace: float = 0.005) -> dict[str, int]:
        with witness.body(ctx):
            await asyncio.sleep(pace)
            return {"n": n + add}

    @mf.task
    def work(ctx: Context, n: int = 0, add: int = 1, pace: float = 0.005) -> dict[str, int]:
        """As `step`, in a thread."""
        with witness.body(ctx):
            time.sleep(pace)
            return {"n": n + add}

    @mf.task(retries=STUMBLE)
    async def stumble(ctx: Context, n: int = 0) -> dict[str, int]:
        """Fails at its first attempt."""
        with witness.body(ctx):
            if ctx.attempt == 1:
                raise RuntimeError("the first attempt fails")
            return {"n": n + 10}

    @mf.task
    async def fail(ctx: Context) -> int:
        with witness.body(ctx):
            raise ValueError("as it was told")

    @mf.task
    async def go_on(ctx: Context) -> Signature[Any]:
        """Is replaced by a chain."""
        with witness.body(ctx):
            return chain(call("step", add=100), call("work", add=100))


def _items(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def item(ctx: Context, i: int, pace: float = 0.01) -> int:
        with witness.body(ctx):
            await asyncio.sleep(pace)
            return i * i

    @mf.task
    async def total(ctx: Context, items: ReturnValue[list[Any]]) -> dict[str, int]:
        """The sum of the numbers among a swarm's results."""
        with witness.body(ctx):
            return {"n": sum(each for each in items if isinstance(each, int))}

    @mf.task
    async def join(ctx: Context, a: dict[str, int], b: dict[str, int]) -> dict[str, int]:
        """Of a graph: what came of two nodes."""
        with witness.body(ctx):
            return {"n": a["n"] + b["n"]}


def _callbacks(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def noted(ctx: Context) -> None:
        with witness.body(ctx):
            await asyncio.sleep(0)

    @mf.task
    async def warned(ctx: Context, error: ErrorValue) -> str:
        with witness.body(ctx):
            return f"{error.task}: {error.message}"


def _long_ones(mf: Mageflow, witness: Witness) -> None:
    @mf.task
    async def sleep(ctx: Context, seconds: float = 30.0) -> int:
        """Gives the fence under which it slept."""
        with witness.body(ctx):
            await asyncio.sleep(seconds)
            return ctx.fence

    @mf.task
    def doze(ctx: Context, seconds: float) -> int:
        """As `sleep`, in a thread, where nothing can stop it."""
        with witness.body(ctx):
            time.sleep(seconds)
            return ctx.fence

    @mf.task
    def hold(ctx: Context, seconds: float) -> int:
        """Holds the GIL: no other thread of this process runs meanwhile."""
        import ctypes  # noqa: PLC0415

        with witness.body(ctx):
            ctypes.PyDLL(None).usleep(int(seconds * 1e6))
            return ctx.fence
