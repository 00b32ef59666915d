"""All that is known of a run: its records as the store tells them, and the ledger's rows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mageflow_conformance.ledger import Ledger, Row, by_key, is_at_or_below
from mageflow_conformance.witness import BEGUN, ENDED, FAILED, STOPPED
from mageflow_core.machine import Event
from mageflow_core.names import parent_of, role_of, split_key
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import NodeView, Store

CHUNK = 100  # which are asked for together
OVER = frozenset({ENDED, FAILED, STOPPED})


@dataclass(frozen=True)
class Told:
    """A node as the store tells it, with what is below: children, callbacks and continuations."""

    view: NodeView
    signature: Signature[Any]
    below: tuple[Told, ...] = ()

    @property
    def key(self) -> str:
        return self.view.key

    @property
    def children(self) -> list[Told]:
        return [each for each in self.below if each.view.role == "child"]

    def walk(self) -> Iterator[Told]:
        """This one, and all below it."""
        yield self
        for each in self.below:
            yield from each.walk()

    def walk_inside(self) -> Iterator[Told]:
        """As `walk`, without callbacks below it."""
        yield self
        for each in self.below:
            if each.view.role != "callback":
                yield from each.walk_inside()


@dataclass(frozen=True)
class Evidence:
    """events: the run's history. rows: the whole ledger, of which other runs' bodies are left out.
    settled: whether nothing of the run is left to do."""

    root: Told
    settled: bool
    events: Sequence[Event]
    rows: Sequence[Row]

    @cached_property
    def bodies(self) -> dict[str, list[Row]]:
        """key → what bodies of that node wrote, by the time at which they did."""
        mine = [row for row in self.rows if row.key and is_at_or_below(row.key, self.root.key)]
        written = by_key([row for row in mine if row.what in OVER or row.what == BEGUN])
        return {key: sorted(rows, key=lambda row: row.t) for key, rows in written.items()}

    def inside(self, node: Told) -> list[Row]:
        """Rows of bodies of this node and below it, without those of callbacks below it."""
        return self._inside.get(split_key(node.key)[1], [])

    @cached_property
    def _inside(self) -> dict[str, list[Row]]:
        """path → rows of bodies at and below it; callbacks are not below their owners."""
        found: dict[str, list[Row]] = {}
        for key, rows in self.bodies.items():
            path: str | None = split_key(key)[1]
            while path is not None:
                found.setdefault(path, []).extend(rows)
                path = parent_of(path) if role_of(path) != "callback" else None
        return found

    def said(self, *whats: str) -> list[Row]:
        """Rows about no body: faults, steering."""
        return [row for row in self.rows if row.what in whats]


async def collect(store: Store, run_id: str, ledger: Ledger) -> Evidence:
    """Of a run that is settled, or that nothing moves on any more."""
    view = await store.view(run_id)
    root = await _told(store, view.root)
    events = await store.history(run_id)
    return Evidence(root, view.settled_at is not None, events, ledger.rows())


async def _told(store: Store, view: NodeView) -> Told:
    below: list[Told] = []
    while page := await store.children(view.key, len(below), CHUNK):
        below += await asyncio.gather(*(_told(store, each) for each in page))
    return Told(view, await store.signature(view.key), tuple(below))
