"""The crash sweep: a flow is run once for each point at which a process can die, with its death."""

from mageflow_conformance.sweep.case import BY_TIME, Case, Hits
from mageflow_conformance.sweep.lane import Ended, Lane, ending
from mageflow_conformance.sweep.sweep import Sweep

__all__ = ["BY_TIME", "Case", "Ended", "Hits", "Lane", "Sweep", "ending"]
