"""Answers of both stores: where they differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from mageflow_core.machine import Verdict
from mageflow_core.stores.protocol import Claimed, Page

A_MILLISECOND = 0.0005  # rounded


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
    if type(found) is type(expected):
        if isinstance(found, Exception) or (
            isinstance(found, float) and abs(found - expected) < A_MILLISECOND
        ):
            return ""
        parts, others = _parts(found), _parts(expected)
        if parts is not None and others is not None and parts.keys() == others.keys():
            return _first({name: (parts[name], others[name]) for name in parts}, place)
    return f"{place or 'the answer'} is {found!r} in Redis, {expected!r} in memory"


def _parts(thing: Any) -> Mapping[Any, Any] | None:
    """By name or number, `None` of what has none."""
    if isinstance(thing, Page):  # a cursor means something to its own store alone
        return {"runs": thing.runs, "more": thing.next is not None}
    if isinstance(thing, Claimed) and thing.verdict is Verdict.RUN:  # nobody asks why
        return {"work": thing.work}
    if is_dataclass(thing):
        return {f.name: getattr(thing, f.name) for f in fields(thing) if f.compare}
    if isinstance(thing, Mapping):
        return thing
    return dict(enumerate(thing)) if isinstance(thing, tuple | list) else None


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


def equal(found: Any, expected: Any, what: str) -> None:
    """Asserted in a way that tells what of a mapping differs."""
    if found == expected:
        return
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        names = [n for n in {**found, **expected} if found.get(n) != expected.get(n)]
        found, expected = ({n: each.get(n) for n in names} for each in (found, expected))
    raise AssertionError(f"{what}: in Redis {found!r}, in memory {expected!r}")
