"""One death: of which flow, in which process, where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Role = Literal["stay", "leave", "only_start"]
# Reached by time, not by the flow: their number says nothing.
BY_TIME = frozenset(
    {"reconciler.firing", "reconciler.fired", "renewal.renewing", "renewal.renewed"}
)


@dataclass(frozen=True, slots=True)
class Case:
    """nth: at which of its hits the point kills."""

    shape: str
    role: Role
    point: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.shape}, {self.role}: {self.point}@{self.nth}"

    @property
    def armed(self) -> str:
        return f"{self.point}=kill@{self.nth}"


class Hits:
    """What one process, and those that it has forked, have written in the log of its failpoints."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def names(self, pid: int) -> list[str]:
        """In the order in which they were hit."""
        return [name for process, _, name in self._rows() if process == str(pid)]

    def pids(self) -> list[int]:
        return sorted({int(process) for process, _, _ in self._rows()})

    def _rows(self) -> list[tuple[str, str, str]]:
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        return [line.partition(" ") for line in lines]

    def cases(self, pid: int, shape: str, role: Role) -> Iterator[Case]:
        """The first hit of each point, and one in the middle of the others; of the dispatcher's an
        early one, as what comes in one turn goes out together: there may be half as many."""
        for point, count in Counter(self.names(pid)).items():
            yield Case(shape, role, point)
            if point in BY_TIME or count > 1:
                middle = 3 if point.startswith("dispatcher.") else 1 + (count + 1) // 2
                yield Case(shape, role, point, 2 if point in BY_TIME else min(middle, count))

    def show_death(self, pid: int, case: Case) -> bool:
        """Whether the process died just there: nothing follows this hit of this point."""
        names = self.names(pid)
        return names.count(case.point) == case.nth and names[-1] == case.point
