"""The hash of what a signature says."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import mageflow_core
from mageflow_core.signatures.codec import content_hash, signature_dumps
from mageflow_core.signatures.options import Options
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

SOURCES = str(Path(mageflow_core.__file__).parents[1])


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (
            TaskSignature(task="a", args={"x": 1, "y": 2}),
            TaskSignature(task="a", args={"y": 2, "x": 1}),
        ),
        (
            TaskSignature(task="a", opts=Options(timeout=30)),
            TaskSignature(task="a", opts=Options(timeout=30.0)),
        ),
        (
            TaskSignature(task="a", opts=Options(eta=datetime(2024, 1, 1, 2, tzinfo=UTC))),
            TaskSignature(
                task="a",
                opts=Options(eta=datetime(2024, 1, 1, 4, tzinfo=timezone(timedelta(hours=2)))),
            ),
        ),
        (
            ChainSignature(steps=(TaskSignature(task="a", stored="x"),)),
            ChainSignature(steps=(TaskSignature(task="a"),)),
        ),
        (
            GraphSignature(nodes={"a": TaskSignature(task="a", stored="x")}),
            GraphSignature(nodes={"a": TaskSignature(task="a")}),
        ),
    ],
)
def test_signatures_that_say_the_same_have_the_same_hash(
    a: Signature[Any], b: Signature[Any]
) -> None:
    assert a == b
    assert content_hash(a) == content_hash(b)


def test_arguments_of_that_name_are_not_taken_for_stored_runs() -> None:
    a: Signature[Any] = TaskSignature(task="a", args={"stored": 1, "items": [{"stored": 2}]})
    b: Signature[Any] = TaskSignature(task="a", args={"stored": 1, "items": [{"stored": 3}]})

    assert content_hash(a) != content_hash(b)


@pytest.mark.parametrize(
    "other",
    [
        TaskSignature(task="b"),
        TaskSignature(task="a", args={"n": 1}),
        TaskSignature(task="a", args={"n": True}),
        TaskSignature(task="a", args={"n": 1.5}),
        TaskSignature(task="a", name="a"),
        ChainSignature(steps=(TaskSignature(task="a"),)),
        SwarmSignature(items=(TaskSignature(task="a"),)),
    ],
)
def test_signatures_that_say_something_else_have_another_hash(other: Signature[Any]) -> None:
    assert content_hash(TaskSignature(task="a")) != content_hash(other)


def test_a_hash_is_the_same_in_each_process_and_version() -> None:
    # Given a hash made in another process
    code = (
        "from mageflow_core.signatures.codec import content_hash;"
        "from mageflow_core.signatures.signature import TaskSignature;"
        "print(content_hash(TaskSignature(task='a', args={'n': 1, 'ü': [None]})))"
    )
    there = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": "5", "PYTHONPATH": SOURCES},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    # When it is made here
    here = content_hash(TaskSignature(task="a", args={"ü": [None], "n": 1}))

    # Then it is that, and the one that is in people's stores
    assert here == there
    assert here == "511baf6d3642b317573f3435e97cd605c5fb6e650cc42546a8f0c9bf1a4b7864"


def test_the_text_is_compact() -> None:
    text = signature_dumps(TaskSignature(task="a", args={"n": 1}))

    assert text == json.dumps(json.loads(text), separators=(",", ":"))
    assert len(text) == 47
