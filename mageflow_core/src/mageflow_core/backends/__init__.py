"""Backends: what runs the jobs."""

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.deliveries import Delivered, Deliveries, delivered
from mageflow_core.backends.envelope import JOB, is_job, pack, unpack
from mageflow_core.backends.natives import NativeSpecs
from mageflow_core.backends.protocol import (
    Delivery,
    Disposal,
    Handled,
    Health,
    Host,
    RetryAsked,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
)
from mageflow_core.machine import Job
from mageflow_core.names import portable

__all__ = [
    "JOB",
    "Capabilities",
    "Delivered",
    "Deliveries",
    "Delivery",
    "Disposal",
    "Handled",
    "Health",
    "Host",
    "Job",
    "NativeSpecs",
    "RetryAsked",
    "Role",
    "Runner",
    "TaskManager",
    "TaskSpec",
    "delivered",
    "is_job",
    "pack",
    "portable",
    "unpack",
]
