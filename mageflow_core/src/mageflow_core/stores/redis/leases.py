"""What this process may count on: its workers' leases, shared by all handles of the process."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

NUMBERS = 2**42  # a score holds their sum with `names.CLAIMED` exactly


@dataclass(slots=True)
class Tenure:
    """A worker's time under one number. until: bucket → the server's time in ms up to which its
    lease there has been renewed; where nothing is claimed under it, it may be absent. asked: the
    key by the id of each claim that was asked for, until its outcome is told. granted: the bucket
    by the id of those that were granted."""

    worker: str
    number: int
    until: dict[int, int] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)

    @property
    def member(self) -> str:
        return f"{self.number} {self.worker}"


class Leases:
    """By worker. Handles on several threads use it; each operation is one of the interpreter's.

    claimed_of: the latest time at which a job was sent that was claimed since it was last taken,
    in ms; 0 where there was none.
    """

    def __init__(self) -> None:
        self._tenures: dict[str, Tenure] = {}
        self.claimed_of = 0

    @property
    def workers(self) -> list[str]:
        return list(self._tenures)

    def of(self, worker: str) -> Tenure | None:
        return self._tenures.get(worker)

    def begin(self, worker: str) -> Tenure:
        return self._tenures.setdefault(worker, Tenure(worker, self.new_number()))

    def new_number(self) -> int:
        """Not counted: a server that has lost its data would give out those that others have."""
        return secrets.randbelow(NUMBERS)

    def over(self, claim: str) -> None:
        """Nothing is on its way of this claim any more, and no body runs under it."""
        for tenure in list(self._tenures.values()):
            tenure.asked.pop(claim, None)
            tenure.granted.pop(claim, None)

    def end(self, worker: str) -> Tenure | None:
        return self._tenures.pop(worker, None)
