"""A condition worked out at run time: a task decides which signature follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mageflow_core.errors import SignatureError
from mageflow_core.serialization import dumps
from mageflow_core.signatures.codec import from_json, to_json
from mageflow_core.signatures.inject import ReturnValue
from mageflow_core.signatures.signature import (
    ChainSignature,
    Signature,
    TaskSignature,
    as_signature,
)

BRANCH = "mageflow.branch"  # the built-in task of every app


@dataclass(frozen=True, slots=True)
class Forward:
    """The signature that a branch has chosen; it gets what the branch got, not the choice."""

    signature: Signature[Any]


class Pass:
    """The branch has chosen nothing: what it got goes on to the next step."""


def branch(
    condition: Any,
    cases: Mapping[Any, Any] | None = None,
    *,
    then: Any = None,
    otherwise: Any = None,
) -> ChainSignature[Any]:
    """Run `condition`, a task or signature, and then the case of its result.

    cases: result → signature; results are compared as JSON (True, 3 and "a" are keys).
    then: short for the case `True`. otherwise: what runs in all other cases; without it, what
    the branch got passes through unchanged.

    The chosen signature gets what the branch itself got: the previous result in a chain, else
    the run's message. The branch's result is that signature's.
    """
    chosen = dict(cases or {})
    if then is not None:
        chosen[True] = then
    if not chosen:
        raise SignatureError("a branch has no cases: give cases={result: signature} or then=")
    arguments = {
        "cases": {dumps(key): to_json(as_signature(case)) for key, case in chosen.items()},
        "otherwise": to_json(as_signature(otherwise)) if otherwise is not None else None,
    }
    decide: TaskSignature[Any] = TaskSignature(task=BRANCH)
    return ChainSignature(steps=(as_signature(condition), decide.bind(**arguments)))


def choose(
    choice: ReturnValue[Any], cases: dict[str, Any], otherwise: dict[str, Any] | None = None
) -> Any:  # Forward | Pass, which no result is validated against
    """The body of the built-in task."""
    case = cases.get(dumps(choice), otherwise)
    return Forward(from_json(case)) if case is not None else Pass()
