"""What differs between what a test expects and what there was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from mageflow_core import (
    ChainSignature,
    GraphSignature,
    Options,
    Signature,
    SwarmSignature,
    TaskSignature,
)
from mageflow_core.errors import MageflowError
from mageflow_core.plain import merge, verbatim


@dataclass(frozen=True, slots=True)
class Like:
    """A task with at least these bound arguments; see `like`."""

    task: str
    args: Mapping[str, Any] = field(default_factory=dict)


def like(task: Any, /, **args: Any) -> Like:
    """A task, where a signature is expected, with at least these bound arguments. Unlike a
    signature's, values may be `mock.ANY`, types, predicates and parts of mappings."""
    return Like(task if isinstance(task, str) else task.name, args)


# --- values ----------------------------------------------------------------------------------
def value_differences(expected: Any, actual: Any, at: str) -> Iterator[str]:
    """Mappings may have more than is expected, at any depth; a type or predicate may stand for
    any value; all else must be equal."""
    if isinstance(expected, type):
        if not isinstance(actual, expected):
            yield f"{at}: expected a value of type {expected.__name__}, got {actual!r}"
    elif _is_predicate(expected):
        if not expected(actual):
            name = getattr(expected, "__name__", repr(expected))
            yield f"{at}: {actual!r} does not satisfy {name}"
    elif isinstance(expected, Mapping):
        yield from _mapping_differences(expected, actual, at)
    elif isinstance(expected, list | tuple):
        yield from _sequence_differences(expected, actual, at)
    elif not _equal(expected, actual):
        yield f"{at}: expected {expected!r}, got {actual!r}"


def _mapping_differences(expected: Mapping[str, Any], actual: Any, at: str) -> Iterator[str]:
    actual = _plain(actual)
    if not isinstance(actual, Mapping):
        yield f"{at}: expected {dict(expected)!r}, got {actual!r}"
        return
    for key, value in expected.items():
        inner = f"{at}.{key}" if at else key
        if key in actual:
            yield from value_differences(value, actual[key], inner)
        else:
            yield f"{inner}: expected {_shown(value)}, but there is none"


def _sequence_differences(expected: Sequence[Any], actual: Any, at: str) -> Iterator[str]:
    if not isinstance(actual, list | tuple):
        yield f"{at}: expected {expected!r}, got {actual!r}"
    elif len(expected) != len(actual):
        yield f"{at}: expected {len(expected)} elements, got {len(actual)}: {actual!r}"
    else:
        for number, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from value_differences(one, other, f"{at}[{number}]")


def _is_predicate(value: Any) -> bool:
    return callable(value) and "__eq__" not in vars(type(value))


def _equal(expected: Any, actual: Any) -> bool:
    if isinstance(expected, int | float) and isinstance(expected, bool) != isinstance(actual, bool):
        return False  # True == 1
    return bool(expected == actual) or bool(_plain(expected) == _plain(actual))


def _plain(value: Any) -> Any:
    try:
        return verbatim(value)
    except MageflowError:
        return value


def _shown(value: Any) -> str:
    return f"a value of type {value.__name__}" if isinstance(value, type) else repr(value)


# --- signatures ------------------------------------------------------------------------------
def signature_differences(expected: Any, actual: Signature[Any], at: str = "") -> Iterator[str]:
    """What is said in the expected one must hold: kind, task or parts, and of arguments, options,
    labels, name and callbacks those that it has."""
    where = f"{at}: " if at else ""
    prefix = f"{at}." if at else ""
    if isinstance(expected, Like):
        if not isinstance(actual, TaskSignature) or actual.task != expected.task:
            yield f"{where}expected {expected.task}, got {title(actual)}"
            return
        yield from value_differences(expected.args, bound(actual), f"{prefix}args")
        return
    if title(expected) != title(actual):
        yield f"{where}expected {title(expected)}, got {title(actual)}"
        return
    yield from _said_differences(expected, actual, prefix)
    if isinstance(expected, GraphSignature) and isinstance(actual, GraphSignature):
        yield from _graph_differences(expected, actual, prefix)
    elif isinstance(expected, ChainSignature):
        yield from ordered_differences(expected.steps, actual.children, f"{prefix}step")
    elif isinstance(expected, SwarmSignature):
        yield from ordered_differences(expected.items, actual.children, f"{prefix}item")


