"""The crash sweep: a flow is run once for each point at which a process can die, with its death."""

from mageflow_conformance.sweep.case import Case, Hits
from mageflow_conformance.sweep.lane import Lane
from mageflow_conformance.sweep.sweep import Sweep

__all__ = ["Case", "Hits", "Lane", "Sweep"]
