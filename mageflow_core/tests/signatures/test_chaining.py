"""What a task gets in a chain, and of a message that is no mapping: design, section 4."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from mageflow_core.errors import InvalidInput, MissingArgument
from mageflow_core.serialization import to_plain
from mageflow_core.signatures.binding import MISSING, Binder, Source
from mageflow_core.signatures.inject import ReturnValue


class Page(BaseModel):
    title: str
    size: int = 0


class Collecting(BaseModel):
    word: str
    mageflow_results: Any = None


class Names(RootModel[list[str]]):
    """A model without fields of its own."""


def fetch(url: str, retries: int = 3) -> None: ...
def page_of(page: Page, word: str = "mage") -> None: ...
def any_of(value: Any) -> None: ...
def untyped(a, b=None) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def nothing() -> None: ...
def counted(page: ReturnValue[Page], word: str) -> None: ...
def with_slots(a: int = 1, b: int = 2) -> None: ...
def two_needed(a: int, b: int) -> None: ...
def collecting(step: Collecting) -> None: ...
def listed(names: Names) -> None: ...


def kwargs(fn: Any, **source: Any) -> dict[str, Any]:
    """What `fn` is called with; arguments are bound as people bind them."""
    source["args"] = {k: to_plain(v) for k, v in source.get("args", {}).items()}
    return Binder.of(fn).bind(Source(**source)).kwargs


# --- in a chain ----------------------------------------------------------------------------------


def test_a_result_that_is_a_mapping_is_the_next_message() -> None:
    # Given a step without a ReturnValue target
    binder = Binder.of(fetch)

    # When the previous step gave a mapping
    bound = binder.bind(Source(message={"url": "chain", "retries": 9}, previous={"url": "result"}))

    # Then that is its message, and the chain's is not
    assert bound.kwargs == {"url": "result"}
    assert bound.used_previous


def test_without_a_previous_result_the_message_is_the_chains() -> None:
    bound = Binder.of(fetch).bind(Source(message={"url": "chain"}, previous=MISSING))

    assert bound.kwargs == {"url": "chain"}
    assert not bound.used_previous


def test_a_step_with_a_return_value_target_gets_the_result_there_and_the_chains_message() -> None:
    bound = Binder.of(counted).bind(
        Source(message={"word": "mage", "title": "other"}, previous={"title": "t"})
    )

    assert bound.kwargs == {"page": Page(title="t"), "word": "mage"}
    assert not bound.used_previous


def test_a_model_with_a_field_mageflow_results_gets_the_result_there() -> None:
    bound = Binder.of(collecting).bind(Source(message={"word": "w"}, previous={"word": "other"}))

    assert bound.kwargs == {"step": Collecting(word="w", mageflow_results={"word": "other"})}
    assert not bound.used_previous


@pytest.mark.parametrize(
    ("fn", "previous", "args", "expected"),
    [
        (fetch, "x", {}, {"url": "x"}),
        (fetch, 7, {"url": "x"}, {"url": "x", "retries": 7}),
        (any_of, 1.5, {}, {"value": 1.5}),
        (any_of, [1, 2], {}, {"value": [1, 2]}),
        (any_of, None, {}, {"value": None}),
        (any_of, True, {}, {"value": True}),
        (two_needed, 1, {"b": 2}, {"a": 1, "b": 2}),
        (two_needed, 1, {"a": 2}, {"a": 2, "b": 1}),
        (with_slots, 5, {"a": 3}, {"a": 3, "b": 5}),
        (listed, ["a", "b"], {}, {"names": Names(["a", "b"])}),
        (untyped, 3, {}, {"a": 3}),
        (untyped, 3, {"a": 1}, {"a": 1, "b": 3}),
    ],
)
def test_any_other_result_goes_to_the_one_parameter_that_waits_for_it(
    fn: Any, previous: Any, args: Any, expected: Any
) -> None:
    assert kwargs(fn, message={"ignored": 1}, previous=previous, args=args) == expected


def test_what_is_bound_on_containers_and_dependencies_is_bound_for_this_rule_too() -> None:
    assert kwargs(two_needed, previous=1, container_args=[{"a": 2}]) == {"a": 2, "b": 1}
    assert kwargs(two_needed, previous=1, dependencies={"a": 2}) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("fn", "previous", "args", "message"),
    [
        (
            two_needed,
            5,
            {},
            (
                "task 'two_needed': the previous result is int 5, which could go to a, b; bind all "
                "parameters but one, annotate one with ReturnValue[…], or send a mapping"
            ),
        ),
        (
            with_slots,
            "text",
            {},
            (
                "task 'with_slots': the previous result is str 'text', which could go to "
                "a, b; bind "
                "all parameters but one, annotate one with ReturnValue[…], or send a mapping"
            ),
        ),
        (
            fetch,
            5,
            {},
            (
                "task 'fetch': parameter 'url' (str) does not take int 5: Input should be a valid "
                "string"
            ),
        ),
        (
            page_of,
            [],
            {},
            (
                "task 'page_of': parameter 'page' (Page) does not take list of 0: Input "
                "should be an "
                "object"
            ),
        ),
        (
            page_of,
            5,
            {"title": "t"},
            (
                "task 'page_of': parameter 'page' would be int 5, which cannot take the "
                "bound title; "
                "send a mapping"
            ),
        ),
    ],
)
def test_a_result_that_does_not_fit_is_a_clear_error(
    fn: Any, previous: Any, args: Any, message: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        kwargs(fn, previous=previous, args=args)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("fn", "args"), [(nothing, {}), (with_slots, {}), (fetch, {"url": "x", "retries": 1})]
)
def test_none_without_a_place_is_what_a_function_gives_that_has_nothing_to_say(
    fn: Any, args: Any
) -> None:
    assert kwargs(fn, previous=None, args=args) == args


@pytest.mark.parametrize("previous", [5, "text", [1], True])
@pytest.mark.parametrize(("fn", "args"), [(nothing, {}), (fetch, {"url": "x", "retries": 1})])
def test_a_task_that_asks_for_nothing_more_can_follow_any_result(
    fn: Any, args: Any, previous: Any
) -> None:
    assert kwargs(fn, previous=previous, args=args) == args


def test_none_does_not_stand_in_for_parameters_that_need_a_value() -> None:
    with pytest.raises(MissingArgument, match=r"'a' .* needs a value; parameter 'b'"):
        kwargs(two_needed, previous=None)


# --- a message that is no mapping ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("fn", "message", "args", "expected"),
    [
        (fetch, "x", {}, {"url": "x"}),
        (any_of, [1], {}, {"value": [1]}),
        (any_of, None, {}, {"value": None}),
        (two_needed, 1, {"a": 0}, {"a": 0, "b": 1}),
        (fetch, "x", {"url": "y", "retries": 1}, {"url": "y", "retries": 1}),
        (nothing, "x", {}, {}),
    ],
)
def test_a_message_that_is_no_mapping_follows_the_same_rule_and_is_dropped_without_a_place(
    fn: Any, message: Any, args: Any, expected: Any
) -> None:
    assert kwargs(fn, message=message, args=args) == expected


def test_a_message_that_could_go_to_several_parameters_is_a_clear_error() -> None:
    with pytest.raises(InvalidInput, match="the message is int 5, which could go to a, b; bind"):
        kwargs(two_needed, message=5)


def test_beside_a_return_value_the_chains_message_goes_where_it_has_a_place() -> None:
    assert kwargs(counted, message="mage", previous={"title": "t"}) == {
        "page": Page(title="t"),
        "word": "mage",
    }


def test_beside_a_return_value_a_message_without_a_place_is_dropped() -> None:
    bound = kwargs(counted, message="x", previous={"title": "t"}, args={"word": "mage"})

    assert bound == {"page": Page(title="t"), "word": "mage"}
