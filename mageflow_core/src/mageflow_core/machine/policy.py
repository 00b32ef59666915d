"""The times and limits that the machine works with; all of them are settings."""

from __future__ import annotations

from dataclasses import dataclass

# Records that one step may write; what is wider goes on by an `advance` timer.
STEP_WIDTH = 400

# Seconds until the reservation of a stored run, for a place in a run that never came, is dropped.
RESERVATION = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Times are in seconds.

    max_crashes: lost leases after which a node runs again; one more fails it.
    cancel_grace: how long a canceled node waits for running bodies below it.
    result_ttl: how long a settled run can be read. pending_ttl: the same of a run that was
        stored and never started.
    unknown_task_timeout: how long a node waits for a worker that knows its task.
    """

    max_crashes: int = 3
    cancel_grace: float = 60.0
    result_ttl: float = 86_400.0
    pending_ttl: float = 7 * 86_400.0
    unknown_task_timeout: float = 3_600.0
    max_continuations: int = 1_000
    max_nodes: int = 1_000_000
    history: int = 500

    def crash_delay(self, crashes: int, chance: float) -> float:
        """At once, then about 30 s, then 5 min: with wide jitter, so that the neighbours of a
        task that kills its worker get away from it."""
        base = (0.0, 0.0, 30.0, 300.0)[min(crashes, 3)]
        return base * (0.5 + chance)
