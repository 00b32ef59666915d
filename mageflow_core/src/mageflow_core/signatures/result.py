"""What a task gives back: validated against its return annotation, and written as JSON."""

from __future__ import annotations

import types
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from mageflow_core.errors import InvalidResult
from mageflow_core.jsontext import LEAVES, describe, dumps, loads
from mageflow_core.plain import dump_python
from mageflow_core.signatures.hints import name_of
from mageflow_core.signatures.inject import unaliased
from mageflow_core.signatures.signature import Signature

NOT_ANNOTATED: Final = object()


class Result:
    """The plan for the results of one task."""

    def __init__(self, task: str, annotation: Any) -> None:
        """Raises what pydantic raises for an annotation that it cannot validate."""
        annotation = _awaited(annotation)
        self._task = task
        self._annotation = _without_signatures(annotation)
        self.is_none = annotation is None or annotation is type(None)
        self._adapter: TypeAdapter[Any] | None = None
        if self._annotation not in (NOT_ANNOTATED, Any, object):
            self._adapter = TypeAdapter(self._annotation)
            self._validate = self._adapter.validator.validate_python
        # What it is after validation is then JSON already, or refused with its path.
        self._is_json = _is_json(self._annotation)

    def dump(self, value: Any) -> str:
        adapter = self._adapter
        if adapter is None:
            return dumps(value, f"task {self._task!r}: result")
        try:
            valid = self._validate(value, by_alias=True, by_name=True)
            if not self._is_json:
                valid = dump_python(adapter, valid)
        except ValidationError as error:
            raise self._does_not_fit(value, _first(error)) from None
        except PydanticSerializationError as error:
            raise self._does_not_fit(value, str(error).partition("\n")[2] or str(error)) from None
        return dumps(valid, f"task {self._task!r}: result")

    def load(self, text: str) -> Any:
        if self._adapter is not None:
            with suppress(ValidationError):
                return self._adapter.validate_json(text, by_alias=True, by_name=True)
        return loads(text)

    def _does_not_fit(self, value: Any, why: str) -> InvalidResult:
        return InvalidResult(
            f"task {self._task!r} returned {describe(value)}, but its return annotation is "
            f"{name_of(self._annotation)}: {why.strip()}; correct the one or the other"
        )


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = "".join(f".{step}" if isinstance(step, str) else f"[{step}]" for step in first["loc"])
    return f"at result{where}: {first['msg']}" if where else first["msg"]


def _awaited(annotation: Any) -> Any:
    """What comes out of awaiting what a plain function returns."""
    annotation = unaliased(annotation)
    if get_origin(annotation) in (Awaitable, Coroutine):
        return unaliased(get_args(annotation)[-1])
    return annotation


def _without_signatures(annotation: Any) -> Any:
    """An annotation without the members that are signatures: these replace the task instead."""
    origin = get_origin(annotation)
    if origin is Union or origin is types.UnionType:
        members = [_without_signatures(unaliased(m)) for m in get_args(annotation)]
        kept = tuple(member for member in members if member is not NOT_ANNOTATED)
        return Union[kept] if kept else NOT_ANNOTATED  # noqa: UP007 - of a tuple
    cls = origin or annotation
    return NOT_ANNOTATED if isinstance(cls, type) and issubclass(cls, Signature) else annotation


def _is_json(annotation: Any) -> bool:
    """Whether values of this type are JSON values as they are."""
    if annotation in (*LEAVES, None, Any, object, dict, list):
        return True
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return all(type(arg) in LEAVES for arg in args)
    if origin is dict:
        return args[0] is str and _is_json(args[1])
    return origin in (list, Union, types.UnionType) and all(map(_is_json, args))
