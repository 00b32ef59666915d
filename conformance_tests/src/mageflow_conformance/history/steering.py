"""G5: what is suspended is not claimed; what is interrupted or canceled stops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.evidence import OVER, Evidence
from mageflow_conformance.ledger import Ledger, Row, is_at_or_below
from mageflow_conformance.waiting import scaled
from mageflow_conformance.witness import BEGUN
from mageflow_core.names import is_below, split_key

Verb = Literal["suspend", "interrupt", "cancel", "resume"]
CONFIRMED = {
    "suspend": "suspended",
    "interrupt": "interrupted",
    "cancel": "canceled",
    "resume": "resumed",
}
REACH = 1.0  # seconds until a running body sees it, while the control channel is up
CLOCKS = 0.002  # seconds: the store's times are cut to milliseconds


async def steer(ledger: Ledger, node: Any, verb: Verb, *, reach: float = REACH) -> bool:
    """Do this to a run or node, and note that it is confirmed. reach: seconds in which bodies have
    to see it, and in which those that were claimed before may still begin; more where the control
    channel is down, or the machine is busy."""
    store = await node._opened()  # noqa: SLF001 - whose clock it is
    asked: dict[str, Any] = {"asked": time.monotonic(), "asked_at": await _time_of(store)}
    applied: bool = await getattr(node, verb)()
    if applied:
        at = await _time_of(store)
        ledger.note(CONFIRMED[verb], key=node.key, at=at, reach=reach, **asked)
    return applied


async def _time_of(store: Any) -> float:
    """The time by which it judges, asked of its server where it has one: what is known of it here
    may be wrong by as long as this process was busy when it asked."""
    server = getattr(store, "server", None)
    if server is None:
        now: float = store.now()
        return now
    seconds, micros = await server.wire.command("TIME", key=server.keys.meta)
    return int(seconds) + int(micros) / 1e6


def check_steering(evidence: Evidence) -> Iterator[Broken]:
    rows = sorted(evidence.said(*CONFIRMED.values()), key=lambda row: row.t)
    for index, row in enumerate(rows):
        if row.what == "resumed" or not row.key or not is_at_or_below(row.key, evidence.root.key):
            continue
        resumed = next((r for r in rows[index:] if r.what == "resumed" and r.key == row.key), None)
        callbacks = row.what != "canceled"  # which obey no cancel of a container
        yield from _claimed(evidence, row, resumed, callbacks=callbacks)
        if row.what != "suspended":
            yield from _not_stopped(evidence, row, callbacks=callbacks)


def _claimed(
    evidence: Evidence, row: Row, resumed: Row | None, *, callbacks: bool
) -> Iterator[Broken]:
    """By the store's time of the last claim, and for earlier ones by when their bodies began:
    those that were claimed before have a moment to do so. A resume counts from when it was asked
    for: claims are granted again before it is confirmed."""
    until = resumed.more["asked_at"] if resumed is not None else float("inf")
    for node in evidence.root.walk():
        claimed = node.view.started_at if node.view.kind == "task" else None
        if claimed is None or not _is_below(node.key, row, callbacks=callbacks):
            continue
        if row.more["at"] + CLOCKS < claimed < until - CLOCKS:
            yield Broken("G5", node.key, f"claimed while {row.key} was {row.what}")
    last = resumed.more["asked"] if resumed is not None else float("inf")
    for key, bodies in evidence.bodies.items():
        if _is_below(key, row, callbacks=callbacks):
            for body in bodies:
                if body.what == BEGUN and row.t + scaled(row.more["reach"]) < body.t < last:
                    yield Broken("G5", key, f"began while {row.key} was {row.what}")


def _not_stopped(evidence: Evidence, row: Row, *, callbacks: bool) -> Iterator[Broken]:
    limit = row.t + scaled(row.more["reach"])
    for key, bodies in evidence.bodies.items():
        if not _is_below(key, row, callbacks=callbacks):
            continue
        for body in bodies:
            if body.what != BEGUN or body.t > row.t:
                continue
            mine = [r for r in bodies if (r.pid, r.fence) == (body.pid, body.fence)]
            if not any(r.what in OVER and r.t <= limit for r in mine):
                yield Broken("G5", key, f"ran on after {row.key} was {row.what}")


def _is_below(key: str, row: Row, *, callbacks: bool) -> bool:
    run_id, top = split_key(row.key or "")
    mine, path = split_key(key)
    return mine == run_id and is_below(path, top, callbacks=callbacks)
