"""A run in memory, and how a step's draft is applied to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any

from mageflow_core.machine import Draft, Event, Node, Run
from mageflow_core.signatures.signature import Signature


class RunState:
    """All that is stored of one run; what the machine reads from."""

    __slots__ = ("_added", "_additions", "_parked", "_parked_at", "events", "node", "nodes", "run")

    def __init__(self, run: Run, history: int) -> None:
        self.run = run
        self.nodes: dict[str, Node] = {}
        self.node = self.nodes.get  # no call of ours between: it is asked for most of all
        self.events: deque[Event] = deque(maxlen=history)
        self._added: dict[str, list[Signature[Any]]] = {}
        self._additions: dict[tuple[str, str], tuple[int, int]] = {}
        self._parked: dict[str, dict[str, None]] = {}
        self._parked_at: dict[str, str] = {}

    # --- what the machine reads -----------------------------------------------------------------
    def added_item(self, path: str, number: int) -> Signature[Any]:
        return self._added[path][number]

    def added_before(self, path: str, add_id: str) -> tuple[int, int] | None:
        return self._additions.get((path, add_id))

    def parked_at(self, path: str, limit: int) -> Sequence[str]:
        return list(islice(self._parked.get(path, ()), limit))

    # --- applying ---------------------------------------------------------------------------------
    def apply(self, draft: Draft) -> None:
        """The records of a draft and what belongs to this run alone."""
        self.nodes.update(draft.nodes)
        if draft.changed_run is not None:
            self.run = draft.changed_run
        effects = draft.effects
        for added in effects.added:
            items = self._added.setdefault(added.path, [])
            first = len(self.nodes[added.path].signature.children) + added.first
            self._additions[added.path, added.id] = (first, len(added.items))
            items.extend(added.items)
        for path, at in effects.parked.items():
            if at is not None or path in self._parked_at:
                self._park(path, at)
        self.events.extend(effects.events)

    def _park(self, path: str, at: str | None) -> None:
        before = self._parked_at.pop(path, None)
        if before is not None:
            del self._parked[before][path]
            if not self._parked[before]:
                del self._parked[before]
        if at is not None:
            self._parked_at[path] = at
            self._parked.setdefault(at, {})[path] = None
