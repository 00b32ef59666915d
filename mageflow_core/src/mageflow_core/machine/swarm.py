"""Swarms: items side by side, up to a limit, from a list that may grow while it runs."""

from __future__ import annotations

from mageflow_core.failure import Cause
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import (
    begin_child,
    child_node,
    count_ended,
    edit_child,
    end,
    stop,
)
from mageflow_core.machine.records import Failure, Inner, Node, Status
from mageflow_core.signatures.signature import SwarmSignature


def of(swarm: Node) -> tuple[SwarmSignature[object], Inner]:
    assert isinstance(swarm.signature, SwarmSignature)
    assert swarm.inner is not None
    return swarm.signature, swarm.inner


def total(swarm: Node) -> int:
    signature, inner = of(swarm)
    return len(signature.items) + inner.added


def stopping(swarm: Node) -> bool:
    signature, inner = of(swarm)
    limit = signature.stop_after_n_failures
    return swarm.ending is not None or (limit is not None and inner.failed >= limit)


def sweep(draft: Draft, swarm: Node) -> None:
    """Begin items while there are slots, then see whether anything is left."""
    signature, inner = of(swarm)
    count = total(swarm)
    limit = signature.max_concurrency or count
    inputs = (swarm.message, swarm.previous, swarm.dependencies)
    while not stopping(swarm) and inner.begun < limit and (inner.ready or inner.cursor < count):
        if not draft.has_room:
            draft.at("sweep", swarm.path, draft.now)
            return
        if inner.ready:
            position, inner.ready = inner.ready[0], inner.ready[1:]
        else:
            position = inner.cursor
            inner.cursor += 1
            if met(draft, swarm, position):
                continue
        item = edit_child(draft, swarm, position)
        if not (item.status.ended and item.round == swarm.generation):
            begin_child(draft, swarm, item, inputs)
    finish(draft, swarm)


def met(draft: Draft, swarm: Node, position: int) -> bool:
    """Count an item that is over before its turn: done in an earlier generation, or canceled
    while pending."""
    _, inner = of(swarm)
    item = child_node(draft, swarm, position)
    if item is None:
        return False
    draft.looked += 1
    if item.status is Status.DONE or (item.status.ended and item.round == swarm.generation):
        count_ended(inner, item)
        return True
    return False


def tell(draft: Draft, swarm: Node, item: Node) -> None:
    """An item ahead of the cursor is counted when the sweep meets it."""
    signature, inner = of(swarm)
    if item.position < inner.cursor:
        count_ended(inner, item)
    if signature.interrupt_running and stopping(swarm) and swarm.ending is None:
        stop(draft, swarm, Status.FAILED, Failure(Cause.SWARM))
    draft.todo.append(("sweep", swarm.path))


def finish(draft: Draft, swarm: Node) -> None:
    """End the swarm if no item is left that runs or may yet begin."""
    signature, inner = of(swarm)
    if inner.begun or swarm.status.ended:
        return
    if stopping(swarm):
        end(draft, swarm, Status.FAILED, failure=Failure(Cause.SWARM))
    elif inner.cursor < total(swarm) or inner.ready:
        return
    elif not inner.closed:
        if signature.idle_timeout is not None:
            draft.at("idle", swarm.path, draft.now + signature.idle_timeout)
    elif total(swarm) and not inner.done:
        end(draft, swarm, Status.FAILED, failure=Failure(Cause.SWARM))
    else:
        swarm.result = swarm.carried = swarm.path
        end(draft, swarm, Status.DONE)
