"""What a task is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from mageflow_core.failure import ErrorInfo
from mageflow_core.signatures.context import Context
from mageflow_core.signatures.report import SwarmReport


class Missing(Enum):
    """The type of `MISSING`: there is no value. None is one."""

    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing.MISSING


@dataclass(slots=True, kw_only=True)
class Source:
    """All that the input of one task is built from.

    message: a JSON value. previous: the JSON value of the previous result (for a success
    callback: of its owner's result), or `MISSING`.
    dependencies: for a node of a graph, name → result of each that it depends on.
    container_args: what is bound on the containers around, outermost first; args: on the
    signature itself. Both as `to_plain` makes them; the others are never looked through for marks.
    """

    message: Any = field(default_factory=dict)
    previous: Any = MISSING
    dependencies: Mapping[str, Any] = field(default_factory=dict)
    container_args: Sequence[Mapping[str, Any]] = ()
    args: Mapping[str, Any] = field(default_factory=dict)
    error: ErrorInfo | None = None
    report: SwarmReport | None = None
    context: Context | None = None


@dataclass(slots=True)
class Bound:
    """What to call a task with: `fn(**kwargs)`.

    used_previous: the previous result was taken as the message.
    """

    kwargs: dict[str, Any]
    used_previous: bool
