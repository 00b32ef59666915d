"""How deep signatures may be nested."""

from __future__ import annotations

from typing import Any

import pytest

from mageflow_core.errors import SignatureTooDeep
from mageflow_core.jsontext import MAX_DEPTH
from mageflow_core.signatures.codec import from_json, signature_dumps, signature_loads, to_json
from mageflow_core.signatures.signature import ChainSignature, Signature, TaskSignature

A = {"kind": "task", "task": "a"}


def chained(levels: int, innermost: Signature[Any] | None = None) -> Signature[Any]:
    signature: Signature[Any] = innermost or TaskSignature(task="a")
    for _ in range(levels):
        signature = ChainSignature(steps=(signature,))
    return signature


def chained_data(levels: int) -> dict[str, Any]:
    data: dict[str, Any] = dict(A)
    for _ in range(levels):
        data = {"kind": "chain", "steps": [data]}
    return {"v": 1, **data}


def test_signatures_are_written_and_read_to_a_depth_of_32() -> None:
    assert signature_loads(signature_dumps(chained(32))) == chained(32)


def test_the_deepest_signature_may_have_the_deepest_argument() -> None:
    # Given an argument that is as deep as a value may be, on a signature as deep as one may be
    value: Any = 0
    for _ in range(MAX_DEPTH):
        value = [value]
    signature = chained(32, TaskSignature(task="a", args={"n": value}))

    # When it is written and read, then it comes back
    assert signature_loads(signature_dumps(signature)) == signature


@pytest.mark.parametrize("levels", [33, 300])
def test_a_signature_nested_deeper_is_refused_in_both_directions(levels: int) -> None:
    with pytest.raises(SignatureTooDeep, match="deeper than 32 levels"):
        to_json(chained(levels))
    with pytest.raises(SignatureTooDeep, match="deeper than 32 levels"):
        from_json(chained_data(levels))


def test_callbacks_count_as_levels() -> None:
    signature: Signature[Any] = TaskSignature(task="a")
    for _ in range(33):
        signature = TaskSignature(task="a", success_callbacks=(signature,))

    with pytest.raises(SignatureTooDeep):
        to_json(signature)
