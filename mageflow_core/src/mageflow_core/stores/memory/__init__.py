"""The store in memory."""

from mageflow_core.stores.memory.store import MemoryStore

__all__ = ["MemoryStore"]
