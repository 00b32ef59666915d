"""A requirement that no broken store fails would show nothing."""

from __future__ import annotations

import pytest
from broken import BROKEN, BrokenHarness

from mageflow_conformance.stores import requirement_of, requirements, run_all
from mageflow_core.stores.memory import MemoryStore


@pytest.mark.parametrize("broken", BROKEN, ids=lambda each: each.__name__)
async def test_a_broken_store_fails_the_requirements_that_it_breaks(
    broken: type[MemoryStore],
) -> None:
    # Given
    wanted = [requirement_of(each) for each in BROKEN[broken]]
    # When
    outcomes = [each async for each in run_all(BrokenHarness(broken), wanted)]
    # Then
    assert {each.id: each.state for each in outcomes} == dict.fromkeys(BROKEN[broken], "failed")
    assert all(each.reason for each in outcomes)


async def test_the_whole_store_passes_all_that_broken_ones_fail() -> None:
    # Given
    ids = sorted({each for broken in BROKEN.values() for each in broken})
    wanted = [requirement_of(each) for each in ids]
    # When
    outcomes = [each async for each in run_all(BrokenHarness(MemoryStore), wanted)]
    # Then
    assert {each.state for each in outcomes} == {"passed"}
    assert len(ids) > len(requirements()) / 4
