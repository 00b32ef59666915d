"""Answers of both stores: where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mageflow_core.machine import Verdict
from mageflow_core.stores.protocol import Claimed, Page


def answer_of(ask: Callable[[], Any]) -> Any:
    """What it gives or raises."""
    try:
        return ask()
    except AssertionError:
        raise
    except Exception as error:  # noqa: BLE001 - it is compared
        return error


def difference(found: Any, expected: Any, place: str = "") -> str:
    """Where Redis and memory differ first, "" if nowhere. Times count to the millisecond; of
    errors only their kinds do."""
    if found == expected:
        return ""
    if isinstance(expected, Exception) and type(found) is type(expected):
        return ""
    if isinstance(found, float) and isinstance(expected, float):
        if abs(found - expected) < 0.0005:
            return ""
    elif type(found) is type(expected):
        if isinstance(found, Page):
            return difference(found.runs, expected.runs, place)
        if isinstance(found, Claimed) and found.verdict is Verdict.RUN:  # nobody asks why
            return difference(found.work, expected.work, f"{place}.work")
        if is_dataclass(found):
            names = [f.name for f in fields(found) if f.compare]
            return _first({n: (getattr(found, n), getattr(expected, n)) for n in names}, place)
        if isinstance(found, Mapping) and found.keys() == expected.keys():
            return _first({n: (found[n], expected[n]) for n in found}, place)
        if isinstance(found, tuple | list) and len(found) == len(expected):
            return _first(dict(enumerate(zip(found, expected, strict=True))), place)
    return f"{place or 'the answer'} is {found!r} in Redis, {expected!r} in memory"


def _first(pairs: Mapping[Any, tuple[Any, Any]], place: str) -> str:
    each = (difference(found, expected, f"{place}.{n}") for n, (found, expected) in pairs.items())
    return next(filter(None, each), "")


def assert_same(found: Any, expected: Any, what: str = "") -> None:
    differs = difference(found, expected, what)
    assert not differs, differs


def by_run(jobs: Sequence[Any]) -> dict[str, list[Any]]:
    """The order between runs does not count."""
    found: dict[str, list[Any]] = {}
    for job in jobs:
        found.setdefault(job.key.partition("/")[0].partition("~")[0], []).append(job)
    return found
