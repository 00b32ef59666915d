"""Backends: what runs the jobs."""

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.envelope import is_job, pack, unpack
from mageflow_core.backends.protocol import (
    Delivery,
    Disposal,
    Handled,
    Health,
    Host,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
)
from mageflow_core.machine import Job

__all__ = [
    "Capabilities",
    "Delivery",
    "Disposal",
    "Handled",
    "Health",
    "Host",
    "Job",
    "Role",
    "Runner",
    "TaskManager",
    "TaskSpec",
    "is_job",
    "pack",
    "unpack",
]
