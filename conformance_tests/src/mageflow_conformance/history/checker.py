"""One checker for all that is promised of every run."""

from __future__ import annotations

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.ending import check_ending
from mageflow_conformance.history.evidence import Evidence
from mageflow_conformance.history.fences import check_fences
from mageflow_conformance.history.once import check_once
from mageflow_conformance.history.order import check_order
from mageflow_conformance.history.steering import check_steering

CHECKS = (check_ending, check_once, check_fences, check_order, check_steering)


def check(evidence: Evidence) -> list[Broken]:
    """What of G1 to G5 was not kept.

    A body's second run is explained by a retry, by its having been stopped, by a fault that the
    ledger tells of its process (killed, frozen), or by that process having said that it lost its
    leases; all else counts as broken.
    """
    return [broken for each in CHECKS for broken in each(evidence)]


def assert_kept(evidence: Evidence) -> None:
    """Raises `AssertionError` with all that was not kept; and where the ledger tells nothing of
    any body, as then nothing was shown."""
    assert evidence.bodies, (
        f"the ledger tells nothing of {evidence.root.key}: no body was witnessed"
    )
    broken = check(evidence)
    assert not broken, "\n".join(["not kept:", *map(str, broken)])
