"""Backends: what runs the jobs."""

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.protocol import (
    Delivery,
    Disposal,
    Handled,
    Runner,
    TaskManager,
    TaskSpec,
)

__all__ = [
    "Capabilities",
    "Delivery",
    "Disposal",
    "Handled",
    "Runner",
    "TaskManager",
    "TaskSpec",
]
