"""Validation errors in the words of the task: which parameter, what it takes, what came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic_core import ErrorDetails, ValidationError

from mageflow_core.errors import InvalidInput, MissingArgument
from mageflow_core.jsontext import describe, step_of
from mageflow_core.signatures.hints import name_of
from mageflow_core.signatures.plan import Plan

MOST = 3


def details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_context=False)


def input_error(plan: Plan, found: list[ErrorDetails], hint: str = "") -> InvalidInput:
    """One error for what did not validate; `MissingArgument` if that is all that is wrong."""
    lines = [_line(plan, each) for each in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"and {len(found) - MOST} more")
    missing = all(each["type"] == "missing" for each in found)
    kind = MissingArgument if missing else InvalidInput
    return kind(f"task {plan.task!r}: {'; '.join(lines)}{hint if missing else ''}")


def _line(plan: Plan, found: ErrorDetails) -> str:
    name, *below = found["loc"]
    parameter = plan.parameters.get(str(name)) or plan.rest
    typed = f" ({name_of(parameter.annotation)})" if parameter and parameter.typed else ""
    where = f"parameter {name!r}{typed}"
    if parameter is not None and parameter is plan.rest and below:
        where = f"argument {below.pop(0)!r} of **{name}{typed}"
    if found["type"] == "missing":
        return f"{_field(below)}{where} needs a value" if below else f"{where} needs a value"
    if below:
        where += f", at {_path(below)}"
    return f"{where} does not take {describe(found['input'])}: {found['msg']}"


def _field(path: list[Any]) -> str:
    return f"field {_path(path)} of "


def _path(path: Iterable[Any]) -> str:
    return "".join(map(step_of, path)).removeprefix(".")
