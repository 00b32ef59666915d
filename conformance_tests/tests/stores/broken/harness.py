"""How the suite gets at a broken store."""

from __future__ import annotations

from mageflow_conformance.stores import MemoryHarness
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.protocol import Store, StoreOptions


class BrokenHarness(MemoryHarness):
    def __init__(self, broken: type[MemoryStore]) -> None:
        super().__init__("memory://")
        self.broken = broken

    def make(self, options: StoreOptions, *, hastened: bool) -> Store:
        return self.broken.from_url(self.url, options=options)
