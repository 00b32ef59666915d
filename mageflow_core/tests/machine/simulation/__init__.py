"""A world for the state machine: a memory store, workers, a backend, and time, all by hand.

`World` drives; `Ledger` watches every step that is applied; `invariants` recounts everything
that is stored; `oracle` says how a run must end; `trees` makes signatures.
"""

from simulation.bodies import BOOK, does, outcome_of
from simulation.invariants import check, check_settled
from simulation.ledger import Ledger
from simulation.oracle import expected
from simulation.trees import chain, graph, swarm, task
from simulation.world import Attempt, ManualClock, World, run_now

__all__ = [
    "BOOK",
    "Attempt",
    "Ledger",
    "ManualClock",
    "World",
    "chain",
    "check",
    "check_settled",
    "does",
    "expected",
    "graph",
    "outcome_of",
    "run_now",
    "swarm",
    "task",
]
