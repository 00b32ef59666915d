"""The core of MageFlow: backend-neutral flows, and the seams for backends and stores."""

from mageflow_core.client import Found, Mageflow, Node, Run, Tree
from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.machine import Mark, Status
from mageflow_core.plain import Exactly
from mageflow_core.signatures.branch import branch
from mageflow_core.signatures.build import chain, graph, sign, swarm
from mageflow_core.signatures.codec import signature_dumps, signature_loads
from mageflow_core.signatures.context import Context
from mageflow_core.signatures.inject import ErrorValue, NativeContext, ReturnValue
from mageflow_core.signatures.options import Options, Retry
from mageflow_core.signatures.report import SwarmReport
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)
from mageflow_core.signatures.task import Task

__all__ = [
    "Cause",
    "ChainSignature",
    "Context",
    "ErrorInfo",
    "ErrorValue",
    "Exactly",
    "Found",
    "GraphSignature",
    "Mageflow",
    "Mark",
    "NativeContext",
    "Node",
    "Options",
    "Retry",
    "ReturnValue",
    "Run",
    "Signature",
    "Status",
    "SwarmReport",
    "SwarmSignature",
    "Task",
    "TaskSignature",
    "Tree",
    "branch",
    "chain",
    "graph",
    "sign",
    "signature_dumps",
    "signature_loads",
    "swarm",
]
