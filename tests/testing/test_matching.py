"""Partial comparison of values."""

from dataclasses import dataclass
from typing import Any
from unittest.mock import ANY

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mageflow.testing.matching import signature_differences, value_differences
from mageflow_core import Exactly, TaskSignature


class Page(BaseModel):
    url: str
    size: int = 0


@dataclass
class Point:
    x: int
    y: int = 0


def is_even(value: int) -> bool:
    return value % 2 == 0


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


def differences(expected: Any, actual: Any) -> list[str]:
    return list(value_differences(expected, actual, "at"))


@given(VALUES)
def test_a_value_matches_itself(value: Any) -> None:
    assert differences(value, value) == []


@given(VALUES, VALUES)
def test_without_differences_all_that_is_expected_is_there(expected: Any, actual: Any) -> None:
    def part(one: Any, other: Any) -> bool:
        if isinstance(one, dict):
            return isinstance(other, dict) and all(
                key in other and part(value, other[key]) for key, value in one.items()
            )
        if isinstance(one, list):
            return isinstance(other, list) and len(one) == len(other) and all(map(part, one, other))
        return type(one) is type(other) and bool(one == other)

    assert (differences(expected, actual) == []) is part(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (ANY, object()),
        (ANY, True),
        (int, 3),
        (Page, Page(url="/")),
        (is_even, 4),
        (lambda value: value > 3, 4),
        ({"a": ANY}, {"a": None, "b": 1}),
        ({"url": "/"}, Page(url="/", size=3)),
        ({"x": 1}, Point(1, 2)),
        (Page(url="/"), {"url": "/", "size": 0}),
        (Page(url="/"), Page(url="/")),
        ((1, 2), [1, 2]),
        ([{"a": 1}], [{"a": 1, "b": 2}]),
        (1, 1.0),
        ({}, {"a": 1}),
    ],
)
def test_a_match(expected: Any, actual: Any) -> None:
    assert differences(expected, actual) == []


@pytest.mark.parametrize(
    ("expected", "actual", "shown"),
    [
        (1, 2, "at: expected 1, got 2"),
        (True, 1, "at: expected True, got 1"),
        (1, True, "at: expected 1, got True"),
        (0, False, "at: expected 0, got False"),
        (int, "3", "at: expected a value of type int, got '3'"),
        (is_even, 3, "at: 3 does not satisfy is_even"),
        ({"a": 1}, {"a": 2}, "at.a: expected 1, got 2"),
        ({"a": 1}, {}, "at.a: expected 1, but there is none"),
        ({"a": int}, {}, "at.a: expected a value of type int, but there is none"),
        ({"a": 1}, 5, "at: expected {'a': 1}, got 5"),
        ({"a": {"b": [1]}}, {"a": {"b": [2]}}, "at.a.b[0]: expected 1, got 2"),
        ([1], [1, 2], "at: expected 1 elements, got 2: [1, 2]"),
        ([1], "1", "at: expected [1], got '1'"),
        ({"size": 1}, Page(url="/"), "at.size: expected 1, got 0"),
        (Page(url="/"), {"url": "/"}, "at: expected Page(url='/', size=0), got {'url': '/'}"),
        (None, 0, "at: expected None, got 0"),
    ],
)
def test_a_difference(expected: Any, actual: Any, shown: str) -> None:
    assert differences(expected, actual) == [shown]


def test_all_differences_are_told() -> None:
    found = differences({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 0, "b": {"c": 0, "d": 3}})

    assert found == ["at.a: expected 1, got 0", "at.b.c: expected 2, got 0"]


def test_arguments_that_replace_are_compared_as_what_they_are() -> None:
    signature = TaskSignature[Any](task="t")
    exact = signature.bind(options=Exactly({"a": 1, "b": 2}))
    merged = signature.bind(options={"a": 1})

    assert list(signature_differences(merged, exact)) == []
    assert list(signature_differences(exact, merged)) == [
        "args.options.b: expected 2, but there is none"
    ]
