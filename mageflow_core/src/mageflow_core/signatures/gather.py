"""Laying what a task is given over each other, down to one JSON object of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mageflow_core.errors import InvalidInput
from mageflow_core.jsontext import describe
from mageflow_core.plain import is_marked, merge, overlay
from mageflow_core.signatures.context import Context
from mageflow_core.signatures.inject import OBJECTS, Injection
from mageflow_core.signatures.injected import PLACEHOLDER
from mageflow_core.signatures.plan import Plan, Target
from mageflow_core.signatures.report import SwarmReport
from mageflow_core.signatures.source import MISSING, Source

Layer = Mapping[str, Any]


@dataclass(slots=True)
class Gathered:
    """given: JSON values by parameter, to be validated. objects: finished arguments.
    placed: objects whose placeholders are in `given`, by their type."""

    given: dict[str, Any]
    objects: dict[str, Any] = field(default_factory=dict)
    placed: dict[type, Any] = field(default_factory=dict)


def gather(plan: Plan, source: Source, message: Any, *, is_result: bool) -> Gathered:
    """Everything in its place. `is_result`: the message is the previous step's result.

    Raises `UnknownArgument` and `InvalidInput`.
    """
    plan.refuse_unknown(source.args)
    # What is bound on a container is for all below it, so a task takes of it what it knows.
    layers = [plan.spread(args, whole=True) for args in (*source.container_args, source.args)]
    dependencies = plan.spread(source.dependencies, whole=True)
    if plan.whole:
        given = {plan.whole.name: message}
        if type(message) is not dict:
            _keep_whole(plan, plan.whole.name, source, [dependencies, *layers], message)
    elif type(message) is dict:
        given = plan.spread(message)
    else:
        given = _placed(plan, source, message, is_result=is_result)
        if plan.model and plan.model.name in given:
            _refuse_fields(plan, [dependencies, *layers], message)
    given = overlay(given, dependencies)
    for layer in layers:
        given = merge(given, layer)
    if plan.model:
        given.setdefault(plan.model.name, {})
    gathered = Gathered(given)
    _inject(plan, source, layers, gathered)
    return gathered


def _placed(plan: Plan, source: Source, message: Any, *, is_result: bool) -> dict[str, Any]:
    """A message that is no mapping: it goes to one parameter as a whole."""
    bound: dict[str, Any] = {}
    for args in (source.dependencies, *source.container_args, source.args):
        bound.update(args)
    place = plan.place_of(bound)
    if place is not None:
        return {place: message}
    # None is also what functions return that have nothing to say. Where every parameter is bound,
    # or there is none, the task asks for nothing. Beside an injected result the message is one
    # that goes to every step, so some have no place for it.
    free = plan.unbound(bound)
    beside = not is_result and source.previous is not MISSING
    if message is None or beside or not (free or plan.rest):
        return {}
    came = "the previous result is" if is_result else "the message is"
    raise InvalidInput(
        f"task {plan.task!r}: {came} {describe(message)}, which could go to "
        f"{', '.join(free) or 'none by name'}; bind all parameters but one, annotate one with "
        "ReturnValue[…], or send a mapping"
    )


def _refuse_fields(plan: Plan, layers: list[dict[str, Any]], message: Any) -> None:
    """The whole model is one value already: nothing can be bound to its fields."""
    assert plan.model is not None
    for layer in layers:
        if plan.model.name in layer:
            fields = ", ".join(layer[plan.model.name])
            raise InvalidInput(
                f"task {plan.task!r}: parameter {plan.model.name!r} would be "
                f"{describe(message)}, which cannot take the bound {fields}; send a mapping"
            )


def _keep_whole(
    plan: Plan, name: str, source: Source, layers: list[dict[str, Any]], message: Any
) -> None:
    """Nothing can be laid into a message that is no mapping. One that is bound replaces it."""
    laid = [arg for arg in source.args if arg not in plan.parameters]
    if laid and plan.rest is None and name not in source.args:
        raise InvalidInput(
            f"task {plan.task!r}: parameter {name!r} is {describe(message)}, which cannot take "
            f"the bound {', '.join(laid)}; send a mapping, or give the function these parameters"
        )
    for layer, values in zip(
        layers, (source.dependencies, *source.container_args, source.args), strict=True
    ):
        if name not in values:
            layer.pop(name, None)


# --- injecting -----------------------------------------------------------------------------------


def _inject(plan: Plan, source: Source, layers: list[dict[str, Any]], into: Gathered) -> None:
    for target in plan.targets:
        value = _value(target.injection, source)
        if value is MISSING:
            continue
        if any(_is_bound(target, layer) for layer in layers):
            raise InvalidInput(
                f"task {plan.task!r}: {target} is bound to a value, and there is one to inject; "
                "leave one of them out"
            )
        if target.field is not None:
            _into_field(plan, target, target.field, value, into)
        elif target.injection is Injection.RETURN_VALUE:
            into.given[target.parameter] = value
        else:
            into.given.pop(target.parameter, None)
            into.objects[target.parameter] = value


def _value(injection: Injection, source: Source) -> Any:
    if injection is Injection.RETURN_VALUE:
        return source.previous
    value = {
        Injection.ERROR_VALUE: source.error,
        Injection.SWARM_REPORT: source.report,
        Injection.CONTEXT: source.context,
        Injection.NATIVE: source.context.native if source.context is not None else None,
    }[injection]
    return MISSING if value is None else value


def _is_bound(target: Target, layer: Layer) -> bool:
    """Whether a value is bound to just this place. A whole bound model has a value, if only a
    default, in each of its fields; what is injected replaces that."""
    if target.parameter not in layer:
        return False
    bound = layer[target.parameter]
    if target.field is None:
        return True
    return type(bound) is dict and not is_marked(bound) and target.field in bound


def _into_field(plan: Plan, target: Target, name: str, value: Any, into: Gathered) -> None:
    model = into.given.get(target.parameter, MISSING)
    if model is MISSING:
        if not plan.parameters[target.parameter].required:
            return  # it has its default
        model = {}
    if type(model) is not dict:
        return  # and does not validate
    if target.injection is Injection.ERROR_VALUE:
        value = value.to_json()
    elif target.injection in OBJECTS:
        into.placed[_TYPES[target.injection]] = value
        value = PLACEHOLDER
    into.given[target.parameter] = {**model, name: value}


_TYPES: Mapping[Injection, type] = {
    Injection.SWARM_REPORT: SwarmReport,
    Injection.CONTEXT: Context,
}
