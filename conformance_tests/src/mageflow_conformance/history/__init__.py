"""Whether what a ledger and a run's records tell together is what was promised: G1 to G5."""

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.checker import assert_kept, check
from mageflow_conformance.history.evidence import Evidence, Told, collect
from mageflow_conformance.history.steering import steer

__all__ = ["Broken", "Evidence", "Told", "assert_kept", "check", "collect", "steer"]
