"""How many examples: a few in each run of the tests, many with HYPOTHESIS_PROFILE=thorough."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"


def examples(few: int, many: int, *, steps: int = 50) -> settings:
    """steps: of a state machine."""
    return settings(
        deadline=None,
        max_examples=many if THOROUGH else few,
        suppress_health_check=list(HealthCheck),
        # Explaining runs each failing example many times more.
        phases=[phase for phase in Phase if phase is not Phase.explain],
        print_blob=False,
        stateful_step_count=steps,
    )
