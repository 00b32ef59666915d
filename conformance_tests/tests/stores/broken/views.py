"""Broken in what is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mageflow_core.machine import Event, Status
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.waiters import Waiters
from mageflow_core.stores.protocol import NodeView, Page, Query


class HasUnstablePages(MemoryStore):
    """Counts how many were shown, and goes on after as many."""

    async def find(self, query: Query) -> Page:
        shown = int(query.after or 0)
        everything = await super().find(replace(query, after=None, limit=10_000))
        runs = everything.runs[shown : shown + query.limit]
        end = shown + len(runs)
        return Page(runs, str(end) if end < len(everything.runs) else None)


class LosesAtPages(MemoryStore):
    """Goes on after the time of the last one that was shown."""

    async def find(self, query: Query) -> Page:
        page = await super().find(query)
        if page.next is None:
            return page
        return Page(page.runs, f"{page.runs[-1].created_at!r}-")


class CountsWhatIsStored(MemoryStore):
    """Forgets that a mark changes what is shown."""

    async def counts(self) -> Mapping[Status, int]:
        return Counter(state.nodes[""].status for state in self.runs.values())


class MixesUpResults(MemoryStore):
    """Gives the results of a swarm in the order in which its items ended."""

    async def value(self, key: str) -> str | None:
        text = await super().value(key)
        view = await self.node(key)
        if view.kind != "swarm" or text is None:
            return text
        items = await self.children(key, 0, view.children)
        ended = sorted(items, key=lambda item: item.ended_at or 0.0)
        values = [await super(MixesUpResults, self).value(item.key) for item in ended]
        return f"[{','.join(value or 'null' for value in values)}]"


class NeverWakes(MemoryStore):
    """Lets those wait who wait."""

    async def wait(self, key: str, until: object) -> NodeView:
        view = await super().node(key)
        if view.status.ended:
            return view
        await Waiters().wait(key, "")
        return view


class ForgetsResults(MemoryStore):
    """Tells those who wait for an outcome how it ended, and no more."""

    async def outcome(self, key: str) -> tuple[NodeView, str | None]:
        return await self.wait(key, "ended"), None


class KeepsAllHistory(MemoryStore):
    """Has no end to its history."""

    async def history(self, run_id: str) -> Sequence[Event]:
        events = await super().history(run_id)
        return [*events, *events]


VIEWS: dict[type[MemoryStore], tuple[str, ...]] = {
    HasUnstablePages: ("S-FIND-04",),
    LosesAtPages: ("S-FIND-05",),
    CountsWhatIsStored: ("S-FIND-03",),
    MixesUpResults: ("S-SWARM-03",),
    NeverWakes: ("S-WAIT-02", "S-WAIT-04", "S-WAIT-06", "S-WAIT-07", "S-WAIT-08"),
    ForgetsResults: ("S-WAIT-08",),
    KeepsAllHistory: ("S-READ-03", "S-READ-04", "S-REPORT-02"),
}
