"""Signatures as JSON, and back: `from_json(to_json(s)) == s` for every signature.

A signature is an object with its `kind` and its fields by name; those that have their default are
left out. The outermost one also has the version of all this, `v`. What is not known is refused
with its path, so that nothing that a newer version wrote is half understood; and what could not be
read again is not written, as it would be stored and never run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime
from typing import Any, Final

from mageflow_core.errors import SignatureError, SignatureTooDeep
from mageflow_core.jsontext import describe, dumps, loads, step_of
from mageflow_core.signatures.options import Options, Retry
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

VERSION: Final = 1
MAX_LEVELS: Final = 32  # signatures below the outermost one
PARTS: Final = ("steps", "items", "nodes", "success_callbacks", "error_callbacks")
_TEXT_DEPTH: Final = 190  # two levels of JSON for each, and what is bound on the innermost

_KINDS: Final[Mapping[str, type[Signature[Any]]]] = {
    cls.kind: cls for cls in (TaskSignature, ChainSignature, SwarmSignature, GraphSignature)
}


def to_json(signature: Signature[Any]) -> dict[str, Any]:
    """A signature as a JSON value. It shares the signature's mappings: not to be changed.

    Raises `SignatureTooDeep` below 32 levels, and `SignatureError` for a field of a wrong type.
    """
    return {"v": VERSION, **_encode(signature, 0)}


def from_json(data: Any) -> Signature[Any]:
    """The signature of a JSON value.

    Raises `SignatureError` with the path of an unknown version, kind or field, and of a value that
    does not fit; `SignatureTooDeep`; and what building such a signature raises.
    """
    if not isinstance(data, dict):
        raise SignatureError(f"signature: an object was expected, not {describe(data)}")
    if data.get("v") != VERSION:
        raise SignatureError(
            f"signature.v: version {data.get('v')!r} is not known, only {VERSION}; "
            "a newer MageFlow may have written this"
        )
    return _signature({k: v for k, v in data.items() if k != "v"}, "signature", 0)


def signature_dumps(signature: Signature[Any]) -> str:
    """A signature as JSON text. Raises what `to_json` does, and `NotSerializable`."""
    return dumps(to_json(signature), "signature", depth=_TEXT_DEPTH)


def signature_loads(text: str | bytes) -> Signature[Any]:
    """The signature of JSON text. Raises `DataError` and what `from_json` does."""
    return from_json(loads(text, "signature"))


def head_dumps(signature: Signature[Any]) -> str:
    """What a signature says without the signatures inside, as JSON text: for stores that keep
    those apart. Raises as `signature_dumps`."""
    said = _encode_fields(signature, 0)
    head = {name: value for name, value in said.items() if name not in PARTS}
    return dumps({"v": VERSION, "kind": signature.kind, **head}, "signature")


def head_loads(text: str, parts: Mapping[str, Any]) -> Signature[Any]:
    """The signature of such a text with the signatures inside by the names of their fields, see
    `PARTS`; those that it does not have are left out. They are taken as they are."""
    data = loads(text, "signature")
    cls = _KINDS[data.pop("kind")]
    data.pop("v")
    values = {name: _DECODERS[name](value, name, 0) for name, value in data.items()}
    own = {name: part for name, part in parts.items() if name in _READERS[cls]}
    built: Signature[Any] = cls(**values, **own)
    return built


def content_hash(signature: Signature[Any]) -> str:
    """SHA-256 of what a signature says, in hex: the same in each process, whatever the order of
    its mappings. The stored run that it may stand for does not count, as in comparisons."""
    data = _unstored(to_json(signature))
    dumps(data, "signature", depth=_TEXT_DEPTH)  # its errors name the path
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _unstored(data: dict[str, Any]) -> dict[str, Any]:
    """Without `stored`, in all signatures of the tree."""
    bare = {key: value for key, value in data.items() if key != "stored"}
    for key in ("steps", "items", "success_callbacks", "error_callbacks"):
        if key in bare:
            bare[key] = [_unstored(below) for below in bare[key]]
    if "nodes" in bare:
        bare["nodes"] = {name: _unstored(below) for name, below in bare["nodes"].items()}
    return bare


# --- writing -------------------------------------------------------------------------------------


def _encode(signature: Signature[Any], level: int) -> dict[str, Any]:
    if level > MAX_LEVELS:
        raise SignatureTooDeep
    return {"kind": signature.kind, **_encode_fields(signature, level)}


def _encode_fields(value: Any, level: int) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    for name, default, encode, read, path in _WRITERS[type(value)]:
        item = getattr(value, name)
        if item is not default and (item != default or type(item) is not type(default)):
            encoded[name] = said = encode(item, level)
            if read is not None:
                read(said, path, level)
    return encoded


def _number(value: Any, _level: int) -> Any:
    """Equal numbers look the same: 30.0 as 30."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _many(value: tuple[Signature[Any], ...], level: int) -> list[Any]:
    return [_encode(signature, level + 1) for signature in value]


_ENCODERS: Final[Mapping[str, Callable[[Any, int], Any]]] = {
    "steps": _many,
    "items": _many,
    "success_callbacks": _many,
    "error_callbacks": _many,
    "nodes": lambda value, level: {k: _encode(v, level + 1) for k, v in value.items()},
    "depends_on": lambda value, _: {name: list(names) for name, names in value.items()},
    "args": lambda value, _: dict(value),
    "labels": lambda value, _: dict(value),
    "native": lambda value, _: dict(value),
    "opts": _encode_fields,
    "retry": _encode_fields,
    "on": lambda value, _: list(value),
    "never": lambda value, _: list(value),
    "eta": lambda value, _: value.astimezone(UTC).isoformat(),
}


