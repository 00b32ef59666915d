"""From what is stored of a result to the value that its task's annotation promises."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from mageflow_core.client.registry import Registry
from mageflow_core.errors import (
    DeadlineExceeded,
    GraphFailed,
    RunCanceled,
    RunEnded,
    SwarmFailed,
    TaskFailed,
    WorkerLost,
)
from mageflow_core.failure import Cause
from mageflow_core.machine import Status
from mageflow_core.serialization import loads
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)
from mageflow_core.stores.protocol import NodeView

ENDINGS: dict[Cause, type[RunEnded]] = {
    Cause.WORKER_LOST: WorkerLost,
    Cause.DEADLINE: DeadlineExceeded,
    Cause.SWARM: SwarmFailed,
    Cause.GRAPH: GraphFailed,
}


def typed(registry: Registry, signature: Signature[Any], text: str) -> Any:
    """The value behind a result's JSON text, through the types of the tasks that made it.

    Where a task was continued by a signature, its own annotation says nothing of the result:
    what does not fit it stays plain JSON.
    """
    if isinstance(signature, TaskSignature):
        task = registry.find(signature.task)
        return task.binder.load_result(text) if task is not None else loads(text)
    if isinstance(signature, ChainSignature):
        return typed(registry, signature.steps[-1], text)
    if isinstance(signature, SwarmSignature):
        return [
            typed_item(registry, signature, position, json.dumps(value))
            for position, value in enumerate(loads(text))
        ]
    if isinstance(signature, GraphSignature):
        plain = loads(text)
        return {
            name: typed(registry, signature.nodes[name], json.dumps(value))
            for name, value in plain.items()
        }
    return loads(text)


def typed_item(registry: Registry, swarm: Signature[Any], position: int, text: str) -> Any:
    """One result of a swarm's. Items that were added while it ran have no signature here: theirs
    are plain."""
    items = swarm.children if isinstance(swarm, SwarmSignature) else ()
    if text == "null" or position >= len(items):
        return loads(text)
    return typed(registry, items[position], text)


def raise_ending(view: NodeView) -> NoReturn:
    """Raise what an ended node that is not done stands for."""
    error = view.error
    if view.status is not Status.FAILED or error is None:
        raise RunCanceled(f"{view.key} is {view.status.value}: it has no result")
    ending = ENDINGS.get(error.cause, TaskFailed)
    where = f"task {error.task!r} ({error.key}, attempt {error.attempts})"
    if error.cause in (Cause.SWARM, Cause.GRAPH):
        where = error.key
    raise ending(f"{where} failed: {error.type}: {error.message}", error)
