"""JSON text: what is written is read back as it was, and the rest is refused with its path."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from mageflow_core import jsontext
from mageflow_core.errors import DataError, NotSerializable
from mageflow_core.jsontext import MAX_DEPTH, describe
from mageflow_core.serialization import dumps, loads

texts = st.text(st.characters(exclude_categories=["Cs"]))
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts
)
json_values = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(texts, inner), max_leaves=30
)


class Color(StrEnum):
    RED = "red"


class Size(IntEnum):
    BIG = 3


class Shade(Enum):
    DARK = "dark"


class Point(NamedTuple):
    x: int
    y: int


class Page(BaseModel):
    title: str


def nested(levels: int) -> Any:
    value: Any = 0
    for _ in range(levels):
        value = [value]
    return value


def same(left: Any, right: Any) -> bool:
    """Equal, and of the same types all the way down: 1 is not 1.0, 0.0 is not -0.0."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, float):
        return left == right and math.copysign(1, left) == math.copysign(1, right)
    return bool(left == right)


# --- round trips ---------------------------------------------------------------------------------


@given(json_values)
def test_what_is_written_is_read_back_with_the_same_types_and_order(value: Any) -> None:
    assert same(loads(dumps(value)), value)


@given(json_values)
def test_the_text_is_json_as_everyone_else_reads_it(value: Any) -> None:
    assert same(json.loads(dumps(value)), value)


@given(st.integers(min_value=-(10**400), max_value=10**400))
def test_integers_of_any_size_are_exact(number: int) -> None:
    assert loads(dumps({"n": number})) == {"n": number}


@pytest.mark.parametrize("number", [2**53, 2**53 + 1, -(2**63) - 1, 2**64, 10**4299])
def test_integers_that_a_double_or_a_word_cannot_hold_are_exact(number: int) -> None:
    assert loads(dumps(number)) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_come_back_to_the_last_bit(number: float) -> None:
    assert same(loads(dumps(number)), number)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-7, "-7"),
        (1.5, "1.5"),
        ("", '""'),
        ('quo"te\n', '"quo\\"te\\n"'),
        ("grün", '"grün"'),
        ("\N{SNAKE}", '"\N{SNAKE}"'),
        ([], "[]"),
        ({}, "{}"),
        ((1, (2,)), "[1,[2]]"),
        ({"b": 1, "a": [None]}, '{"b":1,"a":[null]}'),
    ],
)
def test_values_are_written_compactly_and_in_order(value: Any, text: str) -> None:
    assert dumps(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Color.RED, '"red"'),
        (Size.BIG, "3"),
        ({Color.RED: Size.BIG}, '{"red":3}'),
        (Point(1, 2), "[1,2]"),
        (OrderedDict(a=1), '{"a":1}'),
        (Counter("aa"), '{"a":2}'),
        (defaultdict(list, a=[Color.RED]), '{"a":["red"]}'),
    ],
)
def test_a_subclass_of_a_json_type_is_written_as_what_it_derives_from(
    value: Any, text: str
) -> None:
    assert dumps(value) == text


def test_the_same_list_in_two_places_is_no_cycle() -> None:
    shared = [1]

    assert dumps([shared, shared, {"a": shared}]) == '[[1],[1],{"a":[1]}]'


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            datetime(2024, 1, 2, tzinfo=UTC),
            "value: datetime datetime.datetime(2024, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)",
        ),
        ({"rows": [1, 2, 3, {"when": date(2024, 1, 2)}]}, "value.rows[3].when: date "),
        ({"two words": [b"x"]}, "value['two words'][0]: bytes b'x' is not JSON"),
        ([{1, 2}], "value[0]: set of 2 is not JSON"),
        ((1, frozenset()), "value[1]: frozenset of 0 is not JSON"),
        ({"a": Decimal("1.5")}, "value.a: Decimal Decimal('1.5') is not JSON"),
        ([Page(title="x")], "value[0]: Page Page(title='x') is not JSON"),
        ([Shade.DARK], "value[0]: Shade <Shade.DARK: 'dark'> is not JSON"),
        ({"f": len}, "value.f: builtin_function_or_method <built-in function len> is not JSON"),
        ([range(3)], "value[0]: range range(0, 3) is not JSON"),
        (1j, "value: complex 1j is not JSON"),
    ],
)
def test_what_json_cannot_say_is_refused_with_its_path_and_what_to_do(
    value: Any, message: str
) -> None:
    with pytest.raises(NotSerializable) as caught:
        dumps(value)

    assert str(caught.value).startswith(message)
    assert "annotate the parameter or the result with a type, or convert it first" in str(
        caught.value
    )


