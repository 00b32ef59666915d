"""How the parameters of one function are filled: worked out once, when it is registered."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from mageflow_core.errors import ConfigurationError, InvalidInput, UnknownArgument
from mageflow_core.plain import EXACTLY, merge
from mageflow_core.signatures.inject import OBJECTS, Injection
from mageflow_core.signatures.result import Result
from mageflow_core.signatures.shape import Shape

UNTYPED: Final = (Any, object)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter. `shape` is there if it is a model, `injection` if it asks for something."""

    name: str
    annotation: Any
    required: bool
    injection: Injection | None = None
    shape: Shape | None = None

    @property
    def typed(self) -> bool:
        return self.annotation not in UNTYPED


@dataclass(frozen=True, slots=True)
class Target:
    """A place where something is injected: a parameter, or a field of the model that it takes."""

    injection: Injection
    parameter: str
    field: str | None = None

    def __str__(self) -> str:
        of = f"field {self.field!r} of " if self.field else ""
        return f"{of}parameter {self.parameter!r} ({self.injection.value})"


class Plan:
    """The parameters of one task.

    names: of all parameters. parameters: those that can be filled from JSON.
    model: the one that takes the fields of the message, and `shape` what it takes.
    whole: the one that takes the message as it is; the others then take what is bound, no more.
    rest: `**kwargs`. targets: where something is injected; waiting: parameters that need it.
    simple: everything is taken by name, and nothing else happens.
    """

    def __init__(
        self,
        task: str,
        parameters: list[Parameter],
        rest: Parameter | None,
        adapter: TypeAdapter[dict[str, Any]],
        result: Result,
    ) -> None:
        self.task = task
        self.rest = rest
        self.result = result
        self.names = frozenset(p.name for p in parameters)
        self.parameters = {p.name: p for p in parameters if p.injection not in OBJECTS}
        whole = [p for p in parameters if p.injection is Injection.MESSAGE]
        self.whole = whole[0] if whole else None
        self.model = None if self.whole else _message_model(parameters)
        self.shape = self.model.shape if self.model else None
        self.targets = tuple(target for p in parameters for target in _targets(p))
        self.waiting = tuple(p for p in parameters if p.injection and p.required)
        self.takes_previous = any(t.injection is Injection.RETURN_VALUE for t in self.targets)
        self.takes_report = any(t.injection is Injection.SWARM_REPORT for t in self.targets)
        of_context = (Injection.CONTEXT, Injection.NATIVE)
        self.takes_context = any(t.injection in of_context for t in self.targets)
        self.simple = not (self.model or self.whole or self.rest or self.targets)
        self.validate_json = adapter.validator.validate_json
        self._adapters: dict[str, TypeAdapter[Any]] = {}

    def adapter_of(self, parameter: Parameter) -> TypeAdapter[Any]:
        """What writes values of one parameter; made when it is first needed."""
        if parameter.name not in self._adapters:
            self._adapters[parameter.name] = TypeAdapter(parameter.annotation)
        return self._adapters[parameter.name]

    def takes(self, name: str) -> bool:
        """Whether a value bound by this name has a place."""
        if name == EXACTLY:  # it would read as a mark
            return False
        if name in self.parameters or (self.shape is not None and self.shape.takes(name)):
            return True
        return bool(self.rest or self.whole) and name not in self.names

    def refuse_unknown(self, args: Mapping[str, Any]) -> None:
        """Raise for the first bound argument that has no place."""
        for name in args:
            if self.takes(name):
                continue
            for target in self.targets:
                if name == (target.field or target.parameter):
                    raise InvalidInput(
                        f"task {self.task!r}: {target} is given by MageFlow; do not bind it"
                    )
            known = sorted({*self.parameters, *(self.shape.fields if self.shape else ())})
            close = difflib.get_close_matches(name, known, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            known += [f"**{self.rest.name}"] if self.rest else []
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UnknownArgument(f"task {self.task!r} has no argument {name!r}: {takes}{meant}")

    def spread(self, values: Mapping[str, Any], *, whole: bool = False) -> dict[str, Any]:
        """Values by the parameters that they belong to; those without a place are dropped.

        Names of parameters come first, then fields of the model, then `**kwargs`. `whole`: the
        name of the model's parameter means the whole model, as in what is bound.
        """
        spread: dict[str, Any] = {}
        fields: dict[str, Any] = {}
        rest: dict[str, Any] = {}
        model, shape = self.model, self.shape
        for name, value in values.items():
            if name in self.parameters and not (model and name == model.name):
                spread[name] = value
            elif shape is not None and shape.takes(name) and not (whole and self._is_whole(name)):
                fields[shape.aliases.get(name, name)] = value
            elif model and name == model.name:
                if whole:
                    spread[name] = value
            elif name not in self.names:
                rest[name] = value
        if model and fields:
            spread[model.name] = _within(spread.get(model.name), fields)
        taker = self.rest or self.whole
        if taker and rest:
            # A message that is bound as a whole is one value; there is nothing to lay into it.
            spread.setdefault(taker.name, rest)
        return spread

    def _is_whole(self, name: str) -> bool:
        """Whether this names the model's parameter; a field of the same name comes first."""
        model, shape = self.model, self.shape
        return bool(model and shape and name == model.name and name not in shape.fields)

    def unbound(self, bound: Mapping[str, Any]) -> list[str]:
        """The parameters for a message: without a bound value, and not injected."""
        parameters = self.parameters.values()
        return [p.name for p in parameters if p.injection is None and p.name not in bound]

    def place_of(self, bound: Mapping[str, Any]) -> str | None:
        """The one parameter for a message that is no mapping, by the rule of chains: the only one
        with neither a bound value nor a default, else the only one without a bound value."""
        free = self.unbound(bound)
        candidates = [name for name in free if self.parameters[name].required] or free
        return candidates[0] if len(candidates) == 1 else None


def _message_model(parameters: list[Parameter]) -> Parameter | None:
    """The model that takes the message's fields: the only parameter that needs a value."""
    needing = [p for p in parameters if p.required and p.injection is None]
    return needing[0] if len(needing) == 1 and needing[0].shape is not None else None


def _targets(parameter: Parameter) -> list[Target]:
    if parameter.injection is Injection.MESSAGE:
        return []  # filled as any other, and can be bound
    if parameter.injection:
        return [Target(parameter.injection, parameter.name)]
    fields = parameter.shape.injected if parameter.shape else {}
    for field, injection in fields.items():
        if injection is Injection.NATIVE:
            raise ConfigurationError(
                f"field {field!r} of parameter {parameter.name!r}: the engine's own context is no "
                "field of a model; make it a parameter of the task"
            )
    return [Target(injection, parameter.name, field) for field, injection in fields.items()]


def _within(whole: Any, fields: dict[str, Any]) -> Any:
    """Fields laid into a bound model, which keeps its mark."""
    if type(whole) is not dict:
        return fields
    if EXACTLY in whole:
        return {EXACTLY: merge(whole[EXACTLY], fields)}
    return {**whole, **fields}
