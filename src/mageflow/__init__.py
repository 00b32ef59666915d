"""MageFlow: say in one place how the tasks of any task manager flow.

::

    from mageflow import Mageflow, chain

    mf = Mageflow()

    @mf.task
    async def fetch(url: str) -> str: ...

    @mf.task
    def count(page: str) -> int: ...

    async with mf:
        run = await chain(fetch.sign(url="…"), count).start()
        print(await run.result(timeout=60))
"""

from mageflow import errors
from mageflow.decorators import AcceptParams, handle_task_callback, register_task
from mageflow_core import (
    Cause,
    ChainSignature,
    Context,
    ErrorInfo,
    ErrorValue,
    Exactly,
    Found,
    GraphSignature,
    Mageflow,
    Mark,
    NativeContext,
    Node,
    Options,
    Retry,
    ReturnValue,
    Run,
    Signature,
    Status,
    SwarmReport,
    SwarmSignature,
    Task,
    TaskSignature,
    Tree,
    branch,
    chain,
    graph,
    sign,
    signature_dumps,
    signature_loads,
    swarm,
)
from mageflow_core.errors import (
    AlreadyStarted,
    CannotRetry,
    DeadlineExceeded,
    GraphFailed,
    MageflowError,
    RunCanceled,
    RunEnded,
    RunNotFound,
    SwarmFailed,
    TaskFailed,
    UnknownTask,
    WaitTimeout,
)

__version__ = "0.4.0"

__all__ = [
    "AcceptParams",
    "AlreadyStarted",
    "CannotRetry",
    "Cause",
    "ChainSignature",
    "Context",
    "DeadlineExceeded",
    "ErrorInfo",
    "ErrorValue",
    "Exactly",
    "Found",
    "GraphFailed",
    "GraphSignature",
    "Mageflow",
    "MageflowError",
    "Mark",
    "NativeContext",
    "Node",
    "Options",
    "Retry",
    "ReturnValue",
    "Run",
    "RunCanceled",
    "RunEnded",
    "RunNotFound",
    "Signature",
    "Status",
    "SwarmFailed",
    "SwarmReport",
    "SwarmSignature",
    "Task",
    "TaskFailed",
    "TaskSignature",
    "Tree",
    "UnknownTask",
    "WaitTimeout",
    "__version__",
    "branch",
    "chain",
    "errors",
    "graph",
    "handle_task_callback",
    "register_task",
    "sign",
    "signature_dumps",
    "signature_loads",
    "swarm",
]
