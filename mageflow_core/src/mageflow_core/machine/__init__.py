"""The state machine: pure functions, without I/O, clock or randomness.

A store makes a `Draft` of a run, hands it to one of these functions, and applies the changed
records and effects in one atomic step. A function that refuses leaves the draft empty.
"""

from mageflow_core.machine.claiming import ClaimAnswer, ClaimRequest, Verdict, claim
from mageflow_core.machine.draft import Draft, Effects, Signal, Stored, Timer, TimerKind
from mageflow_core.machine.growing import Add, Refusal, add, close
from mageflow_core.machine.locating import locate
from mageflow_core.machine.outcomes import (
    Continued,
    Done,
    Failed,
    Lost,
    Outcome,
    Released,
    Report,
    Returned,
    lose,
    report,
)
from mageflow_core.machine.policy import Policy
from mageflow_core.machine.records import Event, Failure, Job, Mark, Node, Run, Status
from mageflow_core.machine.showing import shown
from mageflow_core.machine.starting import start, store
from mageflow_core.machine.steering import Steer, Steered, Verb, steer
from mageflow_core.machine.timers import fire

__all__ = [
    "Add",
    "ClaimAnswer",
    "ClaimRequest",
    "Continued",
    "Done",
    "Draft",
    "Effects",
    "Event",
    "Failed",
    "Failure",
    "Job",
    "Lost",
    "Mark",
    "Node",
    "Outcome",
    "Policy",
    "Refusal",
    "Released",
    "Report",
    "Returned",
    "Run",
    "Signal",
    "Status",
    "Steer",
    "Steered",
    "Stored",
    "Timer",
    "TimerKind",
    "Verb",
    "Verdict",
    "add",
    "claim",
    "close",
    "fire",
    "locate",
    "lose",
    "report",
    "shown",
    "start",
    "steer",
    "store",
]
