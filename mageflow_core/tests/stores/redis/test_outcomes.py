"""Outcomes as the arguments of the script that takes them."""

from __future__ import annotations

import pytest
from simulation import chain, task

from mageflow_core.failure import Cause
from mageflow_core.machine import Continued, Done, Failed, Failure, Outcome, Released, Returned
from mageflow_core.stores.redis.outcomes import arguments_of
from mageflow_core.stores.redis.plan import plan_of

NEXT = chain(task("a"), task("b"))


@pytest.mark.parametrize(
    ("outcome", "arguments"),
    [
        (Done(value="1"), ("done", 0, "1", 0)),
        (Done(value="null", passes=True, used_previous=True), ("done", 1, "null", 1)),
        (Failed(failure=Failure(Cause.TIMEOUT)), ("failed", 0, "timeout", "", "", 0)),
        (
            Failed(failure=Failure(Cause.BODY, "{}"), retry_in=0.0, used_previous=True),
            ("failed", 1, "body", "{}", 0, 0),
        ),
        (
            Failed(failure=Failure(Cause.TIMEOUT), retry_in=1.5, held=True),
            ("failed", 0, "timeout", "", 1500, 1),
        ),
        (Continued(signature=NEXT), ("continued", 0, 0, *plan_of([NEXT]).flat)),
        (
            Continued(signature=NEXT, message_only=True, used_previous=True),
            ("continued", 1, 1, *plan_of([NEXT]).flat),
        ),
        (Released(), ("released", 0)),
        (Returned(), ("returned", 0)),
    ],
)
def test_each_outcome_has_its_arguments(outcome: Outcome, arguments: tuple[object, ...]) -> None:
    assert arguments_of(outcome) == arguments
