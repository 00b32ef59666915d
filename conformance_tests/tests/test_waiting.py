"""Waiting for what nobody tells of."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from mageflow_conformance.waiting import eventually, eventually_sync, scaled


async def test_what_is_true_already_is_not_waited_for() -> None:
    async with asyncio.timeout(0.5):
        assert await eventually(lambda: "found", within=60.0) == "found"
    assert eventually_sync(lambda: 7, within=60.0) == 7


async def test_a_predicate_may_be_awaited_and_is_asked_until_it_is_true() -> None:
    # Given
    asked = []

    async def third() -> bool:
        asked.append(1)
        return len(asked) == 3

    # When
    found = await eventually(third)
    # Then
    assert found is True
    assert len(asked) == 3


async def test_other_tasks_go_on_meanwhile() -> None:
    # Given
    event = asyncio.Event()
    asyncio.get_running_loop().call_later(0.01, event.set)
    # Then
    assert await eventually(event.is_set)


@pytest.mark.parametrize("sync", [False, True])
async def test_what_does_not_become_true_is_told_with_what_was_seen_last(sync: bool) -> None:
    # Given
    async def wait() -> None:
        if sync:
            eventually_sync(list, within=0.02, about="two items")
        else:
            await eventually(list, within=0.02, about="two items")

    # Then
    with pytest.raises(AssertionError, match=r"two items: not within 0.02 s; seen last: \[\]"):
        await wait()


@pytest.mark.parametrize("sync", [False, True])
async def test_it_is_looked_at_twice_however_little_time_there_is(sync: bool) -> None:
    # Given
    answers = iter([False, True])
    # Then
    found = eventually_sync(lambda: next(answers), within=-1.0) if sync else None
    if not sync:
        found = await eventually(lambda: next(answers), within=0.0)
    assert found is True


def test_a_slow_machine_is_given_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scaled(2.0) == 2.0
    monkeypatch.setenv("MAGEFLOW_TEST_PATIENCE", "3")
    assert scaled(2.0) == 6.0


async def test_a_predicate_that_raises_ends_the_wait() -> None:
    # Given
    async def breaks() -> bool:
        raise ZeroDivisionError

    call: Awaitable[bool] = eventually(breaks)
    # Then
    with pytest.raises(ZeroDivisionError):
        await call
