"""G4: nothing begins before what it waits for is done, nor beside more than its limit allows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise, zip_longest

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.evidence import OVER, Evidence, Told
from mageflow_conformance.ledger import Row, by_key
from mageflow_conformance.witness import BEGUN, ENDED
from mageflow_core.machine import Status
from mageflow_core.signatures.signature import GraphSignature, SwarmSignature


def check_order(evidence: Evidence) -> Iterator[Broken]:
    for node in evidence.root.walk():
        kind = node.signature.kind
        if kind == "chain":
            for before, after in pairwise(node.children):
                yield from _waits(evidence, after, before)
        elif isinstance(node.signature, GraphSignature):
            by_name = {each.key.rpartition("/")[2]: each for each in node.children}
            for name, others in node.signature.depends_on.items():
                for other in others:
                    yield from _waits(evidence, by_name[name], by_name[other])
        if isinstance(node.signature, SwarmSignature | GraphSignature):
            yield from _limit(evidence, node, node.signature.max_concurrency)


# --- what it waits for ----------------------------------------------------------------------------
def _waits(evidence: Evidence, after: Told, before: Told) -> Iterator[Broken]:
    """By the ledger, in which a body has ended before that was told; and by the store's times."""
    started = [row for row in evidence.inside(after) if row.what == BEGUN]
    if not started:
        return
    first = min(started, key=lambda row: row.t)
    if before.view.status is not Status.DONE:
        yield Broken("G4", after.key, f"began, though {before.key} is {before.view.status}")
    for node in before.walk_inside():
        rows = evidence.bodies.get(node.key, [])
        done = ENDED if node.view.status is Status.DONE else None
        over = [row for row in rows if row.what in ({done} if done else OVER)]
        if rows and not any(row.t <= first.t for row in over):
            yield Broken("G4", after.key, f"{first.key} began before {node.key} had ended")
    turn, over_at = after.view.queued_at or after.view.started_at, before.view.ended_at
    if turn is not None and over_at is not None and turn < over_at:
        yield Broken("G4", after.key, f"its turn came at {turn}, before {over_at}")


# --- how many at once -----------------------------------------------------------------------------
def _limit(evidence: Evidence, node: Told, limit: int | None) -> Iterator[Broken]:
    if limit is None:
        return
    if any(each.view.generation > 1 for each in node.walk_inside()):
        # One that was retried by hand held no slot in between. That one which waits for its next
        # attempt does hold it cannot be told apart from that, and is not looked at then.
        spans = [span for each in node.children for span in busy_spans(evidence, each)]
    else:
        spans = [span for each in node.children if (span := span_of(evidence, each)) is not None]
    most = most_at_once(spans)
    if most > limit:
        yield Broken("G4", node.key, f"{most} items had begun and not ended, of {limit} allowed")


def span_of(evidence: Evidence, node: Told) -> tuple[float, float] | None:
    """From the first beginning of a body in it to the end of the last that counts. A zombie's end
    does not: its successor holds the slot."""
    rows = evidence.inside(node)
    begun = [row.t for row in rows if row.what == BEGUN]
    if not begun:
        return None
    fences = last_fences(rows)
    over = [row.t for row in rows if row.what in OVER and row.fence == fences[row.key or ""]]
    return (min(begun), max(over)) if over else (min(begun), min(begun))


def busy_spans(evidence: Evidence, node: Told) -> list[tuple[float, float]]:
    """Times in which some body ran in it; where another one of its key has begun, one counts no
    more."""
    found: list[tuple[float, float]] = []
    for begin, end in sorted(body_spans(evidence.inside(node))):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((begin, end))
    return found


def body_spans(rows: Sequence[Row]) -> Iterator[tuple[float, float]]:
    for mine in by_key(rows).values():
        begun = sorted((row for row in mine if row.what == BEGUN), key=lambda row: row.t)
        for row, following in zip_longest(begun, begun[1:]):
            ends = [
                r.t for r in mine if r.what in OVER and (r.pid, r.fence) == (row.pid, row.fence)
            ]
            last = following.t if following is not None else float("inf")
            yield row.t, min(last, min(ends, default=row.t))


def last_fences(rows: Sequence[Row]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for row in rows:
        key = row.key or ""
        found[key] = max(found.get(key, 0), row.fence or 0)
    return found


def most_at_once(spans: Sequence[tuple[float, float]]) -> int:
    """One that begins in the moment in which another ends does so after it."""
    moments = sorted([(end, -1) for _, end in spans] + [(begin, 1) for begin, _ in spans])
    most = now = 0
    for _, change in moments:
        now += change
        most = max(most, now)
    return most
