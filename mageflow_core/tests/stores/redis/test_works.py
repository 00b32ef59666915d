"""What a granted claim is answered with, as the work of a runner."""

from __future__ import annotations

from typing import Any

import pytest
from simulation import chain, task

from mageflow_core.machine import ClaimRequest
from mageflow_core.signatures.codec import head_dumps, signature_dumps
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Input, Work
from mageflow_core.stores.redis import works
from mageflow_core.stores.redis.works import Works

REQUEST = ClaimRequest("/0/1", 4, "claim", "w")


def answer(
    signature: Signature[Any],
    *,
    labels: str = "",
    previous: str = "",
    around: list[str] | None = None,
    given: list[str] | None = None,
) -> list[Any]:
    body = signature_dumps(signature)
    inputs = [labels, body, '{"m":1}', previous, around or [], given or []]
    return ["run", 1, 7, 2, 3, 1_000, 2_000, *inputs, "0.1"]


def test_an_answer_becomes_work() -> None:
    # Given
    signature = task("a").bind(x=1)
    around = [head_dumps(chain(task("a")).bind(x=n)) for n in (1, 2)]
    # When
    work = Works().work(
        "r", REQUEST, answer(signature, previous="5", around=around, given=["x", "6", "y", "7"])
    )
    # Then
    assert work == Work(
        key="r/0/1",
        claim="claim",
        fence=7,
        attempt=2,
        generation=3,
        depth=3,
        signature=signature,
        labels={},
        input=Input(
            message='{"m":1}',
            previous="5",
            dependencies={"x": "6", "y": "7"},
            arguments=({"x": 1}, {"x": 2}),
        ),
    )


@pytest.mark.parametrize(
    ("own", "of_run", "expected"),
    [({}, "", {}), ({}, '{"a":"1"}', {"a": "1"}), ({"b": "2"}, '{"a":"1"}', {"b": "2"})],
)
def test_a_task_without_labels_has_those_of_its_run(
    own: dict[str, str], of_run: str, expected: dict[str, str]
) -> None:
    work = Works().work("r", REQUEST, answer(task("a").label(**own), labels=of_run))
    assert work.labels == expected


def test_no_previous_result_is_none() -> None:
    assert Works().work("r", REQUEST, answer(task("a"))).input.previous is None


def test_a_signature_is_decoded_once_for_all_that_share_it() -> None:
    # Given
    kept = Works()
    one, two, other = (
        kept.work("r", REQUEST, answer(task(name))).signature for name in ("a", "a", "b")
    )
    # Then
    assert one is two
    assert other == task("b")


def test_only_so_many_signatures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    monkeypatch.setattr(works, "KEPT", 2)
    kept = Works()
    # When
    for name in ("a", "b", "c"):
        kept.work("r", REQUEST, answer(task(name)))
    # Then
    assert [signature_dumps(task(name)) in kept._signatures for name in "abc"] == [
        False,
        True,
        True,
    ]
