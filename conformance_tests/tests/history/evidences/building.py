"""Runs that never ran: what the store would tell of them, and what the ledger would."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mageflow_conformance.history import Broken, Evidence, Told, check
from mageflow_conformance.ledger import Row
from mageflow_conformance.witness import BEGUN, ENDED
from mageflow_core import Signature, Status
from mageflow_core.machine import Event
from mageflow_core.signatures.signature import GraphSignature
from mageflow_core.stores.protocol import NodeView

RUN = "r"
CLOCK = 1_000.0  # what the store's clock is ahead of the ledger's


def ran(
    key: str,
    begun: float,
    ended: float | None = None,
    *,
    fence: int = 1,
    attempt: int = 1,
    pid: int = 1,
    how: str = ENDED,
) -> list[Row]:
    """The rows of one body; of one that has no end, only the first."""
    of = {"pid": pid, "worker": f"w{pid}", "key": key, "attempt": attempt, "fence": fence}
    rows = [Row(t=begun, what=BEGUN, **of)]  # type: ignore[arg-type] # it is as it is written down
    if ended is not None:
        rows.append(Row(t=ended, what=how, **of))  # type: ignore[arg-type]
    return rows


class Story:
    """A run of a flow in which each task ran once, for a second, one after the other; what is done
    by then is what `rows` and `nodes` say, which may be changed."""

    def __init__(self, flow: Signature[Any]) -> None:
        self.rows: list[Row] = []
        self.events: list[Event] = []
        self.settled = True
        self.nodes: dict[str, NodeView] = {}
        self._signatures: dict[str, Signature[Any]] = {}
        self._below: dict[str, list[str]] = {}
        self._time = 0.0
        self._tell(RUN, flow, "root", 1)

    def _tell(self, key: str, flow: Signature[Any], role: str, depth: int) -> None:
        began = self._time
        self._signatures[key] = flow
        below = self._below[key] = []
        names = flow.order if isinstance(flow, GraphSignature) else range(len(flow.children))
        for name, child in zip(names, flow.children, strict=True):
            below.append(f"{key}/{name}")
            self._tell(below[-1], child, "child", depth + 1)
        if flow.kind == "task":
            self._time += 1
            self.rows += ran(key, began, self._time - 0.1)
        self.nodes[key] = NodeView(
            key=key,
            kind=flow.kind,
            status=Status.DONE,
            task=getattr(flow, "task", None),
            name=None,
            role=role,
            labels={},
            attempt=1,
            generation=1,
            crashes=0,
            depth=depth,
            queued_at=CLOCK + began,
            started_at=CLOCK + began,
            ended_at=CLOCK + self._time,
            worker="w1" if flow.kind == "task" else None,
        )
        self.events.append(
            Event(CLOCK + self._time, "done", key.removeprefix(RUN), self.nodes[key].worker)
        )
        for number, callback in enumerate(flow.success_callbacks):
            below.append(f"{key}/!success-{number}")
            self._tell(below[-1], callback, "callback", depth + 1)

    def goes_on(self, key: str, *flows: Signature[Any]) -> None:
        """A task there has given back the first of these, and that one the next."""
        for number, flow in enumerate(flows, 1):
            self.events.append(Event(CLOCK + self._time, "continued", key.removeprefix(RUN)))
            self._below[key].append(f"{key}~{number}")
            self._tell(f"{key}~{number}", flow, "continuation", self.nodes[key].depth + 1)

    # --- spoiling it ----------------------------------------------------------------------------
    def change(self, key: str, **fields: Any) -> None:
        self.nodes[key] = replace(self.nodes[key], **fields)

    def moves(self, key: str, begun: float, ended: float | None = None, **how: Any) -> None:
        """The body of a node ran at another time, or otherwise."""
        self.rows = [row for row in self.rows if row.key != key] + ran(key, begun, ended, **how)

    def says(self, what: str, t: float = 0.0, **more: Any) -> None:
        """A row about no body."""
        key = more.pop("key", None)
        pid = more.pop("pid", 99)
        self.rows.append(Row(t=t, pid=pid, what=what, key=key, more=more))

    # --------------------------------------------------------------------------------------------
    @property
    def evidence(self) -> Evidence:
        return Evidence(self._told(RUN), self.settled, self.events, self.rows)

    def _told(self, key: str) -> Told:
        below = tuple(self._told(each) for each in self._below.get(key, ()) if each in self.nodes)
        return Told(self.nodes[key], self._signatures[key], below)

    def broken(self) -> list[tuple[str, str]]:
        """What of the promises was not kept, and where."""
        return sorted({(each.guarantee, each.key) for each in self.each()})

    def each(self) -> Iterator[Broken]:
        yield from check(self.evidence)
