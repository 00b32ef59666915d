"""JSON text of values, strictly: what is written is read back as it was.

JSON can say None, bool, int (exact), finite float, str, list (a tuple becomes one), and dict with
str keys. Subclasses of these are written as what they derive from (a StrEnum as its text). All
else is refused with the path of the value that it is about; nothing is ever pickled.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from json import encoder
from typing import Any, Final

from pydantic_core import from_json

from mageflow_core.errors import DataError, MessageTooLarge, NotSerializable

# Containers in containers. The parser stops at 201, and signatures need some of that around it.
MAX_DEPTH: Final = 100

LEAVES: Final = frozenset({type(None), bool, int, float, str})
_SHOWN: Final = 80  # characters of a value in an error message
_HINT: Final = "annotate the parameter or the result with a type, or convert it first"


def dumps(value: Any, at: str = "value", *, depth: int = MAX_DEPTH) -> str:
    """JSON text of a value, compact, not escaped to ASCII.

    `at` is what the value is called in the path of an error.

    Raises `NotSerializable` naming the path of what JSON cannot say (`value.rows[3].when`), also
    for a str that is not valid Unicode, an int of more than 4,300 digits (Python's own limit for
    reading one), a value that contains itself, and one nested deeper than `depth` levels (100).
    """
    try:
        text = encode(value)
        if type(value) not in LEAVES:
            _check_containers(value, depth)
        if not text.isascii():
            text.encode()  # refuses lone surrogates
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSerializable(_reason(value, at, depth) or f"{at}: {error}; {_HINT}") from None
    return text


def loads(text: str | bytes, at: str = "value") -> Any:
    """The value of JSON text: integers exact, NaN and Infinity refused.

    Raises `DataError` when the text is not JSON, or is nested deeper than 200 levels.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise DataError(f"{at} is not JSON text: {error}") from None


# --- encoding ------------------------------------------------------------------------------------


def _refuse(value: Any) -> Any:
    raise TypeError(f"{type(value).__name__} is not JSON")


def _make_encode() -> Callable[[Any], str]:
    """An encoder of what is known to be JSON: it does not look at the types of keys."""
    make = getattr(encoder, "c_make_encoder", None)
    if make is None:  # no C accelerator, as on PyPy
        slow = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return slow.encode
    # JSONEncoder.encode builds one of these a call, which takes longer than a small value does.
    # No markers: they are shared between threads, and endless recursion is noticed without.
    text_of = encoder.encode_basestring
    chunks = make(None, _refuse, text_of, None, ":", ",", False, False, False)  # noqa: FBT003
    join = "".join
    return lambda value: join(chunks(value, 0))


encode: Final = _make_encode()


def _check_containers(value: Any, depth: int) -> None:
    """Raise for keys that are not str (the encoder writes 1 as "1") and for too much depth."""
    level = [value]
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                "".join(item)  # a TypeError for keys that are no str, at the speed of C
                members: Iterable[Any] = item.values()
            elif isinstance(item, (list, tuple)):
                members = item
            else:  # a subclass of a leaf
                continue
            if depth == 0:
                raise ValueError("nested too deep")
            for member in members:
                if type(member) not in LEAVES:
                    below.append(member)  # noqa: PERF401 - a comprehension costs more here
        level = below
        depth -= 1


# --- size ----------------------------------------------------------------------------------------


def check_size(text: str, limit: int, what: str, instead: str = "pass a reference") -> None:
    """Raise `MessageTooLarge` for a text of more than `limit` bytes. what: what it is called."""
    size = len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))
    if size > limit:
        raise MessageTooLarge(
            f"{what} has {size:,} bytes; max_value_bytes is {limit:,}: store it elsewhere and "
            f"{instead}"
        )


def is_small(value: Any, limit: int) -> bool:
    """Whether a value has no more than `limit` bytes for certain, without writing it."""
    kind = type(value)
    if kind is str:
        return len(value) * 6 + 2 <= limit  # a control character takes six
    if kind is int:
        return bool(value.bit_length() <= limit * 3)
    return kind in LEAVES


# --- saying what is wrong and where --------------------------------------------------------------


def step_of(key: object) -> str:
    """How a key looks within a path: `.name`, `[3]`, `["two words"]`."""
    if isinstance(key, str):
        return f".{key}" if key.isidentifier() else f"[{key!r}]"
    return f"[{key!r}]"


def describe(value: Any) -> str:
    """A value for an error message: its type, and itself if that is short and harmless."""
    name = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"{name} of {len(value)}"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a broken __repr__, or an int of too many digits
        return name
    return f"{name} {text}" if len(text) <= _SHOWN else f"{name} {text[:_SHOWN]}…"


def _reason(value: Any, at: str, depth: int) -> str | None:
    """The first thing that JSON cannot say and its path; None when all is well."""
    # A stack of iterators: the values on the way to the current one are those in `trail`.
    trail: list[Any] = []
    stack: list[Iterator[tuple[str, Any]]] = [iter([(at, value)])]
    while stack:
        found = next(stack[-1], None)
        if found is None:
            stack.pop()
            if trail:
                trail.pop()
            continue
        path, item = found
        wrong = _wrong(item)
        if wrong:
            return f"{path}: {wrong}"
        if isinstance(item, (dict, list, tuple)):
            if any(item is above for above in trail):
                return f"{path}: the value contains itself; JSON cannot say that"
            if len(trail) == depth:
                return f"{path[:200]}…: nested deeper than {depth} levels"
            trail.append(item)
            stack.append(_members(item, path))
    return None


def _members(item: Any, path: str) -> Iterator[tuple[str, Any]]:
    pairs = item.items() if isinstance(item, dict) else enumerate(item)
    return ((path + step_of(key), member) for key, member in pairs)


def _wrong(item: Any) -> str | None:
    """What is wrong with this value itself, not counting what is in it."""
    if isinstance(item, dict):
        return next((wrong for key in item if (wrong := _wrong_key(key))), None)
    if isinstance(item, str):
        bad = _lone_surrogate(item)
        return f"{describe(item)} has a lone surrogate, so it is not valid Unicode" if bad else None
    if isinstance(item, (int, float)):
        return _wrong_number(item)
    if item is None or isinstance(item, (list, tuple)):
        return None
    return f"{describe(item)} is not JSON; {_HINT}"


def _wrong_key(key: object) -> str | None:
    if not isinstance(key, str):
        return f"the key {describe(key)} is not a str, as JSON's keys are; {_HINT}"
    if _lone_surrogate(key):
        return f"the key {key!r} has a lone surrogate, so it is not valid Unicode"
    return None


def _wrong_number(number: float) -> str | None:
    try:
        encode(number)
    except ValueError:
        if isinstance(number, int):
            return "an int of more than 4300 digits; send it as text"
        return f"{describe(number)} is not JSON, which has no NaN or infinity; use None instead"
    return None


def _lone_surrogate(text: str) -> bool:
    return not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text)
