"""What is kept of a failure: plain data that every layer can pass on."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """Why a node failed."""

    BODY = "body"  # the task raised
    TIMEOUT = "timeout"  # the attempt took longer than its timeout
    INPUT = "input"  # its input does not validate
    RESULT = "result"  # its result does not validate
    WORKER_LOST = "worker-lost"
    UNKNOWN_TASK = "unknown-task"
    DEADLINE = "deadline"
    LIMIT = "limit"  # too deep, too many continuations
    SWARM = "swarm"
    GRAPH = "graph"


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorInfo:
    """The failure of one node, complete enough to act on.

    `type` is the dotted name of the exception's class, `traceback` its text as Python prints it
    (with the exceptions that caused it), `caused_by` the exception that it was raised from. `key`
    and `task` name what failed; `attempts` counts the attempts of this generation. `owner` is the
    key of the callback's owner, where an error callback is what asks. For swarms and graphs
    `failures` has the first ten errors below, and `failed` counts them all.
    """

    cause: Cause
    type: str
    message: str
    traceback: str = ""
    caused_by: str = ""
    task: str | None = None
    key: str = ""
    attempts: int = 0
    owner: str | None = None
    failed: int = 0
    failures: tuple[ErrorInfo, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ErrorInfo:
        return cls(
            **{
                **data,
                "cause": Cause(data["cause"]),
                "failures": tuple(cls.from_json(f) for f in data.get("failures", ())),
            }
        )

    def __str__(self) -> str:
        where = f" in {self.task!r}" if self.task else ""
        return f"{self.type}: {self.message}{where} ({self.key}, attempt {self.attempts})"
