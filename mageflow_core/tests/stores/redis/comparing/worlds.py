"""Worlds whose store is compared with Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from simulation import World

from comparing.store import ComparingStore

FEW_BUCKETS = 3  # so that runs meet in one, and calls to all of them are few


@contextmanager
def compared(url: str) -> Iterator[None]:
    """Worlds that are made in here; each ends when the next is made."""
    loop = asyncio.new_event_loop()
    open_stores: list[ComparingStore] = []

    def stop() -> None:
        while open_stores:
            open_stores.pop().stop()

    def make(**arguments: Any) -> ComparingStore:
        stop()
        store = ComparingStore(loop=loop, url=url, **arguments)
        open_stores.append(store)
        return store

    try:
        with ExitStack() as stack:
            for module in ("keys", "server", "finding", "upkeep"):
                name = f"mageflow_core.stores.redis.{module}.BUCKETS"
                stack.enter_context(patch(name, FEW_BUCKETS))
            stack.enter_context(patch.object(World, "make_store", staticmethod(make)))
            yield
            stop()
    finally:
        for store in open_stores:
            store.waits.close()
            store.beside.close()
        loop.close()
