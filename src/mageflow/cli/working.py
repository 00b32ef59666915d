"""An app that works for as long as a command needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mageflow_core import Mageflow
from mageflow_core.stores.protocol import Store

EVERY = 0.02  # seconds between looks whether its processes were started


@asynccontextmanager
async def working(app: Mageflow) -> AsyncIterator[Store]:
    """Its store, while the app is open and works: in this process, or in those of its backend,
    where that has its own."""
    if app.settings.backend == "asyncio":
        async with app:
            yield await app.opened()
        return
    stop = asyncio.Event()
    serving = asyncio.create_task(app.serve(stop=stop))
    await asyncio.sleep(0)  # it is the worker that opens the app
    if app.backends.of_own_processes():
        while not (app.elsewhere or serving.done()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(EVERY)
    if serving.done():
        await serving
    try:
        yield await app.opened()
    finally:
        stop.set()
        await serving
