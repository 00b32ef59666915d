"""What an input that does not fit says: task, place, what was expected, what came."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, RootModel

from mageflow_core.errors import InvalidInput, MissingArgument, UnknownArgument
from mageflow_core.serialization import to_plain
from mageflow_core.signatures.binding import Binder, Source


class Page(BaseModel):
    title: str
    size: int = 0


class Names(RootModel[list[str]]):
    """A model without fields of its own."""


def fetch(url: str, retries: int = 3) -> None: ...
def page_of(page: Page, word: str = "mage") -> None: ...
def untyped(a, b=None) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001
def total(**counts: int) -> None: ...
def listed(names: Names) -> None: ...


def kwargs(fn: Any, **source: Any) -> dict[str, Any]:
    source["args"] = {k: to_plain(v) for k, v in source.get("args", {}).items()}
    return Binder.of(fn).bind(Source(**source)).kwargs


@pytest.mark.parametrize(
    ("fn", "message", "error"),
    [
        (
            fetch,
            {},
            (
                "task 'fetch': parameter 'url' (str) needs a value; bind it, give it a "
                "default, or send it in the message (which is empty)"
            ),
        ),
        (
            fetch,
            {"uri": 1, "b": 2},
            (
                "task 'fetch': parameter 'url' (str) needs a value; bind it, "
                "give it a default, or send it in the message (which has uri, b)"
            ),
        ),
        (
            page_of,
            {"word": "w"},
            (
                "task 'page_of': field title of parameter 'page' (Page) needs a "
                "value; bind it, give it a default, or send it in the message (which has word)"
            ),
        ),
        (
            untyped,
            {},
            (
                "task 'untyped': parameter 'a' needs a value; bind it, give it a default, "
                "or send it in the message (which is empty)"
            ),
        ),
    ],
)
def test_a_missing_argument_names_task_parameter_type_and_what_came(
    fn: Any, message: Any, error: str
) -> None:
    with pytest.raises(MissingArgument) as caught:
        kwargs(fn, message=message)

    assert str(caught.value) == error


@pytest.mark.parametrize(
    ("fn", "message", "error"),
    [
        (
            fetch,
            {"url": "x", "retries": "many"},
            (
                "task 'fetch': parameter 'retries' (int) does not "
                "take str 'many': Input should be a valid integer, unable to parse string "
                "as an integer"
            ),
        ),
        (
            page_of,
            {"title": ["t"]},
            (
                "task 'page_of': parameter 'page' (Page), at title does not "
                "take list of 1: Input should be a valid string"
            ),
        ),
        (
            total,
            {"a": "x"},
            (
                "task 'total': argument 'a' of **counts (dict[str, int]) does not "
                "take str 'x': Input should be a valid integer, unable to parse string as "
                "an integer"
            ),
        ),
        (
            listed,
            {"names": ["a", 1]},
            (
                "task 'listed': parameter 'names' (Names), at [1] does not "
                "take int 1: Input should be a valid string"
            ),
        ),
    ],
)
def test_an_invalid_value_is_named_with_its_place_and_what_was_expected(
    fn: Any, message: Any, error: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        kwargs(fn, message=message)

    assert str(caught.value) == error
    assert not isinstance(caught.value, MissingArgument)


def test_of_many_errors_the_first_three_are_named() -> None:
    def many(a: int, b: int, c: int, d: int, e: int) -> None: ...

    with pytest.raises(InvalidInput) as caught:
        kwargs(many, message=dict.fromkeys("abcde", "x"))

    assert str(caught.value).count("does not take") == 3
    assert str(caught.value).endswith("; and 2 more")


def test_of_a_message_with_many_keys_the_error_names_some() -> None:
    with pytest.raises(MissingArgument, match=r"which has k0, k1, .*, k7, …\)$"):
        kwargs(fetch, message={f"k{i}": i for i in range(50)})


def test_an_unknown_argument_on_the_signature_is_an_error_before_the_body_runs() -> None:
    with pytest.raises(UnknownArgument) as caught:
        kwargs(fetch, message={"url": "x"}, args={"retry": 1})

    assert str(caught.value) == (
        "task 'fetch' has no argument 'retry': it takes retries, url; did you mean 'retries'?"
    )


def test_a_large_value_is_not_written_into_the_error() -> None:
    with pytest.raises(InvalidInput) as caught:
        kwargs(fetch, message={"url": "x", "retries": "y" * 10_000})

    assert len(str(caught.value)) < 300
