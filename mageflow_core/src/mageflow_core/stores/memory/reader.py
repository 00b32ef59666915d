"""The reading half of the memory store."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mageflow_core import machine
from mageflow_core.clock import Clock
from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Draft, Event, Node, Policy, Status
from mageflow_core.names import split_key
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores import reading
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.memory.waiters import Waiters
from mageflow_core.stores.protocol import (
    Finding,
    NodeView,
    Page,
    Query,
    RunView,
    Until,
    WorkerInfo,
)


class MemoryReader:
    """Reads with drafts that are thrown away."""

    clock: Clock
    policy: Policy
    runs: dict[str, RunState]
    order: list[tuple[float, str]]  # creation times and ids, sorted
    waiters: Waiters
    live: dict[str, WorkerInfo]

    async def view(self, run_id: str) -> RunView:
        return reading.run_view(self._draft(run_id))

    async def node(self, key: str) -> NodeView:
        return reading.node_view(*self._located(key))

    async def children(self, key: str, first: int, count: int) -> Sequence[NodeView]:
        draft, node = self._located(key)
        return reading.child_views(draft, node, first, count)

    async def signature(self, key: str) -> Signature[Any]:
        return self._located(key)[1].signature

    async def value(self, key: str) -> str | None:
        draft, node = self._located(key)
        return reading.value_text(draft, node.result)

    async def values(self, key: str, first: int, count: int) -> Sequence[str]:
        draft, node = self._located(key)
        return reading.texts(draft, node.path, first, count)

    async def history(self, run_id: str) -> Sequence[Event]:
        return list(self._state(run_id).events)

    async def holds(self, key: str, claim: str) -> bool:
        run_id, path = split_key(key)
        return run_id in self.runs and reading.holds(self._draft(run_id), path, claim)

    async def wait(self, key: str, until: Until) -> NodeView:
        run_id, path = split_key(key)
        while True:
            draft, node = self._located(key)
            view = reading.node_view(draft, node)
            over = view.status.ended if until == "ended" else draft.run.settled_at is not None
            if over:
                return view
            await self.waiters.wait(run_id, path)

    async def outcome(self, key: str) -> tuple[NodeView, str | None]:
        view = await self.wait(key, "ended")
        return view, await self.value(key) if view.status is Status.DONE else None

    async def find(self, query: Query) -> Page:
        found: list[RunView] = []
        end = bisect_left(self.order, _place(query.after)) if query.after else len(self.order)
        for number in range(end - 1, -1, -1):
            state = self.runs[self.order[number][1]]
            view = reading.run_view(Draft(state, self.clock.now(), self.policy))
            if not _matches(view, query):
                continue
            if len(found) == query.limit:
                return Page(tuple(found), _cursor(found[-1]))
            found.append(view)
        return Page(tuple(found), None)

    async def counts(self) -> Mapping[Status, int]:
        drafts = (Draft(state, self.clock.now(), self.policy) for state in self.runs.values())
        return Counter(machine.shown(draft, draft.get("")) for draft in drafts)

    async def workers(self) -> Sequence[WorkerInfo]:
        return [self.live[name] for name in sorted(self.live)]

    async def examine(self) -> Sequence[Finding]:
        text = "what is stored is gone when this process ends, and seen by no other"
        return [Finding(subject="persistence", state="ok", text=text)]

    def _state(self, run_id: str) -> RunState:
        state = self.runs.get(run_id)
        if state is None:
            raise RunNotFound(
                f"no run {run_id!r} in the memory store: it may have expired, or belong to "
                "another process"
            )
        return state

    def _draft(self, run_id: str) -> Draft:
        return Draft(self._state(run_id), self.clock.now(), self.policy)

    def _located(self, key: str) -> tuple[Draft, Node]:
        run_id, path = split_key(key)
        draft = self._draft(run_id)
        node = machine.locate(draft, path)
        if node is None:
            raise RunNotFound(f"run {run_id!r} has no node {key!r}")
        return draft, node


def _cursor(run: RunView) -> str:
    return f"{run.created_at!r}-{run.id}"


def _place(cursor: str) -> tuple[float, str]:
    time, _, run_id = cursor.partition("-")
    return float(time), run_id


def _matches(view: RunView, query: Query) -> bool:
    root = view.root
    labels = view.signature.labels
    return (
        (query.status is None or root.status is query.status)
        and (query.task is None or root.task == query.task)
        and (query.name is None or root.name == query.name)
        and (query.since is None or view.created_at >= query.since)
        and (query.until is None or view.created_at < query.until)
        and all(labels.get(k) == v for k, v in query.labels.items())
    )
