"""The requirements of backends, and what runs them on real engines with real processes.

`Trials(harness)` runs `requirements()`; a `Harness` says how the suite gets at a backend. For an
adapter of your own: subclass `Harness`, and name it in the entry-point group
`mageflow.conformance`.
"""

from mageflow_conformance.backends.harness import Harness, Natives
from mageflow_conformance.backends.manifest import SPEC, requirement_of, requirements
from mageflow_conformance.backends.report import Report
from mageflow_conformance.backends.requirement import Instead, Requirement
from mageflow_conformance.backends.running import Outcome, Trials
from mageflow_conformance.backends.servers import ServerHarness
from mageflow_conformance.backends.stage import Stage

__all__ = [
    "SPEC",
    "Harness",
    "Instead",
    "Natives",
    "Outcome",
    "Report",
    "Requirement",
    "ServerHarness",
    "Stage",
    "Trials",
    "requirement_of",
    "requirements",
]
