"""What a task can ask to be given: annotations of its parameters, or of its model's fields.

::

    @mf.task
    def count(page: ReturnValue[Page], word: str) -> int: ...   # `page` is a Page

    @mf.task
    def on_error(error: ErrorValue, ctx: Context) -> None: ...

With `| None = None` or another default they can be left out where there is nothing to inject.
"""

from __future__ import annotations

import types
from enum import Enum
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from mageflow_core.failure import ErrorInfo
from mageflow_core.plain import Exactly
from mageflow_core.signatures.context import Context
from mageflow_core.signatures.report import ItemFailure, SwarmCounts, SwarmReport

__all__ = [
    "INJECTS",
    "OBJECTS",
    "Context",
    "ErrorValue",
    "Exactly",
    "Injection",
    "ItemFailure",
    "NativeContext",
    "ReturnValue",
    "SwarmCounts",
    "SwarmReport",
    "injection_of",
    "unaliased",
]

T = TypeVar("T")


class Injection(Enum):
    """What is injected; the value is how it is called in messages."""

    RETURN_VALUE = "ReturnValue"
    ERROR_VALUE = "ErrorValue"
    SWARM_REPORT = "SwarmReport"
    CONTEXT = "Context"
    NATIVE = "NativeContext"
    MESSAGE = "message"  # all of it, whatever it is

    def __repr__(self) -> str:
        return f"<{self.value}>"


# On a function: parameter → Injection, for those whose annotation does not say it.
INJECTS = "__mageflow_injects__"

# Never read from JSON: only MageFlow makes these.
OBJECTS = frozenset({Injection.SWARM_REPORT, Injection.CONTEXT, Injection.NATIVE})

# To type checkers `ReturnValue[Page]` is Page.
ReturnValue = Annotated[T, Injection.RETURN_VALUE]
"""The previous step's result; for a callback its owner's result."""

NativeContext = Annotated[T, Injection.NATIVE]
"""The engine's own context, as `Context.native`; of parameters only."""

ErrorValue = ErrorInfo
"""The error that an error callback is about."""

_CLASSES = {
    ErrorInfo: Injection.ERROR_VALUE,
    SwarmReport: Injection.SWARM_REPORT,
    Context: Injection.CONTEXT,
}


def injection_of(annotation: Any) -> Injection | None:
    """What an annotation asks for: itself, or one member of its union."""
    annotation = unaliased(annotation)
    if isinstance(annotation, type):
        return _CLASSES.get(annotation)
    origin = get_origin(annotation)
    if origin is Annotated:
        for note in annotation.__metadata__:
            if isinstance(note, Injection):
                return note
        return injection_of(annotation.__origin__)
    if origin is Union or origin is types.UnionType:
        members = (injection_of(member) for member in get_args(annotation))
        return next((found for found in members if found), None)
    return None


def unaliased(annotation: Any) -> Any:
    """An annotation without the name that `type X = …` gives it (Python 3.12)."""
    while type(annotation).__name__ == "TypeAliasType":
        annotation = annotation.__value__
    return annotation