@pytest.mark.parametrize("key", [1, 1.5, True, None, (1, 2), b"k"])
def test_keys_that_are_no_text_are_refused_and_not_turned_into_text(key: Any) -> None:
    with pytest.raises(NotSerializable, match=r"value\.a\[1\]: the key .* is not a str"):
        dumps({"a": [0, {key: "x"}]})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("wrap", [lambda n: n, lambda n: [0, n], lambda n: {"a": n}])
def test_nan_and_infinity_are_refused(number: float, wrap: Any) -> None:
    with pytest.raises(NotSerializable, match="JSON, which has no NaN or infinity; use None"):
        dumps(wrap(number))


def test_an_integer_too_long_to_be_read_again_is_refused() -> None:
    with pytest.raises(NotSerializable, match=r"value\.n: an int of more than 4300 digits"):
        dumps({"n": 10**4300})


@pytest.mark.parametrize(
    ("value", "path"),
    [("\ud800", "value: "), (["a\udfffb"], r"value\[0\]: "), ({"\udc00": 1}, "value: the key ")],
)
def test_text_that_is_not_valid_unicode_is_refused(value: Any, path: str) -> None:
    with pytest.raises(NotSerializable, match=rf"^{path}.*lone surrogate"):
        dumps(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: dict[str, Any] = {"a": []}
    value["a"].append(value)

    with pytest.raises(NotSerializable, match=r"^value\.a\[0\]: the value contains itself"):
        dumps(value)


def test_a_value_may_be_as_deep_as_the_limit_and_no_deeper() -> None:
    assert loads(dumps(nested(MAX_DEPTH))) == nested(MAX_DEPTH)
    with pytest.raises(NotSerializable, match=r"nested deeper than 100 levels"):
        dumps(nested(MAX_DEPTH + 1))


def test_a_value_far_too_deep_for_the_encoder_is_refused_alike() -> None:
    with pytest.raises(NotSerializable, match="nested deeper than 100 levels"):
        dumps(nested(100_000))


def test_the_depth_can_be_set_for_what_wraps_values() -> None:
    assert dumps(nested(150), depth=150) == "[" * 150 + "0" + "]" * 150
    with pytest.raises(NotSerializable, match="nested deeper than 2 levels"):
        dumps([[[]]], depth=2)


def test_the_value_has_in_the_path_the_name_that_it_is_given() -> None:
    with pytest.raises(NotSerializable, match=r"^the result of 'load'\.a: "):
        dumps({"a": b""}, "the result of 'load'")


def test_a_subclass_whose_items_are_not_what_it_holds_cannot_get_around_the_check() -> None:
    class Odd(dict[Any, Any]):
        """A dict like any other, with keys that are no text."""

    with pytest.raises(NotSerializable, match="the key int 1 is not a str"):
        dumps([Odd({1: 2})])


# --- reading -------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "[NaN]"])
def test_nan_and_infinity_are_not_read(text: str) -> None:
    with pytest.raises(DataError, match="value is not JSON text"):
        loads(text)


@pytest.mark.parametrize("text", ["", "{", "[1] 2", "{'a': 1}", "undefined", '"\\ud800"', b"\xff"])
def test_what_is_not_json_text_is_a_clear_error(text: str | bytes) -> None:
    with pytest.raises(DataError, match=r"the message is not JSON text: .* at line 1"):
        loads(text, "the message")


def test_text_too_deep_to_be_read_is_an_error_and_no_crash() -> None:
    with pytest.raises(DataError, match="recursion limit"):
        loads("[" * 100_000)


def test_bytes_are_read_as_utf_8() -> None:
    assert loads('{"ü":1}'.encode()) == {"ü": 1}


# --- describing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (5, "int 5"),
        (True, "bool True"),
        ("abc", "str 'abc'"),
        ([1, 2], "list of 2"),
        ({}, "dict of 0"),
        ("x" * 100, "str '" + "x" * 79 + "…"),
    ],
)
def test_a_value_is_described_by_its_type_and_itself_when_short(value: Any, text: str) -> None:
    assert describe(value) == text


def test_an_integer_too_long_to_be_shown_is_described_by_its_type() -> None:
    assert describe(10**5000) == "int"


def test_a_value_whose_repr_is_broken_is_described_by_its_type() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert describe(Broken()) == "Broken"


# --- without the C encoder -----------------------------------------------------------------------


@given(json_values)
def test_where_there_is_no_c_encoder_the_text_is_the_same(value: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("json.encoder.c_make_encoder", None)
        encode = jsontext._make_encode()

        assert encode(value) == dumps(value)


def test_only_python_json_types_count_not_what_pydantic_knows() -> None:
    for value in (UUID(int=1), PurePosixPath("/x"), Page(title="x")):
        with pytest.raises(NotSerializable):
            dumps(value)
