"""Worker processes of a test's own, to be killed, frozen and stopped by it."""

from mageflow_conformance.processes.nursery import Nursery
from mageflow_conformance.processes.process import Died, Process

__all__ = ["Died", "Nursery", "Process"]
