"""Continuations: a task that returns a signature is replaced by it, in its place.

The node keeps its key, slot, parent and callbacks and holds what stands in for it, one after
the other at key~1, key~2, …: a loop does not nest.
"""

from __future__ import annotations

from typing import Any

from mageflow_core.failure import Cause
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import (
    begin_child,
    end,
    new_node,
    release_claim,
)
from mageflow_core.machine.records import Failure, Inner, Node, Status
from mageflow_core.names import continuation_path
from mageflow_core.signatures.signature import Signature


def replace(draft: Draft, node: Node, signature: Signature[Any], *, message_only: bool) -> None:
    """The body of `node` has returned `signature`.

    message_only: what follows gets the node's message as previous result too, as a container in
    a chain would; else it gets the node's own previous result.
    """
    previous = node.message if message_only else node.previous
    inputs = (node.message, previous, node.dependencies)
    release_claim(draft, node)
    holder = node
    tail = node.signature
    if node.role == "continuation" and not (tail.success_callbacks or tail.error_callbacks):
        # In tail position: the holder goes on to the next one, and this one is over.
        assert node.parent is not None
        holder = draft.edit(node.parent)
        assert holder.inner is not None
        if holder.inner.continuation >= draft.policy.max_continuations:
            end(draft, node, Status.FAILED, failure=Failure(Cause.LIMIT))
            return
        node.status = Status.DONE
        node.ended_at = draft.now
        draft.effects.ended.append(node.path)
        holder.inner.begun -= 1
        node.slot = False
    else:
        node.inner = Inner()
    inner = holder.inner
    assert inner is not None
    inner.continuation += 1
    path = continuation_path(holder.path, inner.continuation)
    number = inner.continuation
    child = new_node(draft, path, holder, position=number, role="continuation", signature=signature)
    draft.log("continued", holder)
    begin_child(draft, holder, child, inputs)


def sweep(draft: Draft, holder: Node) -> None:
    """Begin what stands in for a reopened node again."""
    assert holder.inner is not None
    child = draft.edit(continuation_path(holder.path, holder.inner.continuation))
    if child.round == holder.generation and child.status is not Status.PENDING:
        return
    if child.status is Status.DONE:
        child.round = holder.generation
        tell(draft, holder, child)
    else:
        begin_child(draft, holder, child, (child.message, child.previous, child.dependencies))


def tell(draft: Draft, holder: Node, child: Node) -> None:
    if holder.ending is not None:
        draft.todo.append(("sweep", holder.path))
        return
    holder.result, holder.carried = child.result, child.carried
    end(draft, holder, child.status, error=child.error)
