"""Outcomes as the arguments of the script that takes them."""

from __future__ import annotations

from mageflow_core.machine import Continued, Done, Failed, Outcome, Released, Returned
from mageflow_core.stores.redis.plan import milliseconds, plan_of


def arguments_of(outcome: Outcome) -> tuple[str | int, ...]:
    """Kind, whether the previous result was used, and what the kind has; see `report.lua`."""
    if isinstance(outcome, Done):
        return ("done", int(outcome.used_previous), outcome.value, int(outcome.passes))
    if isinstance(outcome, Failed):
        wait = milliseconds(outcome.retry_in)
        failure = outcome.failure
        return (
            "failed",
            int(outcome.used_previous),
            failure.cause.value,
            failure.data or "",
            "" if wait is None else wait,
            int(outcome.held),
        )
    if isinstance(outcome, Continued):
        plan = plan_of([outcome.signature])
        return ("continued", int(outcome.used_previous), int(outcome.message_only), *plan.flat)
    assert isinstance(outcome, Released | Returned)
    return ("released" if isinstance(outcome, Released) else "returned", 0)
