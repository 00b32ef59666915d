"""How the input of a task is built: design, section 4, rule by rule."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, RootModel
from typing_extensions import TypedDict

from mageflow_core.errors import MissingArgument
from mageflow_core.serialization import Exactly, to_plain
from mageflow_core.signatures.binding import Binder, Source
from mageflow_core.signatures.inject import ReturnValue

T = TypeVar("T")


class Page(BaseModel):
    title: str
    size: int = 0


class Sealed(BaseModel):
    model_config = ConfigDict(extra="forbid")

    title: str


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    title: str


class Settings(BaseModel):
    lang: str = "en"
    depth: int = 1


class Aliased(BaseModel):
    order_id: str = Field(alias="orderId")
    owner: str = Field(validation_alias=AliasChoices("owner_name", "who"))
    city: str = Field("", validation_alias=AliasPath("address", "city"))


@dataclasses.dataclass
class Box:
    width: int
    height: int = 1


class Row(TypedDict):
    name: str


class Collecting(BaseModel):
    word: str
    mageflow_results: Any = None


class Pair(BaseModel, Generic[T]):
    left: T
    right: T


class Names(RootModel[list[str]]):
    """A model without fields of its own."""


def fetch(url: str, retries: int = 3) -> None: ...
def page_of(page: Page, word: str = "mage") -> None: ...
def boxed(box: Box) -> None: ...
def row_of(row: Row) -> None: ...
def sealed(page: Sealed) -> None: ...
def opened(page: Open) -> None: ...
def aliased(order: Aliased) -> None: ...
def configured(url: str, settings: Settings) -> None: ...
def any_of(value: Any) -> None: ...
def untyped(a, b=None) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def all_of(**everything: Any) -> None: ...
def nothing() -> None: ...
def counted(page: ReturnValue[Page], word: str) -> None: ...
def total(**counts: int) -> None: ...
def with_rest(page: Page, word: str = "mage", **rest: Any) -> None: ...
def with_slots(a: int = 1, b: int = 2) -> None: ...
def two_needed(a: int, b: int) -> None: ...
def collecting(step: Collecting) -> None: ...
def listed(names: Names) -> None: ...
def timed(when: datetime, tags: set[str], raw: bytes) -> None: ...


def kwargs(fn: Any, **source: Any) -> dict[str, Any]:
    """What `fn` is called with; arguments are bound as people bind them."""
    for name in ("args", "dependencies"):
        source.setdefault(name, {})
    source["args"] = {k: to_plain(v) for k, v in source["args"].items()}
    source["container_args"] = [
        {k: to_plain(v) for k, v in args.items()} for args in source.get("container_args", ())
    ]
    return Binder.of(fn).bind(Source(**source)).kwargs


# --- by name -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "message", "expected"),
    [
        (fetch, {"url": "x"}, {"url": "x"}),
        (fetch, {"url": "x", "retries": 5}, {"url": "x", "retries": 5}),
        (fetch, {"url": "x", "unknown": 1, "another": []}, {"url": "x"}),
        (untyped, {"a": [1, {"b": None}]}, {"a": [1, {"b": None}]}),
        (untyped, {"a": 2**70, "b": 1.5}, {"a": 2**70, "b": 1.5}),
        (configured, {"url": "x", "settings": {}}, {"url": "x", "settings": Settings()}),
        (nothing, {"url": "x"}, {}),
        (all_of, {"url": "x", "n": 1}, {"url": "x", "n": 1}),
        (all_of, {"everything": 1}, {"everything": 1}),
        (total, {"a": 1, "b": "2"}, {"a": 1, "b": 2}),
        (with_slots, {}, {}),
        (two_needed, {"a": 1, "b": 2}, {"a": 1, "b": 2}),
        (listed, {"names": ["a"]}, {"names": Names(["a"])}),
    ],
)
def test_parameters_are_taken_by_name_and_other_keys_are_dropped(
    fn: Any, message: Any, expected: Any
) -> None:
    assert kwargs(fn, message=message) == expected


def test_values_of_annotated_parameters_become_what_the_annotation_says() -> None:
    message = {"when": "2024-01-02T00:00:00Z", "tags": ["a", "b"], "raw": "text"}

    assert kwargs(timed, message=message) == {
        "when": datetime(2024, 1, 2, tzinfo=UTC),
        "tags": {"a", "b"},
        "raw": b"text",
    }


def test_strict_types_read_what_json_has_for_them() -> None:
    def strict(when: Annotated[datetime, Field(strict=True)]) -> None: ...

    assert kwargs(strict, message={"when": "2024-01-02T00:00:00Z"}) == {
        "when": datetime(2024, 1, 2, tzinfo=UTC)
    }


@given(st.dictionaries(st.text("ab", max_size=2), st.integers() | st.lists(st.integers())))
def test_a_task_that_takes_everything_gets_the_message_as_it_is(message: dict[str, Any]) -> None:
    assert kwargs(all_of, message=message) == message


def test_what_a_body_gets_is_not_shared_with_the_message() -> None:
    # Given a message that others get too
    message = {"value": {"rows": [1]}}

    # When one body changes its argument
    kwargs(any_of, message=message)["value"]["rows"].append(2)

    # Then the message is as it was
    assert message == {"value": {"rows": [1]}}


# --- a model -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "message", "expected"),
    [
        (page_of, {"title": "t"}, {"page": Page(title="t")}),
        (page_of, {"title": "t", "size": 2, "x": 1}, {"page": Page(title="t", size=2)}),
        (page_of, {"title": "t", "word": "w"}, {"page": Page(title="t"), "word": "w"}),
        (boxed, {"width": 2, "depth": 3}, {"box": Box(width=2)}),
        (row_of, {"name": "n", "other": 1}, {"row": {"name": "n"}}),
        (sealed, {"title": "t", "other": 1}, {"page": Sealed(title="t")}),
        (
            opened,
            {"title": "t", "other": 1},
            {"page": Open.model_validate({"title": "t", "other": 1})},
        ),
        (
            with_rest,
            {"title": "t", "word": "w", "x": 1},
            {"page": Page(title="t"), "word": "w", "x": 1},
        ),
    ],
)
def test_the_only_needed_parameter_takes_the_fields_of_the_message_if_it_is_a_model(
    fn: Any, message: Any, expected: Any
) -> None:
    assert kwargs(fn, message=message) == expected


def test_a_parameter_with_a_default_is_taken_by_name_before_a_field_of_that_name() -> None:
    class Sized(BaseModel):
        size: int = 0

    def sized(page: Sized, size: int = 5) -> None: ...

    assert kwargs(sized, message={"size": 7}) == {"page": Sized(size=0), "size": 7}


def test_a_model_beside_another_needed_parameter_is_taken_by_name() -> None:
    with pytest.raises(MissingArgument, match=r"parameter 'settings' \(Settings\) needs a value"):
        kwargs(configured, message={"url": "x", "lang": "de"})


def test_a_model_with_a_default_is_taken_by_name() -> None:
    def optional(settings: Settings = Settings()) -> None: ...  # noqa: B008

    assert kwargs(optional, message={"lang": "de"}) == {}
    assert kwargs(optional, message={"settings": {"lang": "de"}}) == {
        "settings": Settings(lang="de")
    }


def test_a_generic_or_noted_model_is_a_model() -> None:
    def paired(pair: Annotated[Pair[int], "a note"]) -> None: ...

    assert kwargs(paired, message={"left": "1", "right": 2}) == {"pair": Pair[int](left=1, right=2)}


@pytest.mark.parametrize(
    "message",
    [
        {"orderId": "1", "owner_name": "o", "address": {"city": "c"}},
        {"orderId": "1", "who": "o", "address": {"city": "c"}},
        {"order_id": "1", "owner": "o", "city": "c"},
    ],
)
def test_fields_are_taken_by_their_aliases_and_their_names(message: Any) -> None:
    order = kwargs(aliased, message=message)["order"]

    assert (order.order_id, order.owner, order.city) == ("1", "o", "c")


def test_an_argument_bound_by_name_replaces_what_the_message_has_by_alias() -> None:
    message = {"orderId": "1", "who": "o"}

    order = kwargs(aliased, message=message, args={"order_id": "2"})["order"]

    assert order.order_id == "2"


# --- the order -----------------------------------------------------------------------------------


def test_later_sources_win_over_earlier_ones() -> None:
    # Given a value from each source, each later one with a value less
    names = ["a", "b", "c", "d", "e"]
    sources = [dict.fromkeys(names[: 5 - depth], depth) for depth in range(5)]

    # When they are bound
    bound = kwargs(
        all_of,
        message=sources[0],
        dependencies=sources[1],
        container_args=[sources[2], sources[3]],
        args=sources[4],
    )

    # Then each name has the value of the last source that says something
    assert bound == {"a": 4, "b": 3, "c": 2, "d": 1, "e": 0}


@pytest.mark.parametrize(
    ("message", "args", "expected"),
    [
        (
            {"value": {"a": 1, "b": {"x": 1}}},
            {"value": {"b": {"y": 2}}},
            {"a": 1, "b": {"x": 1, "y": 2}},
        ),
        ({"value": {"a": 1}}, {"value": Exactly({"b": 2})}, {"b": 2}),
        ({"value": {"a": 1}}, {"value": [1]}, [1]),
        ({"value": [1, 2]}, {"value": [3]}, [3]),
        ({"value": {"b": {"x": 1}}}, {"value": {"b": Exactly({})}}, {"b": {}}),
        ({"value": {"a": 1}}, {"value": None}, None),
        ({"value": {"a": 1}}, {"value": {"$exactly": 2}}, {"$exactly": 2}),
        ({"value": {"$exactly": 1}}, {"value": {"b": 2}}, {"$exactly": 1, "b": 2}),
        ({"value": {"$exactly": 1}}, {}, {"$exactly": 1}),
        (
            {"value": {"a": {"$exactly": {"x": 1}}}},
            {"value": {"a": {"y": 2}}},
            {"a": {"$exactly": {"x": 1}, "y": 2}},
        ),
    ],
)
def test_mappings_are_merged_and_what_is_exact_replaces(
    message: Any, args: Any, expected: Any
) -> None:
    assert kwargs(any_of, message=message, args=args) == {"value": expected}


def test_a_bound_model_replaces_what_the_message_has() -> None:
    message = {"url": "x", "settings": {"lang": "de", "depth": 9}}

    bound = kwargs(configured, message=message, args={"settings": Settings(lang="fr")})

    assert bound["settings"] == Settings(lang="fr", depth=1)


def test_a_bound_mapping_is_merged_into_what_the_message_has() -> None:
    message = {"url": "x", "settings": {"lang": "de", "depth": 9}}

    bound = kwargs(configured, message=message, args={"settings": {"lang": "fr"}})

    assert bound["settings"] == Settings(lang="fr", depth=9)


def test_fields_of_the_message_model_can_be_bound_by_their_names() -> None:
    assert kwargs(page_of, message={"title": "t", "size": 1}, args={"size": 2}) == {
        "page": Page(title="t", size=2)
    }


def test_the_message_model_can_be_bound_as_a_whole() -> None:
    assert kwargs(page_of, message={"title": "t", "size": 1}, args={"page": Page(title="b")}) == {
        "page": Page(title="b", size=0)
    }


def test_a_mapping_for_the_whole_message_model_is_merged_into_the_message() -> None:
    assert kwargs(page_of, message={"title": "t", "size": 1}, args={"page": {"title": "b"}}) == {
        "page": Page(title="b", size=1)
    }


@pytest.mark.parametrize("whole", [{"title": "b"}, Page(title="b")])
def test_a_field_that_is_bound_beside_the_whole_model_wins(whole: Any) -> None:
    bound = kwargs(page_of, message={}, args={"page": whole, "size": 7})

    assert bound == {"page": Page(title="b", size=7)}


def test_a_field_named_as_the_models_parameter_is_meant_before_the_model() -> None:
    class Nested(BaseModel):
        page: str

    def nested(page: Nested) -> None: ...

    assert kwargs(nested, message={"page": "m"}) == {"page": Nested(page="m")}
    assert kwargs(nested, message={"page": "m"}, args={"page": "a"}) == {"page": Nested(page="a")}


# --- containers and dependencies -----------------------------------------------------------------


def test_a_task_takes_of_what_is_bound_on_containers_only_what_it_knows() -> None:
    assert kwargs(fetch, container_args=[{"url": "x", "word": "for another"}]) == {"url": "x"}


def test_what_is_bound_on_an_inner_container_wins_over_an_outer_one() -> None:
    outer, inner = {"url": "outer", "retries": 1}, {"url": "inner"}

    assert kwargs(fetch, container_args=[outer, inner]) == {"url": "inner", "retries": 1}


def test_results_of_dependencies_come_under_their_names_where_they_are_taken() -> None:
    assert kwargs(two_needed, dependencies={"a": 1, "b": 2, "c": 3}) == {"a": 1, "b": 2}


def test_results_of_dependencies_win_over_the_message_and_are_merged_into_it() -> None:
    bound = kwargs(
        any_of, message={"value": {"m": 1, "x": 0}}, dependencies={"value": {"d": 2, "x": 3}}
    )

    assert bound == {"value": {"m": 1, "d": 2, "x": 3}}


def test_results_of_dependencies_are_never_looked_through_for_marks() -> None:
    assert kwargs(any_of, dependencies={"value": {"$exactly": 1}}) == {"value": {"$exactly": 1}}


def test_a_dependency_named_as_the_models_parameter_is_the_model() -> None:
    assert kwargs(page_of, dependencies={"page": {"title": "d"}}) == {"page": Page(title="d")}
