"""What a task gives back: by its return annotation, or as JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, computed_field
from typing_extensions import TypedDict

from mageflow_core.errors import InvalidResult, NotSerializable
from mageflow_core.serialization import loads
from mageflow_core.signatures.binding import Binder
from mageflow_core.signatures.signature import (
    ChainSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)


class Page(BaseModel):
    title: str
    size: int = 0


class Big(Page):
    extra: int = 1


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    order_id: str = Field(alias="orderId")
    owner: str = Field("", validation_alias="who")
    note: str = Field("", serialization_alias="noteText")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def shout(self) -> str:
        return self.order_id.upper()


class Loose(BaseModel):
    value: Any


class Ratio(BaseModel):
    ratio: float


class Row(TypedDict):
    when: datetime


class Shade(Enum):
    DARK = "dark"


@dataclasses.dataclass
class Box:
    width: int
    tags: set[str] = dataclasses.field(default_factory=set)


def returning(annotation: Any) -> Binder:
    def task() -> Any: ...

    task.__annotations__ = {"return": annotation}
    return Binder.of(task)


def unannotated():  # type: ignore[no-untyped-def]  # noqa: ANN201
    ...


def dump(annotation: Any, value: Any) -> str:
    return returning(annotation).dump_result(value)


# --- annotated -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "value", "text"),
    [
        (int, 5, "5"),
        (int, 2**70, str(2**70)),
        (int, "5", "5"),
        (str, "x", '"x"'),
        (float, 1, "1.0"),
        (bool, True, "true"),
        (None, None, "null"),
        (int | None, None, "null"),
        (list[int], (1, 2), "[1,2]"),
        (dict[str, int], {"a": 1}, '{"a":1}'),
        (dict[int, int], {1: 2}, '{"1":2}'),
        (dict, {"a": [1]}, '{"a":[1]}'),
        (tuple[int, str], (1, "a"), '[1,"a"]'),
        (set[int], {1}, "[1]"),
        (Page, Page(title="t"), '{"title":"t","size":0}'),
        (Page, {"title": "t"}, '{"title":"t","size":0}'),
        (Page, Big(title="t"), '{"title":"t","size":0}'),
        (list[Page], [Page(title="t")], '[{"title":"t","size":0}]'),
        (Box, Box(1, {"a"}), '{"width":1,"tags":["a"]}'),
        (Row, {"when": datetime(2024, 1, 2, tzinfo=UTC)}, '{"when":"2024-01-02T00:00:00Z"}'),
        (datetime, datetime(2024, 1, 2, tzinfo=UTC), '"2024-01-02T00:00:00Z"'),
        (Decimal, Decimal("1.10"), '"1.10"'),
        (UUID, UUID(int=1), '"00000000-0000-0000-0000-000000000001"'),
        (bytes, b"raw", '"raw"'),
        (Shade, Shade.DARK, '"dark"'),
        (Literal["a", "b"], "a", '"a"'),
        (Any, {"a": (1,)}, '{"a":[1]}'),
        (object, [None], "[null]"),
        (Awaitable[int], 5, "5"),
        (Coroutine[Any, Any, Page], {"title": "t"}, '{"title":"t","size":0}'),
    ],
)
def test_a_result_is_written_as_its_annotation_says(annotation: Any, value: Any, text: str) -> None:
    assert dump(annotation, value) == text


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (
            int,
            "abc",
            (
                "task 'task' returned str 'abc', but its return annotation is int: Input "
                "should be a valid integer, unable to parse string as an integer; correct "
                "the one or the "
                "other"
            ),
        ),
        (
            str,
            5,
            (
                "task 'task' returned int 5, but its return annotation is str: Input should be a "
                "valid string; correct the one or the other"
            ),
        ),
        (
            None,
            5,
            (
                "task 'task' returned int 5, but its return annotation is None: Input should be "
                "None; correct the one or the other"
            ),
        ),
        (
            Page,
            None,
            (
                "task 'task' returned None, but its return annotation is Page: Input should "
                "be a valid dictionary or instance of Page; correct the one or the other"
            ),
        ),
        (
            Page,
            {"size": 1},
            (
                "task 'task' returned dict of 1, but its return annotation is Page: at "
                "result.title: Field required; correct the one or the other"
            ),
        ),
        (
            list[int],
            [1, "x"],
            (
                "task 'task' returned list of 2, but its return annotation is "
                "list[int]: at result[1]: Input should be a valid integer, unable to parse "
                "string as an "
                "integer; correct the one or the other"
            ),
        ),
        (
            Literal["a"],
            "b",
            (
                "task 'task' returned str 'b', but its return annotation is "
                "Literal['a']: Input should be 'a'; correct the one or the other"
            ),
        ),
    ],
)
def test_a_result_that_does_not_fit_its_annotation_is_a_clear_error(
    annotation: Any, value: Any, message: str
) -> None:
    with pytest.raises(InvalidResult) as caught:
        dump(annotation, value)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("annotation", "value", "path"),
    [
        (float, math.nan, "result: float nan"),
        (list[float], [1.0, math.inf], r"result\[1\]: float inf"),
        (Ratio, Ratio(ratio=math.nan), r"result\.ratio: float nan"),
        (dict[str, Any], {"when": datetime(2024, 1, 2, tzinfo=UTC)}, r"result\.when: datetime"),
        (Any, {"a": {1}}, r"result\.a: set of 1"),
        (dict, {1: 2}, "result: the key int 1"),
    ],
)
def test_what_json_cannot_say_is_refused_within_annotated_results_too(
    annotation: Any, value: Any, path: str
) -> None:
    with pytest.raises(NotSerializable, match=f"^task 'task': {path}"):
        dump(annotation, value)


def test_a_model_that_was_changed_to_what_it_does_not_allow_is_an_invalid_result() -> None:
    page = Page(title="t")
    page.title = 5  # type: ignore[assignment]

    with pytest.raises(InvalidResult, match=r"returned Page .*Expected `str`"):
        dump(Page, page)


def test_what_no_type_knows_within_a_model_is_an_invalid_result() -> None:
    with pytest.raises(InvalidResult, match="Unable to serialize unknown type"):
        dump(Loose, Loose(value=object()))


def test_a_model_with_aliases_and_computed_fields_reads_back_what_it_wrote() -> None:
    # Given a model with all kinds of aliases, that refuses what it does not know
    order = Order.model_validate({"orderId": "x", "who": "o", "note": "n"})
    binder = returning(Order)

    # When it is written and is the message of a task that takes it
    message = loads(binder.dump_result(order))

    # Then it comes back
    def takes(order: Order) -> None: ...

    from mageflow_core.signatures.binding import Source

    assert Binder.of(takes).bind(Source(message=message)).kwargs == {"order": order}


@given(
    st.builds(
        Box,
        width=st.integers(),
        tags=st.sets(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
    )
)
def test_typed_results_come_back_through_their_type(box: Box) -> None:
    text = dump(Box, box)

    assert TypeAdapter(Box).validate_json(text) == box


# --- not annotated -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"), [(None, "null"), ((1, 2), "[1,2]"), ({"a": 2**70}, f'{{"a":{2**70}}}')]
)
def test_a_result_without_annotation_is_written_as_it_is(value: Any, text: str) -> None:
    assert Binder.of(unannotated).dump_result(value) == text


@pytest.mark.parametrize("value", [Page(title="t"), {1}, b"x", [math.nan]])
def test_a_result_without_annotation_has_to_be_json(value: Any) -> None:
    with pytest.raises(NotSerializable, match=r"^task 'unannotated': result"):
        Binder.of(unannotated).dump_result(value)


# --- None, and signatures ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("annotation", "passes"),
    [
        (None, True),
        (type(None), True),
        (int | None, False),
        (Any, False),
        (Awaitable[None], True),
        (Signature[Any] | None, False),
    ],
)
def test_only_a_step_annotated_none_passes_its_message_on(annotation: Any, *, passes: bool) -> None:
    assert returning(annotation).passes_message is passes


def test_a_step_without_annotation_gives_none_as_a_value() -> None:
    assert not Binder.of(unannotated).passes_message


@pytest.mark.parametrize(
    "annotation",
    [
        int | Signature[Any],
        int | TaskSignature[int] | ChainSignature[Any],
        Signature[Any] | int,
        int | SwarmSignature[Any] | None,
    ],
)
def test_signatures_in_a_return_annotation_leave_the_rest_to_be_validated(annotation: Any) -> None:
    assert dump(annotation, 5) == "5"
    with pytest.raises(InvalidResult):
        dump(annotation, "abc")


@pytest.mark.parametrize(
    "annotation",
    [Signature, Signature[int], ChainSignature[int], TaskSignature[Any] | SwarmSignature[Any]],
)
def test_where_only_signatures_are_left_there_is_no_validation(annotation: Any) -> None:
    assert dump(annotation, {"a": 1}) == '{"a":1}'


def test_a_named_type_is_read_as_what_it_names() -> None:
    from typing_extensions import TypeAliasType

    named = TypeAliasType("named", int | Signature[Any])

    assert dump(named, 5) == "5"
    with pytest.raises(InvalidResult):
        dump(named, "abc")


def test_an_async_function_is_annotated_with_its_result() -> None:
    async def fetch() -> Page: ...  # type: ignore[empty-body]

    fetched: Callable[[], Any] = fetch

    assert Binder.of(fetched).dump_result(Page(title="t")) == '{"title":"t","size":0}'
