"""The memory store."""

from __future__ import annotations

from collections.abc import Sized

from mageflow_conformance.stores.harness import StoreHarness
from mageflow_conformance.stores.requirement import Ability
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.protocol import Store


class MemoryHarness(StoreHarness):
    """One handle, gone with it, on a clock that can be moved."""

    abilities: frozenset[Ability] = frozenset({"size", "time", "hasten"})

    async def size(self, store: Store, namespace: str) -> int:  # noqa: ARG002
        assert isinstance(store, MemoryStore)
        parts: list[Sized] = [store.runs, store.order, store.outbox, store.agenda, store.waiters]
        return sum(map(len, parts)) + sum(map(len, store.claims.values()))
