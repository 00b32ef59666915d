"""A parameter that takes the message as it is, whatever it is."""

from collections.abc import Callable
from typing import Any

import pytest

from mageflow_core.errors import InvalidInput
from mageflow_core.signatures.binding import MISSING, Binder, Source
from mageflow_core.signatures.inject import INJECTS, Injection


def whole(fn: Callable[..., Any]) -> Binder:
    """The binder of a function whose parameter `message` gets the message."""
    vars(fn)[INJECTS] = {"message": Injection.MESSAGE}
    return Binder.of(fn)


def echo(message: Any) -> None: ...
def counted(message: list[int], times: int = 1) -> None: ...
def gathers(message: Any, **rest: Any) -> None: ...


@pytest.mark.parametrize("message", [{}, {"message": 1}, [], 3, "x", None, False])
def test_the_message_is_not_taken_apart(message: Any) -> None:
    assert whole(echo).bind(Source(message=message)).kwargs == {"message": message}


def test_the_previous_result_is_the_message_of_a_step() -> None:
    bound = whole(echo).bind(Source(message={"a": 1}, previous=7))
    assert bound.kwargs == {"message": 7}
    assert bound.used_previous


def test_other_parameters_take_nothing_from_the_message() -> None:
    binder = whole(lambda message, times=1: None)
    bound = binder.bind(Source(message={"times": 5}))
    assert bound.kwargs == {"message": {"times": 5}}
    assert binder.bind(Source(args={"times": 5})).kwargs == {"message": {}, "times": 5}


def test_what_else_is_bound_is_laid_into_a_mapping() -> None:
    source = Source(message={"a": 1}, container_args=[{"b": 2}], args={"c": 3})
    assert whole(echo).bind(source).kwargs == {"message": {"a": 1, "b": 2, "c": 3}}


def test_what_a_container_has_bound_is_left_out_where_nothing_can_be_laid_in() -> None:
    source = Source(message=[1], container_args=[{"b": 2}], args={"times": 3})
    assert whole(counted).bind(source).kwargs == {"message": [1], "times": 3}


def test_what_a_signature_has_bound_is_never_lost() -> None:
    with pytest.raises(InvalidInput, match="is list of 1, which cannot take the bound b"):
        whole(echo).bind(Source(message=[1], args={"b": 2}))


def test_a_bound_message_replaces_one_that_is_no_mapping() -> None:
    assert whole(echo).bind(Source(message=[1], args={"message": 2})).kwargs == {"message": 2}


def test_keyword_parameters_come_before_the_message() -> None:
    bound = whole(gathers).bind(Source(message={"a": 1}, args={"b": 2}))
    assert bound.kwargs == {"message": {"a": 1}, "b": 2}


def test_the_message_is_validated_by_its_annotation() -> None:
    binder = whole(counted)
    assert binder.bind(Source(message=["1"])).kwargs == {"message": [1]}
    with pytest.raises(InvalidInput, match="parameter 'message'"):
        binder.bind(Source(message={"a": 1}))


def test_it_takes_arguments_of_any_name_and_no_previous_result() -> None:
    binder = whole(echo)
    assert binder.takes("anything")
    assert binder.plain_args({"anything": 1}) == {"anything": 1}
    assert not binder.takes_previous
    assert binder.bind(Source(previous=MISSING)).kwargs == {"message": {}}
