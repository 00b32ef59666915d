"""Bound arguments as plain JSON values, and how they are laid over each other.

Plain dictionaries are merged deeply; a model, a list, or `Exactly(...)` replaces what was there.
A bound argument has to remember which of these it was after it has become JSON, so a mapping that
replaces is *marked*: `{"$exactly": mapping}`. A mapping of the user's own that has the key
"$exactly" is marked as a whole, so that nothing is ambiguous. Marks stand only in bound arguments
and only where dictionaries are merged: never within a list or a marked value. Messages and results
are never marked and never looked through for marks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import PydanticSerializationError

from mageflow_core.errors import NotSerializable
from mageflow_core.jsontext import LEAVES, MAX_DEPTH, describe, dumps, loads, step_of

EXACTLY: Final = "$exactly"


@dataclass(frozen=True, slots=True)
class Exactly:
    """A bound value that replaces what a message has in its place, instead of being merged."""

    value: Any


def to_plain(value: Any, at: str = "value") -> Any:
    """The JSON value of a bound argument, marked where it replaces. A copy: nothing is shared.

    Models, dataclasses, datetimes, enums, UUIDs and whatever else pydantic knows become plain via
    their own type; sets become lists in a fixed order.

    Raises `NotSerializable` naming the path of what cannot become JSON.
    """
    return _plain(value, at, 0, marking=True)


def verbatim(value: Any, at: str = "value") -> Any:
    """The JSON value of a value, with no marks: for what is not laid over anything."""
    return _plain(value, at, 0, marking=False)


def merge(base: Any, over: Any) -> Any:
    """A bound value laid over a plain one; later wins. The result is plain, its marks resolved.

    Mappings are merged key by key, deeply. A marked mapping, a list and anything else replaces.
    Only `over` is looked through for marks. Neither is changed; the result shares parts of both.
    """
    if type(over) is not dict:
        return over
    if is_marked(over):
        return over[EXACTLY]
    merged = dict(base) if type(base) is dict else {}
    for key, value in over.items():
        merged[key] = merge(merged.get(key), value)
    return merged


def overlay(base: Any, over: Any) -> Any:
    """As `merge`, but of plain values both: nothing in them is a mark."""
    if type(over) is not dict or type(base) is not dict:
        return over
    merged = dict(base)
    for key, value in over.items():
        merged[key] = overlay(merged[key], value) if key in merged else value
    return merged


def is_marked(value: Any) -> bool:
    """Whether a bound value replaces what was there. (What this module makes has no other key
    beside a mark.)"""
    return type(value) is dict and EXACTLY in value and len(value) == 1


# --- making plain --------------------------------------------------------------------------------


def _plain(value: Any, at: str, depth: int, *, marking: bool) -> Any:
    if type(value) in LEAVES:
        dumps(value, at)
        return value
    if isinstance(value, (str, int, float)):
        return loads(dumps(value, at))  # a subclass, as a StrEnum: what it derives from
    if depth > MAX_DEPTH:
        raise NotSerializable(f"{at[:200]}…: nested deeper than {MAX_DEPTH} levels, or in itself")
    if isinstance(value, dict):
        return _plain_dict(value, at, depth, marking=marking)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _plain_list(value, at, depth)
    inner = value.value if isinstance(value, Exactly) else _through_type(value, at)
    plain = _plain(inner, at, depth + 1, marking=False)
    return {EXACTLY: plain} if marking and type(plain) is dict else plain


def _plain_dict(value: Mapping[Any, Any], at: str, depth: int, *, marking: bool) -> dict[str, Any]:
    for key in value:
        if type(key) is not str or not key.isascii():
            dumps({key: None}, at)
    mark = marking and EXACTLY in value
    below = {
        str(key): _plain(v, at + step_of(key), depth + 1, marking=marking and not mark)
        for key, v in value.items()
    }
    return {EXACTLY: below} if mark else below


def _plain_list(value: Collection[Any], at: str, depth: int) -> list[Any]:
    """A list replaces as a whole, so nothing in it is marked."""
    members = [_plain(v, f"{at}[{i}]", depth + 1, marking=False) for i, v in enumerate(value)]
    if isinstance(value, (set, frozenset)):
        members.sort(key=dumps)  # their own order differs from process to process
    return members


@lru_cache(maxsize=1024)
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _through_type(value: Any, at: str) -> Any:
    """What pydantic makes of a value, by the value's own type."""
    kind: Any = type(value)
    try:
        return dump_python(_adapter(kind), value)
    except (PydanticUserError, PydanticSerializationError, ValueError, TypeError) as error:
        raise NotSerializable(
            f"{at}: {describe(value)} is not JSON, and pydantic does not know its type; convert it "
            f"first ({type(error).__name__})"
        ) from error


def dump_python(adapter: TypeAdapter[Any], value: Any) -> Any:
    """JSON-like form of a value that the same type reads back. Fields go by their names: those are
    what our validation always takes, whatever aliases there are."""
    return adapter.dump_python(
        value, mode="json", by_alias=False, round_trip=True, warnings="error"
    )
