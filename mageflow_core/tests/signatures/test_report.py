"""The report of a swarm: results read in chunks, failures and counts at hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mageflow_core.errors import DataError
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.signatures.report import ItemFailure, SwarmCounts, SwarmReport


class Store:
    """Results of a swarm, and what was asked for."""

    def __init__(self, total: int) -> None:
        self.results = list(range(total))
        self.asked: list[tuple[int, int]] = []

    async def load(self, start: int, stop: int) -> Sequence[Any]:
        return self.load_sync(start, stop)

    def load_sync(self, start: int, stop: int) -> Sequence[Any]:
        self.asked.append((start, stop))
        return self.results[start:stop]


def lazy(store: Store, chunk: int = 10) -> SwarmReport:
    return SwarmReport(SwarmCounts(total=len(store.results)), load=store.load, chunk=chunk)


async def test_results_are_read_in_chunks_as_they_are_asked_for() -> None:
    # Given a report of 25 items that are not here
    store = Store(25)
    report = lazy(store)
    assert not report.loaded

    # When the first is read
    first = await anext(aiter(report))

    # Then one chunk was loaded
    assert first == 0
    assert store.asked == [(0, 10)]


async def test_iterating_gives_all_results_in_order_and_keeps_none() -> None:
    store = Store(25)
    report = lazy(store)

    results = [result async for result in report]

    assert results == list(range(25))
    assert store.asked == [(0, 10), (10, 20), (20, 25)]
    assert not report.loaded


async def test_loading_keeps_the_results() -> None:
    # Given a report that was loaded
    store = Store(3)
    report = lazy(store)
    assert await report.load() == [0, 1, 2]
    asked = len(store.asked)

    # When its results are used in each way
    again = [result async for result in report]

    # Then nothing is read again
    assert again == report.results == list(report) == await report.load() == [0, 1, 2]
    assert report.loaded
    assert len(store.asked) == asked


@given(st.integers(0, 50), st.integers(1, 60))
def test_every_result_comes_once_whatever_the_chunk(total: int, chunk: int) -> None:
    store = Store(total)
    report = SwarmReport(SwarmCounts(total=total), load_sync=store.load_sync, chunk=chunk)

    assert list(report) == list(range(total))
    assert len(store.asked) == -(-total // chunk)


def test_a_sync_body_reads_with_the_sync_loader() -> None:
    store = Store(25)
    report = SwarmReport(SwarmCounts(total=25), load_sync=store.load_sync, chunk=10)

    assert list(report) == list(range(25))
    assert not report.loaded
    assert report.results == list(range(25))
    assert report.loaded


@pytest.mark.parametrize("use", [list, lambda report: report.results])
def test_an_async_body_is_told_to_load_first(use: Any) -> None:
    with pytest.raises(DataError, match="use `async for result in report`, or `await report"):
        use(lazy(Store(3)))


async def test_a_report_without_results_or_a_loader_says_so() -> None:
    report = SwarmReport(SwarmCounts(total=1))

    with pytest.raises(DataError, match="without results, and without a way to load them"):
        await report.load()


def test_results_that_are_given_are_there_and_a_copy() -> None:
    results = [1, None]

    report = SwarmReport(SwarmCounts(total=2), results=results)
    results.append(3)

    assert report.results == [1, None]
    assert report.loaded


def test_a_report_has_counts_and_failures() -> None:
    error = ErrorInfo(cause=Cause.BODY, type="ValueError", message="no")
    failure = ItemFailure(3, error)

    report = SwarmReport(
        SwarmCounts(total=5, succeeded=3, failed=1, canceled=1), [failure], results=[]
    )

    assert report.failures == (failure,)
    assert (report.failures[0].index, report.failures[0].error.message) == (3, "no")
    assert len(report) == 5
    assert repr(report) == "<SwarmReport: 5 items, 3 succeeded, 1 failed, 1 canceled>"


async def test_the_report_of_an_empty_swarm_is_a_report() -> None:
    report = SwarmReport(SwarmCounts(), results=[])

    assert report
    assert [result async for result in report] == []
    assert len(report) == 0
