"""Filling a task's parameters from what it is given.

Its input is built in this order, later winning over earlier; plain dictionaries are merged deeply:

1. the message; in a chain the previous result, unless the task has a `ReturnValue` target;
   for a node of a graph then the results of its dependencies, by their names;
2. what is bound on the containers around it, outermost first;
3. what is bound on the signature itself;
4. what is injected: `ReturnValue`, `ErrorValue`, `SwarmReport`, `Context`.

Then all of it is validated at once, from JSON, so that every type reads back what it wrote and no
body can change a value that others share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from pydantic_core import ValidationError

from mageflow_core.errors import ConfigurationError, MissingArgument
from mageflow_core.jsontext import encode
from mageflow_core.names import default_name
from mageflow_core.plain import merge
from mageflow_core.signatures import bound
from mageflow_core.signatures.explain import details, input_error
from mageflow_core.signatures.gather import gather
from mageflow_core.signatures.plan import Plan
from mageflow_core.signatures.reading import NotDefinedYet, plan_of
from mageflow_core.signatures.source import MISSING, Bound, Source

_SHOWN: Final = 8  # keys of a message in an error

__all__ = ["MISSING", "Binder", "Bound", "Source"]


class Binder:
    """How one function is called. Pure: does no I/O, and may be used by many threads."""

    def __init__(self, fn: Callable[..., Any], task: str, *, first_is_backends: bool) -> None:
        self.task = task
        self._fn = fn
        self._first_is_backends = first_is_backends
        self._plan: Plan | None = None
        # Not there yet is a class that is defined further down: looked for again at first use.
        with suppress(NotDefinedYet):
            self._plan = plan_of(fn, task, first_is_backends=first_is_backends, look_around=True)

    @classmethod
    def of(
        cls, fn: Callable[..., Any], *, name: str | None = None, first_is_backends: bool = False
    ) -> Binder:
        """The binder of a function; `name` is the task's, for messages.

        first_is_backends: the first parameter (`self`, a backend's own context) is not ours; the
        backend passes it by position.

        Raises `ConfigurationError` for what can never work: positional-only parameters,
        annotations that cannot come from JSON on parameters without a default. `*args` stays
        empty; `**kwargs` takes what no other parameter does.
        """
        task = name or default_name(getattr(fn, "__name__", type(fn).__name__))
        return cls(fn, task, first_is_backends=first_is_backends)

    @property
    def plan(self) -> Plan:
        if self._plan is None:
            try:
                self._plan = plan_of(self._fn, self.task, first_is_backends=self._first_is_backends)
            except NotDefinedYet as error:
                raise ConfigurationError(
                    f"task {self.task!r}: an annotation cannot be read: {error}; import it at run "
                    "time, not only under TYPE_CHECKING"
                ) from error
        return self._plan

    @property
    def takes_previous(self) -> bool:
        """Whether the previous result goes to a place of its own (a `ReturnValue` target, or a
        model's field `mageflow_results`) and the message stays the chain's."""
        return self.plan.takes_previous

    @property
    def passes_message(self) -> bool:
        """Whether it is annotated `-> None`: the next step gets the message that this one got."""
        return self.plan.result.is_none

    @property
    def takes_report(self) -> bool:
        return self.plan.takes_report

    @property
    def takes_context(self) -> bool:
        return self.plan.takes_context

    def takes(self, name: str) -> bool:
        """Whether an argument of this name can be bound."""
        return self.plan.takes(name)

    def plain_args(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """Python values as bound arguments of this task: plain, marked and checked.

        Raises `NotSerializable`, also for a value that is not JSON where the parameter has no
        annotation that would read it back; and what `check_bound` does.
        """
        return bound.plain_args(self.plan, args)

    def check_bound(self, args: Mapping[str, Any]) -> None:
        """Check plain bound arguments, as far as that can be done without the message.

        Raises `UnknownArgument`, and `InvalidInput` for a value that does not validate.
        """
        bound.check_bound(self.plan, args)

    def bind(self, source: Source) -> Bound:
        """The arguments to call the function with.

        Raises `InvalidInput`, `MissingArgument`, and `UnknownArgument` for what is bound on the
        signature and has no place. Nothing that `source` has is changed or given out.
        """
        plan = self.plan
        previous = source.previous
        used = previous is not MISSING and not plan.takes_previous
        message = previous if used else source.message
        if (
            plan.simple
            and type(message) is dict
            and not (source.container_args or source.dependencies)
            and source.args.keys() <= plan.parameters.keys()
        ):  # most tasks; what is below gives the same, slower
            given = merge(message, source.args) if source.args else message
            return Bound(_validated(plan, given, None, message), used)
        gathered = gather(plan, source, message, is_result=used)
        kwargs = _validated(plan, gathered.given, gathered.placed, message)
        if plan.rest and plan.rest.name in kwargs:
            kwargs.update(kwargs.pop(plan.rest.name))
        kwargs.update(gathered.objects)
        for parameter in plan.waiting:
            if parameter.name not in kwargs and parameter.injection:
                raise MissingArgument(
                    f"task {plan.task!r}: parameter {parameter.name!r} is a "
                    f"{parameter.injection.value}, and there is none here; bind a value, or give "
                    "it a default"
                )
        return Bound(kwargs, used)

    def dump_result(self, value: Any) -> str:
        """JSON text of what the function returned, as its return annotation says.

        The caller has looked before whether it is a signature; those in the annotation are not
        counted. Raises `InvalidResult`, and `NotSerializable` where there is no annotation.
        """
        return self.plan.result.dump(value)

    def load_result(self, text: str) -> Any:
        """What `dump_result` has written, as the value that the annotation promises; plain JSON
        where it does not fit, as after a continuation."""
        return self.plan.result.load(text)


def _validated(
    plan: Plan, given: dict[str, Any], placed: dict[type, Any] | None, message: Any
) -> dict[str, Any]:
    try:
        kwargs: dict[str, Any] = plan.validate_json(
            encode(given), by_alias=True, by_name=True, context=placed
        )
    except ValidationError as error:
        raise input_error(plan, details(error), _hint(message)) from None
    return kwargs


def _hint(message: Any) -> str:
    """What to do about a missing argument."""
    if type(message) is not dict:
        return ""
    keys = ", ".join(list(message)[:_SHOWN]) + (", …" if len(message) > _SHOWN else "")
    has = f"has {keys}" if keys else "is empty"
    return f"; bind it, give it a default, or send it in the message (which {has})"