def _said_differences(
    expected: Signature[Any], actual: Signature[Any], prefix: str
) -> Iterator[str]:
    yield from value_differences(bound(expected), bound(actual), f"{prefix}args")
    yield from value_differences(expected.labels, actual.labels, f"{prefix}labels")
    if expected.name is not None and expected.name != actual.name:
        yield f"{prefix}name: expected {expected.name!r}, got {actual.name!r}"
    for option in fields(Options):
        said, there = getattr(expected.opts, option.name), getattr(actual.opts, option.name)
        if said not in (None, {}) and said != there:
            yield f"{prefix}options.{option.name}: expected {said!r}, got {there!r}"
    for event in ("success", "error"):
        said, there = (getattr(each, f"{event}_callbacks") for each in (expected, actual))
        if said:
            yield from ordered_differences(said, there, f"{prefix}{event} callback")


def _graph_differences(
    expected: GraphSignature[Any], actual: GraphSignature[Any], prefix: str
) -> Iterator[str]:
    if set(expected.nodes) != set(actual.nodes):
        yield f"{prefix}nodes: expected {sorted(expected.nodes)}, got {sorted(actual.nodes)}"
        return
    for name, node in expected.nodes.items():
        yield from signature_differences(node, actual.nodes[name], f"{prefix}{name}")
        waits, there = set(expected.depends_on.get(name, ())), set(actual.depends_on.get(name, ()))
        if waits != there:
            yield f"{prefix}{name}: expected to depend on {sorted(waits)}, got {sorted(there)}"


def ordered_differences(
    expected: Sequence[Any], actual: Sequence[Signature[Any]], what: str
) -> Iterator[str]:
    if len(expected) != len(actual):
        names = ", ".join(map(title, actual)) or "none"
        yield f"{what}s: expected {len(expected)}, got {len(actual)} ({names})"
    for number, (one, other) in enumerate(zip(expected, actual, strict=False)):
        yield from signature_differences(one, other, f"{what} {number}")


def unordered_differences(
    expected: Sequence[Any], actual: Sequence[Signature[Any]], what: str
) -> Iterator[str]:
    """Each expected one needs an actual one of its own: a matching, not a greedy choice."""
    if len(expected) != len(actual):
        names = ", ".join(map(title, actual)) or "none"
        yield f"{what}s: expected {len(expected)}, got {len(actual)} ({names})"
    fits = [[not any(signature_differences(e, a)) for a in actual] for e in expected]
    taken: dict[int, int] = {}  # actual → expected

    def place(one: int, seen: set[int]) -> bool:
        for other in range(len(actual)):
            if fits[one][other] and other not in seen:
                seen.add(other)
                if other not in taken or place(taken[other], seen):
                    taken[other] = one
                    return True
        return False

    for one, each in enumerate(expected):
        if not place(one, set()):
            free = [a for number, a in enumerate(actual) if number not in taken]
            yield f"{what} {one}: nothing left is like {title(each)}" + _nearest(each, free)


def _nearest(expected: Any, actual: Sequence[Signature[Any]]) -> str:
    found = [list(signature_differences(expected, each)) for each in actual]
    nearest: list[str] = min(found, key=len, default=[])
    return f"; nearest: {'; '.join(nearest)}" if nearest else ""


def title(signature: Any) -> str:
    """What it is, in a word."""
    task: str | None = getattr(signature, "task", None)
    return task if task is not None else f"a {signature.kind}"


def bound(signature: Signature[Any]) -> dict[str, Any]:
    """Its own bound arguments, without the marks of those that are not merged."""
    arguments: dict[str, Any] = merge({}, dict(signature.args))
    return arguments
