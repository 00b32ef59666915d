"""Names and specs of what an engine's client has natively."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mageflow_core.backends import NativeSpecs, TaskSpec


def specs() -> NativeSpecs[Callable[[], None]]:
    def make(name: str, task: Callable[[], None]) -> TaskSpec:
        return TaskSpec(name=name, fn=task, is_async=False)

    return NativeSpecs(make, engine="Fake", argument="name=")


def pay() -> None: ...


def test_a_task_has_one_spec_until_it_is_another_one() -> None:
    found = specs()
    first = found.spec("shop:pay", pay)
    assert first is not None
    assert first.name == "shop.pay"
    assert found.spec("shop:pay", pay) is first
    again = found.spec("shop:pay", lambda: None)
    assert again is not None
    assert again is not first


def test_of_two_tasks_with_one_portable_name_the_first_is_meant(
    caplog: pytest.LogCaptureFixture,
) -> None:
    found = specs()
    assert found.spec("shop:pay", pay)
    assert [found.spec("shop.Pay", pay) for _ in range(2)] == [None, None]
    (told,) = caplog.messages
    assert told == (
        "Fake's task 'shop.Pay' cannot be signed: 'shop:pay' has its name, shop.pay; give it "
        "another with name="
    )
    # Also where a native name looks like a portable one
    assert found.spec("shop.pay", pay) is None


def test_a_task_of_whose_name_nothing_is_left_has_none() -> None:
    assert specs().spec("___", pay) is None
