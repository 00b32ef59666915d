"""Bound arguments: how they become plain JSON, and how they are laid over each other."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum, StrEnum
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, computed_field

import mageflow_core
from mageflow_core.errors import NotSerializable
from mageflow_core.plain import EXACTLY, is_marked, overlay, verbatim
from mageflow_core.serialization import Exactly, dumps, loads, merge, to_plain

SOURCES = str(Path(mageflow_core.__file__).parents[1])

keys = st.sampled_from(["a", "b", "c", EXACTLY])
leaves = st.none() | st.booleans() | st.integers() | st.text("xyz", max_size=3)
plain_values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=12,
)
plain_dicts = st.dictionaries(keys, plain_values, max_size=4)


class Shade(Enum):
    DARK = "dark"


class Color(StrEnum):
    RED = "red"


class Page(BaseModel):
    title: str
    size: int = 0


class Visit(BaseModel):
    page: Page
    when: datetime


@dataclasses.dataclass
class Box:
    width: int
    page: Page


def bound(value: Any) -> Any:
    """A bound value as a task gets it where there was nothing before."""
    return merge(None, to_plain(value))


# --- becoming plain ------------------------------------------------------------------------------


@given(plain_values)
def test_a_json_value_that_is_bound_comes_back_as_it_is(value: Any) -> None:
    assert bound(value) == value


@given(plain_values)
def test_plain_values_survive_the_way_through_json(value: Any) -> None:
    plain = to_plain(value)

    assert loads(dumps(plain)) == plain


@given(plain_values)
def test_exactly_gives_back_what_is_in_it_whatever_that_is(value: Any) -> None:
    assert merge({"a": {"b": 1}}, to_plain(Exactly(value))) == value


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        ((1, (2, 3)), [1, [2, 3]]),
        ({"a": {"b": (1,)}}, {"a": {"b": [1]}}),
        (Color.RED, "red"),
        (Shade.DARK, "dark"),
        (datetime(2024, 1, 2, tzinfo=UTC), "2024-01-02T00:00:00Z"),
        (date(2024, 1, 2), "2024-01-02"),
        (timedelta(minutes=90), "PT1H30M"),
        (UUID(int=7), "00000000-0000-0000-0000-000000000007"),
        (Decimal("1.10"), "1.10"),
        (PurePosixPath("/a/b"), "/a/b"),
        (b"bytes", "bytes"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({"when": [date(2024, 1, 2)]}, {"when": ["2024-01-02"]}),
    ],
)
def test_values_become_plain_by_their_own_type(value: Any, plain: Any) -> None:
    assert to_plain(value) == plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Page(title="x"), {EXACTLY: {"title": "x", "size": 0}}),
        (
            Box(width=1, page=Page(title="x")),
            {EXACTLY: {"width": 1, "page": {"title": "x", "size": 0}}},
        ),
        (Exactly({"a": 1}), {EXACTLY: {"a": 1}}),
        ({"inner": Exactly({"a": 1}), "b": 2}, {"inner": {EXACTLY: {"a": 1}}, "b": 2}),
        ({"page": Page(title="x")}, {"page": {EXACTLY: {"title": "x", "size": 0}}}),
        ({EXACTLY: 1}, {EXACTLY: {EXACTLY: 1}}),
        (
            {EXACTLY: 1, "b": Page(title="x")},
            {EXACTLY: {EXACTLY: 1, "b": {"title": "x", "size": 0}}},
        ),
        ({"a": {EXACTLY: {"b": 1}}}, {"a": {EXACTLY: {EXACTLY: {"b": 1}}}}),
        (Exactly({EXACTLY: 1}), {EXACTLY: {EXACTLY: 1}}),
    ],
)
def test_what_replaces_is_marked(value: Any, plain: Any) -> None:
    assert to_plain(value) == plain


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ([Page(title="x")], [{"title": "x", "size": 0}]),
        ([Exactly({"a": 1})], [{"a": 1}]),
        ([{EXACTLY: 1}], [{EXACTLY: 1}]),
        (Exactly([Exactly({"a": Exactly(1)})]), [{"a": 1}]),
        (Exactly(5), 5),
    ],
)
def test_within_what_replaces_as_a_whole_nothing_is_marked(value: Any, plain: Any) -> None:
    assert to_plain(value) == plain


def test_verbatim_values_are_never_marked() -> None:
    value = {"page": Page(title="x"), EXACTLY: Exactly({"a": 1})}

    assert verbatim(value) == {"page": {"title": "x", "size": 0}, EXACTLY: {"a": 1}}


def test_a_bound_value_is_a_copy() -> None:
    # Given a value that is bound
    value = {"rows": [1, {"a": 2}]}
    plain = to_plain(value)

    # When its owner changes it
    value["rows"].append(3)

    # Then what was bound stays
    assert plain == {"rows": [1, {"a": 2}]}


def test_fields_of_models_go_by_their_names_and_without_what_is_computed() -> None:
    class Order(BaseModel):
        order_id: str = Field(alias="orderId")

        @computed_field  # type: ignore[prop-decorator]
        @property
        def upper(self) -> str:
            return self.order_id.upper()

    assert to_plain(Order(orderId="x")) == {EXACTLY: {"order_id": "x"}}


def test_sets_have_the_same_order_in_each_process() -> None:
    # Given a set of texts, whose own order depends on the process
    code = (
        "from mageflow_core.serialization import to_plain, dumps;"
        "print(dumps(to_plain({'alpha', 'beta', 'gamma', 'delta', 'epsilon'})))"
    )

    # When it becomes plain in processes with different hash seeds
    written = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": SOURCES},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    # Then it is the same
    assert written == {'["alpha","beta","delta","epsilon","gamma"]\n'}


# --- what cannot become plain --------------------------------------------------------------------


class Engine:
    """Of no type that pydantic knows."""

    def __repr__(self) -> str:
        return "<an engine>"


@dataclasses.dataclass
class Car:
    engine: Engine


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Engine(), "arg: Engine <an engine> is not JSON, and pydantic does not know its type"),
        ({"a": [Engine()]}, "arg.a[0]: Engine <an engine> is not JSON"),
        ({"car": Car(Engine())}, "arg.car: Car Car(engine=<an engine>) is not JSON"),
        (object, "arg: type <class 'object'> is not JSON"),
        ({1: 2}, "arg: the key int 1 is not a str"),
        ({"a": {(1,): 2}}, "arg.a: the key tuple of 1 is not a str"),
        ([float("nan")], "arg[0]: float nan is not JSON"),
        (b"\xff", "arg: bytes b'\\xff' is not JSON"),
        ({"a": "\ud800"}, "arg.a: str '\\ud800' has a lone surrogate"),
        (Decimal, "arg: "),
    ],
)
def test_what_cannot_become_plain_is_refused_with_its_path(value: Any, message: str) -> None:
    with pytest.raises(NotSerializable) as caught:
        to_plain(value, "arg")

    assert str(caught.value).startswith(message)


def test_a_model_that_was_changed_to_what_its_type_does_not_allow_is_refused() -> None:
    page = Page(title="x")
    page.title = 5  # type: ignore[assignment]

    with pytest.raises(NotSerializable, match="arg: Page"):
        to_plain(page, "arg")


def test_a_bound_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append({"again": value})

    with pytest.raises(NotSerializable, match="nested deeper than 100 levels, or in itself"):
        to_plain(value)


# --- merging -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
        ({"a": 5}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {}}, {"a": {"x": 1}}),
        ({"a": {"x": 1}}, {"a": {EXACTLY: {}}}, {"a": {}}),
        ({"a": {"x": 1}}, {"a": {EXACTLY: {"y": 2}}}, {"a": {"y": 2}}),
        ({"a": {"x": {"p": 1}}}, {"a": {"x": {EXACTLY: {"q": 2}}}}, {"a": {"x": {"q": 2}}}),
        ({}, {"a": {"x": {EXACTLY: {"q": 2}}}}, {"a": {"x": {"q": 2}}}),
        ({}, {"a": [{EXACTLY: 1}]}, {"a": [{EXACTLY: 1}]}),
        ({}, {"a": {EXACTLY: {EXACTLY: {EXACTLY: 1}}}}, {"a": {EXACTLY: {EXACTLY: 1}}}),
        (5, {"a": 1}, {"a": 1}),
        ({"a": 1}, 5, 5),
    ],
)
def test_later_wins_plain_dictionaries_are_merged_and_the_rest_replaces(
    base: Any, over: Any, merged: Any
) -> None:
    assert merge(base, over) == merged


@given(plain_dicts)
def test_nothing_laid_over_a_value_leaves_it(base: dict[str, Any]) -> None:
    assert merge(base, {}) == base


@given(plain_dicts, plain_dicts)
def test_what_is_laid_over_wins_in_all_that_it_says(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    assert overlay(merge(base, to_plain(over)), over) == merge(base, to_plain(over))


@given(plain_dicts, plain_dicts)
def test_laying_the_same_over_twice_changes_nothing(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    once = merge(base, to_plain(over))

    assert merge(once, to_plain(over)) == once


@given(plain_dicts, plain_dicts)
def test_merging_changes_neither_side(base: dict[str, Any], over: dict[str, Any]) -> None:
    marked = to_plain(over)
    before = dumps([base, marked])

    merge(base, marked)

    assert dumps([base, marked]) == before


@given(plain_dicts)
def test_a_message_is_never_looked_through_for_marks(message: dict[str, Any]) -> None:
    assert merge(message, {"other": 1}) == {**message, "other": 1}
    assert overlay({}, message) == message


@given(plain_dicts, plain_dicts)
def test_plain_values_laid_over_each_other_keep_every_key(
    base: dict[str, Any], over: dict[str, Any]
) -> None:
    laid = overlay(base, over)

    assert laid.keys() == base.keys() | over.keys()
    assert all(laid[key] == base[key] for key in base.keys() - over.keys())


@pytest.mark.parametrize(
    ("base", "over", "laid"),
    [
        ({"a": {"x": 1}}, {"a": {EXACTLY: {}}}, {"a": {"x": 1, EXACTLY: {}}}),
        ({"a": {"x": 1}}, {"a": [1]}, {"a": [1]}),
        ({"a": 1}, 5, 5),
        (5, {EXACTLY: 1}, {EXACTLY: 1}),
    ],
)
def test_plain_values_are_laid_over_each_other_with_marks_as_data(
    base: Any, over: Any, laid: Any
) -> None:
    assert overlay(base, over) == laid


@pytest.mark.parametrize(
    ("value", "marked"),
    [
        ({EXACTLY: 1}, True),
        ({EXACTLY: 1, "b": 2}, False),
        ({}, False),
        ([EXACTLY], False),
        (None, False),
    ],
)
def test_a_mark_is_a_mapping_of_just_that_key(value: Any, *, marked: bool) -> None:
    assert is_marked(value) is marked


def test_typed_values_come_back_through_the_types_that_wrote_them() -> None:
    visit = Visit(page=Page(title="x"), when=datetime(2024, 1, 2, tzinfo=UTC))

    assert Visit.model_validate_json(dumps(bound(visit))) == visit
