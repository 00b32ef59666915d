"""Reading a function into the plan that its parameters are filled by."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NotRequired, Unpack, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.errors import PydanticUndefinedAnnotation, PydanticUserError
from typing_extensions import TypedDict  # pydantic refuses that of Python 3.11

from mageflow_core.errors import ConfigurationError
from mageflow_core.signatures.hints import hints_of, name_of, signature_of
from mageflow_core.signatures.inject import INJECTS, OBJECTS, Injection, injection_of
from mageflow_core.signatures.plan import Parameter, Plan
from mageflow_core.signatures.result import NOT_ANNOTATED, Result
from mageflow_core.signatures.shape import shape_of


class NotDefinedYet(Exception):
    """An annotation names something that is not there, or not yet."""


def plan_of(
    fn: Callable[..., Any], task: str, *, first_is_backends: bool, look_around: bool = False
) -> Plan:
    """The plan of a function.

    Raises `ConfigurationError` for what can never work, and `NotDefinedYet`.
    """
    signature = signature_of(fn, task)
    try:
        hints = hints_of(fn, look_around=look_around)
    except NameError as error:
        raise NotDefinedYet(str(error)) from error
    written = list(signature.parameters.values())
    if first_is_backends:
        if not written:
            raise ConfigurationError(f"task {task!r}: no parameter for the backend's own argument")
        if written[0].kind is not inspect.Parameter.VAR_POSITIONAL:
            del written[0]
    rest = [_rest(p, hints) for p in written if p.kind is inspect.Parameter.VAR_KEYWORD]
    parameters = list(_read(written, hints, task, getattr(fn, INJECTS, {})))
    try:
        adapter = _adapter(task, [*parameters, *rest])
    except PydanticUserError:
        # Which one it is. Those with a default keep that for ever: nothing can be given to them.
        parameters = [p for p in parameters if _is_known(task, p)]
        rest = [p for p in rest if _is_known(task, p)]
        adapter = _adapter(task, [*parameters, *rest])
    returned = hints.get("return", _own(signature.return_annotation, NOT_ANNOTATED))
    return Plan(task, parameters, rest[0] if rest else None, adapter, _result(task, returned))


def _read(
    written: Iterable[inspect.Parameter],
    hints: dict[str, Any],
    task: str,
    injects: Mapping[str, Injection],
) -> Iterator[Parameter]:
    for parameter in written:
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise ConfigurationError(
                f"task {task!r}: parameter {parameter.name!r} is positional-only, and tasks are "
                "called by name; remove the '/'"
            )
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue  # *args stays empty: nothing is passed by position
        annotation = hints.get(parameter.name, _own(parameter.annotation, Any))
        injection = injects.get(parameter.name) or injection_of(annotation)
        yield Parameter(
            name=parameter.name,
            annotation=annotation,
            required=parameter.default is inspect.Parameter.empty,
            injection=injection,
            shape=None if injection else shape_of(annotation),
        )


def _own(annotation: Any, otherwise: Any) -> Any:
    """An annotation that only the signature has (`__signature__`), where it is no text."""
    missing = annotation is inspect.Signature.empty or isinstance(annotation, str)
    return otherwise if missing else annotation


def _rest(parameter: inspect.Parameter, hints: dict[str, Any]) -> Parameter:
    value = hints.get(parameter.name, _own(parameter.annotation, Any))
    unpacked = get_args(value)[0] if get_origin(value) is Unpack else None
    # By call: `value` is a type only at run time.
    annotation = unpacked or dict.__class_getitem__((str, value))
    return Parameter(parameter.name, annotation, required=False)


# --- what pydantic can validate ------------------------------------------------------------------


def _adapter(task: str, parameters: list[Parameter]) -> TypeAdapter[dict[str, Any]]:
    fields = {
        p.name: p.annotation if p.required and not p.injection else NotRequired[p.annotation]
        for p in parameters
        if p.injection not in OBJECTS
    }
    # A TypedDict: unlike a model's its keys may have any name, and missing ones stay missing.
    adapter: TypeAdapter[dict[str, Any]]
    try:
        adapter = TypeAdapter(TypedDict(task, fields))  # type: ignore[operator]
    except PydanticUndefinedAnnotation as error:
        raise NotDefinedYet(str(error)) from error
    if not adapter.pydantic_complete and adapter.rebuild(raise_errors=False) is not True:
        raise NotDefinedYet("a model in its parameters is not fully defined")
    return adapter


def _is_known(task: str, parameter: Parameter) -> bool:
    try:
        TypeAdapter(parameter.annotation)
    except PydanticUserError as error:
        if not parameter.required and parameter.injection is None:
            return False
        raise ConfigurationError(
            f"task {task!r}: parameter {parameter.name!r} is annotated "
            f"{name_of(parameter.annotation)}, which cannot come from JSON: {_brief(error)}"
        ) from error
    return True


def _result(task: str, annotation: Any) -> Result:
    try:
        return Result(task, annotation)
    except PydanticUndefinedAnnotation as error:
        raise NotDefinedYet(str(error)) from error
    except PydanticUserError as error:
        if error.code == "class-not-fully-defined":
            raise NotDefinedYet(str(error)) from error
        raise ConfigurationError(
            f"task {task!r}: its return annotation {name_of(annotation)} cannot become JSON: "
            f"{_brief(error)}"
        ) from error


def _brief(error: PydanticUserError) -> str:
    return error.message.partition("\n")[0].strip()
