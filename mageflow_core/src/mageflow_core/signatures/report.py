"""What became of a swarm, for its callbacks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import CoreSchema

from mageflow_core.errors import DataError
from mageflow_core.failure import ErrorInfo
from mageflow_core.signatures.injected import injected_schema

Load = Callable[[int, int], Awaitable[Sequence[Any]]]
LoadSync = Callable[[int, int], Sequence[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwarmCounts:
    """How many items there were, and how they ended."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """The error of one item; `index` is the item's place in the swarm, from 0."""

    index: int
    error: ErrorInfo


class SwarmReport:
    """Given to a parameter or model field annotated `SwarmReport`.

    counts: total, succeeded, failed, canceled.
    failures: the errors with their items' indexes; of a big swarm the first ones.
    results: in item order, `None` where there is none. Those of a big swarm are in the store;
    `async for result in report` reads them in chunks and keeps none, `await report.load()` reads
    and keeps them all. In a sync body `for` and `results` do the same, and block.
    """

    __slots__ = ("_chunk", "_load", "_load_sync", "_results", "counts", "failures")

    def __init__(
        self,
        counts: SwarmCounts,
        failures: Sequence[ItemFailure] = (),
        *,
        results: Sequence[Any] | None = None,
        load: Load | None = None,
        load_sync: LoadSync | None = None,
        chunk: int = 1000,
    ) -> None:
        """`load(start, stop)` gives the results of these items, also in a second call alike;
        nothing has to be given that `results` has already."""
        self.counts = counts
        self.failures = tuple(failures)
        self._results: list[Any] | None = None if results is None else list(results)
        self._load = load
        self._load_sync = load_sync
        self._chunk = chunk

    @property
    def loaded(self) -> bool:
        """Whether all results are here, so that nothing has to be read."""
        return self._results is not None

    @property
    def results(self) -> list[Any]:
        """All results. Reads and keeps those not here yet, in sync bodies; raises `DataError`
        in async ones, where that would block the loop: `await report.load()` first."""
        if self._results is None:
            self._results = [result for chunk in self._chunks_sync() for result in chunk]
        return self._results

    async def load(self) -> list[Any]:
        """All results, kept from now on."""
        if self._results is None:
            self._results = [result async for result in self]
        return self._results

    async def __aiter__(self) -> AsyncIterator[Any]:
        if self._results is not None:
            for result in self._results:
                yield result
            return
        if self._load is None:
            raise DataError("this report was made without results, and without a way to load them")
        for start, stop in self._ranges():
            for result in await self._load(start, stop):
                yield result

    def __iter__(self) -> Iterator[Any]:
        if self._results is not None:
            yield from self._results
            return
        for chunk in self._chunks_sync():
            yield from chunk

    def __len__(self) -> int:
        return self.counts.total

    def _chunks_sync(self) -> Iterator[Sequence[Any]]:
        if self._load_sync is None:
            raise DataError(
                "the results of this swarm are not loaded: use `async for result in report`, or "
                "`await report.load()` first"
            )
        for start, stop in self._ranges():
            yield self._load_sync(start, stop)

    def _ranges(self) -> Iterator[tuple[int, int]]:
        total = self.counts.total
        for start in range(0, total, self._chunk):
            yield start, min(start + self._chunk, total)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: Any) -> CoreSchema:
        return injected_schema(cls)

    def __bool__(self) -> bool:
        return True  # also of an empty swarm there is a report

    def __repr__(self) -> str:
        c = self.counts
        return (
            f"<SwarmReport: {c.total} items, {c.succeeded} succeeded, {c.failed} failed, "
            f"{c.canceled} canceled>"
        )
