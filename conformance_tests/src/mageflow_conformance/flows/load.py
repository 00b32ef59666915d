"""Flows that are started and end all the time, while something happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from mageflow_conformance.flows.shapes import SHAPES
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN
from mageflow_core import Mageflow, Run
from mageflow_core.errors import RunNotFound

MESSAGE = {"n": 1}
WITHIN = 40.0  # seconds


class Load:
    """Some flows at once, of all shapes; for each that ends another one is started.

    started: those whose start was acknowledged, with the names of their shapes.
    """

    def __init__(self, mf: Mageflow, ledger: Ledger, at_once: int) -> None:
        self.started: list[tuple[str, Run[Any]]] = []
        self._mf = mf
        self._ledger = ledger
        self._at_once = at_once

    async def run(self) -> None:
        """One flow after the other, until it is cancelled."""
        while True:
            for name, shape in SHAPES.items():
                run = await self._mf.start(shape(), MESSAGE)
                self.started.append((name, run))
                try:
                    await run.settled()
                except RunNotFound:  # its store has lost it
                    continue

    async def grows(self) -> None:
        """Wait until as many flows as there are at once were started since, and many bodies ran."""
        wanted = len(self.started) + self._at_once
        bodies = len(self._ledger.of(BEGUN)) + 5 * self._at_once
        await self._ledger.has(BEGUN, bodies, within=WITHIN)
        await eventually(
            lambda: len(self.started) >= wanted, within=WITHIN, about="flows that are started"
        )


@asynccontextmanager
async def load_on(mf: Mageflow, ledger: Ledger, *, at_once: int = 10) -> AsyncIterator[Load]:
    """While it lasts. Raises what starting or waiting has raised."""
    load = Load(mf, ledger, at_once)
    tasks = [asyncio.create_task(load.run()) for _ in range(at_once)]
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            if ended is not None and not isinstance(ended, asyncio.CancelledError):
                raise ended