def _default(field: Field[Any]) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


_CLASSES: Final = (*_KINDS.values(), Options, Retry)


# --- reading -------------------------------------------------------------------------------------


def _signature(data: Any, path: str, level: int) -> Signature[Any]:
    if level > MAX_LEVELS:
        raise SignatureTooDeep
    if not isinstance(data, dict):
        raise _unexpected(path, data, "a signature")
    kind = data.get("kind")
    cls = _KINDS.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise SignatureError(f"{path}.kind: {kind!r} is not one of {', '.join(_KINDS)}")
    said = {key: value for key, value in data.items() if key != "kind"}
    built: Signature[Any] = _object(cls, said, path, level)
    return built


def _object(cls: type, data: Any, path: str, level: int) -> Any:
    if not isinstance(data, dict):
        raise _unexpected(path, data, cls.__name__)
    known = _READERS[cls]
    for name in data:
        if name not in known:
            raise SignatureError(
                f"{path}: unknown field {name!r}; a {cls.__name__} has {', '.join(known)}"
            )
    for name, required in known.items():
        if required and name not in data:
            raise SignatureError(f"{path}: a {cls.__name__} needs the field {name!r}")
    values = {
        name: _DECODERS[name](value, path + step_of(name), level) for name, value in data.items()
    }
    try:
        return cls(**values)
    except SignatureError as error:
        raise type(error)(f"{path}: {error}") from error


def _unexpected(path: str, value: Any, expected: str) -> SignatureError:
    return SignatureError(f"{path}: {expected} was expected, not {describe(value)}")


Decoder = Callable[[Any, str, int], Any]


def _of(kinds: tuple[type, ...], expected: str) -> Decoder:
    """A decoder that takes values of just these types: True is no number."""

    def decode(value: Any, path: str, _level: int) -> Any:
        if type(value) not in kinds:
            raise _unexpected(path, value, expected)
        return value

    return decode


_text = _of((str,), "a text")
_texts_or_none = _of((str, type(None)), "a text or null")
_flag = _of((bool,), "true or false")
_count = _of((int, type(None)), "a whole number or null")
_seconds = _of((int, float, type(None)), "a number or null")
_amount = _of((int, float), "a number")
_whole = _of((int,), "a whole number")
_mapping = _of((dict,), "an object")
_list = _of((list,), "a list")


def _signatures(value: Any, path: str, level: int) -> tuple[Signature[Any], ...]:
    items = _list(value, path, level)
    return tuple(_signature(item, f"{path}[{i}]", level + 1) for i, item in enumerate(items))


def _nodes(value: Any, path: str, level: int) -> dict[str, Signature[Any]]:
    nodes = _mapping(value, path, level)
    return {name: _signature(v, path + step_of(name), level + 1) for name, v in nodes.items()}


def _texts(value: Any, path: str, level: int) -> tuple[str, ...]:
    items = _list(value, path, level)
    return tuple(_text(item, f"{path}[{i}]", level) for i, item in enumerate(items))


def _each(decode: Decoder) -> Decoder:
    """A decoder of mappings, by that of their values."""

    def decode_all(value: Any, path: str, level: int) -> dict[str, Any]:
        pairs = _mapping(value, path, level).items()
        return {name: decode(item, path + step_of(name), level) for name, item in pairs}

    return decode_all


def _eta(value: Any, path: str, level: int) -> datetime | None:
    if value is None:
        return None
    try:
        return datetime.fromisoformat(_text(value, path, level))
    except ValueError:
        raise _unexpected(path, value, "a time in ISO 8601") from None


def _optional(cls: type) -> Decoder:
    def decode(value: Any, path: str, level: int) -> Any:
        return None if value is None else _object(cls, value, path, level)

    return decode


_DECODERS: Final[Mapping[str, Decoder]] = {
    "args": _mapping,
    "opts": lambda value, path, level: _object(Options, value, path, level),
    "name": _texts_or_none,
    "labels": _each(_text),
    "success_callbacks": _signatures,
    "error_callbacks": _signatures,
    "stored": _texts_or_none,
    "task": _text,
    "steps": _signatures,
    "items": _signatures,
    "max_concurrency": _count,
    "open": _flag,
    "max_tasks": _count,
    "idle_timeout": _seconds,
    "stop_after_n_failures": _count,
    "interrupt_running": _flag,
    "nodes": _nodes,
    "depends_on": _each(_texts),
    "on_failure": _text,
    "retry": _optional(Retry),
    "timeout": _seconds,
    "eta": _eta,
    "priority": _texts_or_none,
    "deadline": _seconds,
    "ttl": _seconds,
    "backend": _texts_or_none,
    "queue": _texts_or_none,
    "interrupt": _texts_or_none,
    "native": _mapping,
    "retries": _whole,
    "factor": _amount,
    "max_delay": _amount,
    "jitter": _amount,
    "on": _texts,
    "never": _texts,
    "delay": _seconds,
}

# Fields that hold what somebody has said, and nothing with fields of its own.
_READ_BACK: Final = _DECODERS.keys() - {*PARTS, "opts", "retry", "args", "native"}
_WRITERS: Final = {
    cls: [
        (
            f.name,
            _default(f),
            _ENCODERS.get(f.name, _number),
            _DECODERS[f.name] if f.name in _READ_BACK else None,
            f"{cls.__name__}.{f.name}",
        )
        for f in fields(cls)
        if f.init
    ]
    for cls in _CLASSES
}
_READERS: Final = {
    cls: {
        f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls) if f.init
    }
    for cls in _CLASSES
}
