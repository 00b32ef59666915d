"""Workers that have times of their own."""

from __future__ import annotations

import time
from dataclasses import replace as changed
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.machine import Failed
from mageflow_core.runtime import runner as runner_module
from mageflow_core.stores.redis.server import Server
from mutants.breaking import fails, in_script, replace


@fails("B-TIME-01", "B-TIME-03")
def has_a_clock_that_is_ahead(_mf: Mageflow) -> None:
    _is_ahead_by(5)


def _is_ahead_by(seconds: int) -> None:
    in_script("clock", "return time[1] * 1000 +", f"return (time[1] + {seconds}) * 1000 +")

    @replace(Server, "now")
    def now(before: Any, self: Any) -> float:
        known: float = before(self)
        return known + seconds


@fails("B-TIME-02")
def begins_what_is_delayed_at_once(_mf: Mageflow) -> None:
    in_script("life", "node.due = draft.now + found.delay", "node.due = draft.now")


@fails("B-TIME-04")
def never_looks_at_the_time(_mf: Mageflow) -> None:
    in_script("fire", "HANDLERS.due()\n", "HANDLERS.due() do return end\n")


@fails("B-TIME-05")
def retries_without_a_pause(_mf: Mageflow) -> None:
    @replace(runner_module, "failed")
    def failed(before: Any, *given: Any, **more: Any) -> Failed:
        made: Failed = before(*given, **more)
        return made if made.retry_in is None else changed(made, retry_in=0.001)


@fails("B-TIME-08")
def has_no_deadlines(_mf: Mageflow) -> None:
    in_script("fire", "HANDLERS.deadline()\n", "HANDLERS.deadline() do return end\n")


@fails("B-TIME-09")
def keeps_runs_for_ever(_mf: Mageflow) -> None:
    in_script("fire", "HANDLERS.expire()\n", "HANDLERS.expire() do return end\n")


@fails("B-TIME-10")
def goes_by_its_own_clock(_mf: Mageflow) -> None:
    """As if times were sent to the store, and not asked of it."""
    _is_ahead_by(round(time.time() - time.clock_gettime(time.CLOCK_REALTIME)))
