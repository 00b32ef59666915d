"""What goes wrong on purpose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Self

from mageflow.testing.records import CrashPoint

Kind = Literal["crash", "duplicate"]


class Died(Exception):
    """The worker of this attempt is dead; nothing that it says arrives."""


@dataclass(slots=True, eq=False)
class Fault:
    """Armed from when it is made; as a context manager, until its block ends.

    times: how often it happens. happened: how often it has.
    """

    kind: Kind
    task: str
    times: int
    at: CrashPoint | None = None
    happened: int = 0
    _faults: Faults | None = field(default=None, repr=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if self._faults is not None:
            self._faults.disarm(self)
            if kind is None:
                self.check()

    def check(self) -> None:
        """Raise `AssertionError` if it has not happened as often as it was to."""
        if self.happened < self.times:
            raise AssertionError(
                f"{self} happened {self.happened} of {self.times} times: the task did not run so "
                "often, so the test has not shown what it was meant to show"
            )

    def __str__(self) -> str:
        at = f", at={self.at!r}" if self.at else ""
        return f"{self.kind}({self.task!r}{at})"


class Faults:
    """Those of one test app, in the order in which they were armed."""

    def __init__(self) -> None:
        self._armed: list[Fault] = []

    def arm(self, kind: Kind, task: str, times: int, at: CrashPoint | None = None) -> Fault:
        if times < 1:
            raise ValueError(f"{kind}({task!r}, times={times!r}): at least 1")
        fault = Fault(kind, task, times, at, _faults=self)
        self._armed.append(fault)
        return fault

    def disarm(self, fault: Fault) -> None:
        if fault in self._armed:
            self._armed.remove(fault)

    def take(self, kind: Kind, task: str) -> Fault | None:
        """The fault that happens now, counted."""
        for fault in self._armed:
            if fault.kind == kind and fault.task == task and fault.happened < fault.times:
                fault.happened += 1
                return fault
        return None

    def check(self) -> None:
        """Raise `AssertionError` for a fault that never happened as often as it was to."""
        for fault in self._armed:
            fault.check()
