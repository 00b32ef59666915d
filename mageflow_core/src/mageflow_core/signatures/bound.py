"""Checking bound arguments when a signature is built: what can be known without the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import ErrorDetails, PydanticSerializationError, ValidationError

from mageflow_core.jsontext import LEAVES, dumps, encode
from mageflow_core.plain import (
    EXACTLY,
    Exactly,
    dump_python,
    is_marked,
    merge,
    to_plain,
    verbatim,
)
from mageflow_core.signatures.explain import details, input_error
from mageflow_core.signatures.plan import Plan

# Types that hold other values, or are JSON: these are made plain part by part.
_BY_PART = (*LEAVES, dict, list, tuple, set, frozenset, Exactly)
# What a plain mapping may still lack, or be wrong about only because of what it lacks.
_OF_PARTS = frozenset({"missing", "value_error", "assertion_error"})


def plain_args(plan: Plan, args: Mapping[str, Any]) -> dict[str, Any]:
    """Python values as bound arguments, checked."""
    plan.refuse_unknown(args)
    plain = {name: _plain(plan, name, value) for name, value in args.items()}
    check_bound(plan, plain)
    return plain


def check_bound(plan: Plan, args: Mapping[str, Any]) -> None:
    """Raise for names that the task does not take, and for values that cannot become right.

    A plain mapping may be completed by the message, so what it lacks is not held against it.
    """
    plan.refuse_unknown(args)
    if not args:
        return
    given = merge({}, plan.spread(args, whole=True))
    try:
        plan.validate_json(encode(given), by_alias=True, by_name=True)
    except ValidationError as error:
        wrong = _certain(plan, args, details(error))
        if wrong:
            raise input_error(plan, wrong) from None


def _plain(plan: Plan, name: str, value: Any) -> Any:
    at = f"task {plan.task!r}: {name}"
    parameter = plan.parameters.get(name)
    if parameter is None or type(value) in LEAVES:
        return to_plain(value, at)
    if not parameter.typed:
        # Nothing would turn it back into what it was.
        dumps(value.value if isinstance(value, Exactly) else value, at)
        return to_plain(value, at)
    if isinstance(value, _BY_PART):
        return to_plain(value, at)
    return _through_annotation(plan.adapter_of(parameter), value, at)


def _through_annotation(adapter: TypeAdapter[Any], value: Any, at: str) -> Any:
    """By the parameter's type where it is one of those, else by the value's own."""
    try:
        plain = verbatim(dump_python(adapter, value), at)
    except PydanticSerializationError:
        return to_plain(value, at)
    return {EXACTLY: plain} if type(plain) is dict else plain


def _certain(plan: Plan, args: Mapping[str, Any], found: list[ErrorDetails]) -> list[ErrorDetails]:
    """The errors that no message and no container can take away."""
    by_name: dict[str, list[ErrorDetails]] = {}
    for each in found:
        name = _argument(plan, args, [str(step) for step in each["loc"]])
        if name is not None:
            by_name.setdefault(name, []).append(each)
    wrong: list[ErrorDetails] = []
    for name, errors in by_name.items():
        partial = type(args[name]) is dict and not is_marked(args[name])
        if not (partial and any(each["type"] in _OF_PARTS for each in errors)):
            wrong += [each for each in errors if not _is_injected(plan, each)]
    return wrong


def _argument(plan: Plan, args: Mapping[str, Any], loc: list[str]) -> str | None:
    """The bound argument that an error is about."""
    if loc[0] in args:
        return loc[0]
    name, *below = loc
    if not below or not any(p and p.name == name for p in (plan.model, plan.rest)):
        return None
    aliases = plan.shape.aliases if plan.shape else {}
    names = {aliases.get(arg, arg): arg for arg in args}
    return names.get(aliases.get(below[0], below[0]))


def _is_injected(plan: Plan, error: ErrorDetails) -> bool:
    """Whether something is missing that will be injected."""
    fields = {(target.parameter, target.field) for target in plan.targets}
    return error["type"] == "missing" and tuple(error["loc"][:2]) in fields
