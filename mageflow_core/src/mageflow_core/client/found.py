"""Runs that were looked for."""

from __future__ import annotations

from typing import Any

from mageflow_core.client.run import Run


class Found(list[Run[Any]]):
    """A page of runs. next: what `after=` takes for the page behind this one, or `None`."""

    def __init__(self, runs: list[Run[Any]], next: str | None) -> None:  # noqa: A002
        super().__init__(runs)
        self.next = next
