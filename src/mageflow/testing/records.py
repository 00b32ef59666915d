"""What was started and what ran, in order."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mageflow_core import Context, ErrorInfo, Signature, SwarmReport
from mageflow_core.machine import Continued, Done, Failed, Outcome, Released
from mageflow_core.runtime.running import running
from mageflow_core.serialization import loads
from mageflow_core.stores.protocol import Work

Ending = Literal["running", "done", "continued", "failed", "released", "crashed"]
CrashPoint = Literal["before", "during", "after"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """One started run. message: as JSON. by: the key of the node whose body started it."""

    run_id: str
    signature: Signature[Any]
    message: Any
    at: float
    by: str | None = None

    @property
    def labels(self) -> Mapping[str, str]:
        return self.signature.labels


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One attempt of a task.

    input: what the body was called with, `None` where it was not called. outcome: `continued`
    where the body returned a signature, `released` where it was stopped to run again later,
    `crashed` where its worker died. result: as JSON, or the signature. error: what is stored of
    the failure, `exception` what the body raised.
    """

    task: str
    key: str
    attempt: int
    fence: int
    at: float
    input: dict[str, Any] | None = None
    outcome: Ending = "running"
    result: Any = None
    error: ErrorInfo | None = None
    exception: BaseException | None = None
    crash: CrashPoint | None = field(default=None, repr=False)

    def end(self, outcome: Outcome) -> None:
        if self.outcome != "running":
            return
        if isinstance(outcome, Done):
            self.outcome, self.result = "done", loads(outcome.value)
        elif isinstance(outcome, Continued):
            self.outcome, self.result = "continued", outcome.signature
        elif isinstance(outcome, Failed):
            self.outcome = "failed"
            data = outcome.failure.data
            self.error = ErrorInfo.from_json(loads(data)) if data is not None else None
        elif isinstance(outcome, Released):
            self.outcome = "released"


class Records:
    """Of one test app."""

    def __init__(self) -> None:
        self.dispatched: list[Dispatch] = []
        self.attempts: list[Attempt] = []
        self._by_claim: dict[str, Attempt] = {}
        self._latest: dict[str, Attempt] = {}

    def started(self, run_id: str, signature: Signature[Any], message: str, at: float) -> None:
        here = running.get()
        self.dispatched.append(
            Dispatch(
                run_id=run_id,
                signature=signature,
                message=loads(message),
                at=at,
                by=here.key if here is not None else None,
            )
        )

    def began(self, work: Work, at: float) -> Attempt:
        attempt = Attempt(
            task=getattr(work.signature, "task", ""),
            key=work.key,
            attempt=work.attempt,
            fence=work.fence,
            at=at,
        )
        self._by_claim[work.claim] = self._latest[work.key] = attempt
        if not attempt.task.startswith("mageflow."):  # of a branch one sees what it has chosen
            self.attempts.append(attempt)
        return attempt

    def of_claim(self, claim: str) -> Attempt | None:
        return self._by_claim.get(claim)

    def here(self) -> Attempt | None:
        """The attempt whose body is called here."""
        now = running.get()
        return self._latest.get(now.key) if now is not None else None


def snapshot(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments as they are now: a body may change what it is given."""
    return {name: _copied(value) for name, value in arguments.items()}


def _copied(value: Any) -> Any:
    if isinstance(value, Context | SwarmReport):
        return value
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - what cannot be copied is shown as it is
        return value
