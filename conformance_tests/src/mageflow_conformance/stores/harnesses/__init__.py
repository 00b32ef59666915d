"""The suite's own harnesses, by the schemes of their stores' URLs."""

from __future__ import annotations

from mageflow_conformance.stores.harness import StoreHarness
from mageflow_conformance.stores.harnesses.memory import MemoryHarness
from mageflow_conformance.stores.harnesses.redis import RedisHarness
from mageflow_core.stores.loader import load_store
from mageflow_core.urls import scheme_of

__all__ = ["MemoryHarness", "RedisHarness", "harness_of"]

HARNESSES: dict[str, type[StoreHarness]] = {"memory": MemoryHarness, "redis": RedisHarness}


def harness_of(url: str) -> StoreHarness:
    """The suite's own harness for a URL, else the plain one. Raises as `load_store` does."""
    load_store(url)
    return HARNESSES.get(scheme_of(url), StoreHarness)(url)
