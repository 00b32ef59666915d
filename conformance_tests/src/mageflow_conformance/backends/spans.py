"""From when to when bodies ran, and how many of them at once."""

from __future__ import annotations

from collections.abc import Iterable

from mageflow_conformance.history.evidence import OVER
from mageflow_conformance.history.order import most_at_once
from mageflow_conformance.ledger import Row
from mageflow_conformance.witness import BEGUN


def spans_of(rows: Iterable[Row]) -> list[tuple[float, float]]:
    """Of each body among these rows that has begun; one that has not ended runs for ever."""
    begun: dict[tuple[str, int], float] = {}
    ended: dict[tuple[str, int], float] = {}
    for row in rows:
        if row.key is not None and row.fence is not None:
            into = begun if row.what == BEGUN else ended if row.what in OVER else {}
            into[row.key, row.fence] = row.t
    return [(time, ended.get(body, float("inf"))) for body, time in begun.items()]


def at_once(rows: Iterable[Row]) -> int:
    """The most bodies that ran at the same time."""
    return most_at_once(spans_of(rows))
