"""Counts what is asked of a store: a requirement that asks nothing has shown nothing."""

from __future__ import annotations

from typing import Any, Protocol

FREE = frozenset({"durable", "now", "shared"})  # what a handle knows without its store


class Counter(Protocol):
    calls: int


class Counting:
    """Passes everything on."""

    def __init__(self, store: Any, counter: Counter) -> None:
        self._store = store
        self._counter = counter

    def __getattr__(self, name: str) -> Any:
        self._counter.calls += name not in FREE
        return getattr(self._store, name)
