"""What is checked when a signature is built."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PlainSerializer,
    model_validator,
)

from mageflow_core.errors import InvalidInput, NotSerializable, UnknownArgument
from mageflow_core.plain import EXACTLY
from mageflow_core.serialization import Exactly, dumps, loads
from mageflow_core.signatures.binding import Binder, Source
from mageflow_core.signatures.inject import ReturnValue


class Page(BaseModel):
    title: str
    size: int = 0


class Span(BaseModel):
    first: int
    last: int

    @model_validator(mode="after")
    def in_order(self) -> Span:
        if self.first > self.last:
            raise ValueError("first is after last")
        return self


class Guarded(BaseModel):
    a: int

    @model_validator(mode="before")
    @classmethod
    def needs_a(cls, data: Any) -> Any:
        if isinstance(data, dict) and "a" not in data:
            raise ValueError("there is no a")
        return data


class Aliased(BaseModel):
    order_id: int = Field(alias="orderId")


class Shade(Enum):
    DARK = "dark"


class Money:
    """Of no type that pydantic knows by itself."""

    def __init__(self, cents: int) -> None:
        self.cents = cents


Cash = Annotated[
    Any,
    PlainSerializer(lambda money: {"cents": money.cents}),
    BeforeValidator(lambda data: data if isinstance(data, Money) else Money(data["cents"])),
]


def fetch(url: str, retries: int = 3) -> None: ...
def page_of(page: Page, word: str = "") -> None: ...
def aliased(order: Aliased, word: str = "") -> None: ...
def spanned(span: Span, other: int) -> None: ...
def span_of(span: Span) -> None: ...
def guarded(guarded: Guarded, other: int) -> None: ...
def either(value: Page | Span, other: int) -> None: ...
def untyped(value, other=None) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def typed_any(value: Any, other: object = None) -> None: ...
def when(at: datetime, shade: Shade = Shade.DARK) -> None: ...
def paid(price: Cash, rate: Cash = None) -> None: ...
def counted(page: ReturnValue[Page], word: str) -> None: ...
def total(**counts: int) -> None: ...
def anything(**values: Any) -> None: ...
def pages(items: list[Page]) -> None: ...
def nothing() -> None: ...


# --- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "name", "message"),
    [
        (
            fetch,
            "uri",
            ("task 'fetch' has no argument 'uri': it takes retries, url; did you mean 'url'?"),
        ),
        (fetch, "zzz", "task 'fetch' has no argument 'zzz': it takes retries, url"),
        (
            page_of,
            "titel",
            (
                "task 'page_of' has no argument 'titel': it takes page, size, title, "
                "word; did you mean 'title'?"
            ),
        ),
        (
            counted,
            "pages",
            ("task 'counted' has no argument 'pages': it takes page, word; did you mean 'page'?"),
        ),
        (nothing, "x", "task 'nothing' has no argument 'x': it takes none"),
        (anything, EXACTLY, "task 'anything' has no argument '$exactly': it takes **values"),
    ],
)
def test_an_argument_that_a_task_does_not_take_is_named_with_those_it_takes(
    fn: Any, name: str, message: str
) -> None:
    for check in (Binder.of(fn).check_bound, Binder.of(fn).plain_args):
        with pytest.raises(UnknownArgument) as caught:
            check({name: 1})

        assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fn", "name", "takes"),
    [
        (fetch, "url", True),
        (fetch, "title", False),
        (page_of, "title", True),
        (page_of, "page", True),
        (page_of, "word", True),
        (aliased, "orderId", True),
        (aliased, "order_id", True),
        (spanned, "first", False),
        (counted, "page", True),
        (anything, "whatever", True),
        (nothing, "x", False),
    ],
)
def test_a_binder_says_what_can_be_bound(fn: Any, name: str, *, takes: bool) -> None:
    assert Binder.of(fn).takes(name) is takes


def test_the_name_in_messages_is_the_tasks() -> None:
    with pytest.raises(UnknownArgument, match=r"^task 'load-page' has no argument 'uri'"):
        Binder.of(fetch, name="load-page").check_bound({"uri": 1})


# --- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "args"),
    [
        (fetch, {}),
        (fetch, {"url": "x"}),
        (fetch, {"retries": 5}),
        (fetch, {"retries": "5"}),
        (page_of, {"size": 1}),
        (page_of, {"page": {"size": 1}}),
        (page_of, {"page": {EXACTLY: {"title": "t"}}}),
        (aliased, {"orderId": 1}),
        (aliased, {"order_id": 1}),
        (spanned, {"span": {"first": 3}}),
        (spanned, {"span": {"last": -1}}),
        (span_of, {"first": 3}),
        (guarded, {"guarded": {}}),
        (guarded, {"guarded": {"b": 1}}),
        (either, {"value": {"first": 1}}),
        (either, {"value": {"title": "t", "size": "no"}}),
        (untyped, {"value": {"a": [1]}}),
        (total, {"a": 1}),
        (anything, {"a": [1]}),
        (counted, {"page": {"title": "t"}}),
        (counted, {"page": {}}),
        (pages, {"items": [{"title": "t"}]}),
        (when, {"at": "2024-01-02T00:00:00Z"}),
    ],
)
def test_a_value_that_may_become_right_with_the_message_is_taken(fn: Any, args: Any) -> None:
    Binder.of(fn).check_bound(args)


@pytest.mark.parametrize(
    ("fn", "args", "message"),
    [
        (
            fetch,
            {"retries": "many"},
            (
                "task 'fetch': parameter 'retries' (int) does not take str "
                "'many': Input should be a valid integer, unable to parse string as an integer"
            ),
        ),
        (
            fetch,
            {"url": None},
            (
                "task 'fetch': parameter 'url' (str) does not take None: Input "
                "should be a valid string"
            ),
        ),
        (
            page_of,
            {"size": "big"},
            (
                "task 'page_of': parameter 'page' (Page), at size does not take "
                "str 'big': Input should be a valid integer, unable to parse string as an integer"
            ),
        ),
        (
            page_of,
            {"page": 5},
            (
                "task 'page_of': parameter 'page' (Page) does not take int 5: Input "
                "should be an object"
            ),
        ),
        (
            page_of,
            {"page": {"size": "big", "title": "t"}},
            (
                "task 'page_of': parameter 'page' "
                "(Page), at size does not take str 'big': Input should be a valid integer, "
                "unable to "
                "parse string as an integer"
            ),
        ),
        (
            page_of,
            {"page": {EXACTLY: {"size": 1}}},
            ("task 'page_of': field title of parameter 'page' (Page) needs a value"),
        ),
        (
            aliased,
            {"orderId": "x"},
            (
                "task 'aliased': parameter 'order' (Aliased), at order_id does "
                "not take str 'x': Input should be a valid integer, unable to parse string "
                "as an integer"
            ),
        ),
        (
            spanned,
            {"span": {EXACTLY: {"first": 2, "last": 1}}},
            (
                "task 'spanned': parameter 'span' "
                "(Span) does not take dict of 2: Value error, first is after last"
            ),
        ),
        (
            total,
            {"a": "x"},
            (
                "task 'total': argument 'a' of **counts (dict[str, int]) does not take "
                "str 'x': Input should be a valid integer, unable to parse string as an integer"
            ),
        ),
        (
            pages,
            {"items": [{"size": 1}]},
            ("task 'pages': field [0].title of parameter 'items' (list[Page]) needs a value"),
        ),
        (
            counted,
            {"page": "t"},
            (
                "task 'counted': parameter 'page' (Page) does not take str 't': "
                "Input should be an object"
            ),
        ),
    ],
)
def test_a_value_that_no_message_can_make_right_is_refused(
    fn: Any, args: Any, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        Binder.of(fn).check_bound(args)

    assert str(caught.value) == message


def test_a_field_that_will_be_injected_may_be_missing_in_a_bound_model() -> None:
    class Step(BaseModel):
        page: ReturnValue[Page]
        word: str

    def step_of(step: Step) -> None: ...

    Binder.of(step_of).check_bound({"step": {EXACTLY: {"word": "w"}}})


# --- Python values -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "args", "plain"),
    [
        (fetch, {"url": "x", "retries": 1}, {"url": "x", "retries": 1}),
        (page_of, {"page": Page(title="t")}, {"page": {EXACTLY: {"title": "t", "size": 0}}}),
        (page_of, {"page": {"title": "t"}}, {"page": {"title": "t"}}),
        (page_of, {"page": Exactly({"title": "t"})}, {"page": {EXACTLY: {"title": "t"}}}),
        (when, {"at": datetime(2024, 1, 2, tzinfo=UTC)}, {"at": "2024-01-02T00:00:00Z"}),
        (when, {"shade": Shade.DARK}, {"shade": "dark"}),
        (pages, {"items": (Page(title="t"),)}, {"items": [{"title": "t", "size": 0}]}),
        (untyped, {"value": (1, 2)}, {"value": [1, 2]}),
        (untyped, {"value": Exactly({"a": 1})}, {"value": {EXACTLY: {"a": 1}}}),
        (anything, {"a": {"b": None}}, {"a": {"b": None}}),
        (paid, {"price": Money(5)}, {"price": {EXACTLY: {"cents": 5}}}),
    ],
)
def test_python_values_become_bound_arguments(fn: Any, args: Any, plain: Any) -> None:
    assert Binder.of(fn).plain_args(args) == plain


def test_what_only_the_annotation_can_write_is_read_back_by_it() -> None:
    # Given a type that pydantic knows by the parameter's annotation alone
    binder = Binder.of(paid)

    # When a value of it is bound, and comes back from the store
    args = loads(dumps(binder.plain_args({"price": Money(5)})))

    # Then the body gets such a value
    assert binder.bind(Source(args=args)).kwargs["price"].cents == 5


@pytest.mark.parametrize("fn", [untyped, typed_any])
@pytest.mark.parametrize(
    "value", [datetime(2024, 1, 2, tzinfo=UTC), Page(title="t"), {1}, b"x", Exactly({1})]
)
def test_without_an_annotation_a_bound_value_has_to_be_json(fn: Any, value: Any) -> None:
    name = fn.__name__
    with pytest.raises(NotSerializable, match=rf"^task '{name}': value: .* is not JSON; annotate"):
        Binder.of(fn).plain_args({"value": value})


def test_a_value_that_does_not_fit_its_parameter_is_refused_when_the_signature_is_built() -> None:
    with pytest.raises(InvalidInput, match=r"parameter 'retries' .* does not take dict"):
        Binder.of(fetch).plain_args({"retries": Page(title="t")})


def test_a_value_that_cannot_become_json_is_refused_with_the_task_and_its_path() -> None:
    with pytest.raises(NotSerializable, match=r"^task 'pages': items\[1\]\.price: Money "):
        Binder.of(pages).plain_args({"items": [{"title": "t"}, {"price": Money(1)}]})


@dataclasses.dataclass
class Everything:
    number: int
    ratio: float
    text: str
    when: datetime
    shades: set[Shade]
    by_number: dict[int, tuple[int, ...]]
    page: Page | None


def everything(value: Everything, other: int) -> None: ...


everythings = st.builds(
    Everything,
    number=st.integers(),
    ratio=st.floats(allow_nan=False, allow_infinity=False),
    text=st.text(st.characters(exclude_categories=["Cs"])),
    when=st.datetimes(timezones=st.just(UTC)),
    shades=st.sets(st.sampled_from(Shade)),
    by_number=st.dictionaries(st.integers(), st.lists(st.integers()).map(tuple)),
    page=st.none() | st.builds(Page, title=st.just("t"), size=st.integers()),
)


@given(everythings)
def test_bound_values_come_back_as_they_were_through_their_types(value: Everything) -> None:
    binder = Binder.of(everything)

    args = loads(dumps(binder.plain_args({"value": value, "other": 1})))

    assert binder.bind(Source(args=args)).kwargs == {"value": value, "other": 1}
