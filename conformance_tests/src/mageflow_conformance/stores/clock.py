"""The clock that stores are given here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mageflow_core.clock import SystemClock


class MovedClock(SystemClock):
    """Real time, and what was skipped of it."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0
        self._stands: float | None = None

    def now(self) -> float:
        return self._stands if self._stands is not None else super().now() + self.skipped

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        self._stands = self.now()
        try:
            yield
        finally:
            self._stands = None
