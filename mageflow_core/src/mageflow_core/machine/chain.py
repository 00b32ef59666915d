"""Chains: steps in order, the first failure ends it."""

from __future__ import annotations

from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import (
    Inputs,
    begin_child,
    child_node,
    edit_child,
    end,
    signature_at,
    stop,
)
from mageflow_core.machine.records import Node, Status


def sweep(draft: Draft, chain: Node) -> None:
    """Begin the current step, unless it has begun; pass over those that are done."""
    inner = chain.inner
    assert inner is not None
    steps = len(chain.signature.children)
    while inner.cursor < steps:
        step = child_node(draft, chain, inner.cursor)
        current = step is not None and step.round == chain.generation
        if step is not None and step.status is Status.DONE:
            inner.cursor += 1
        elif step is not None and current and step.status is Status.CANCELED:
            stop(draft, chain, Status.CANCELED)
            return
        elif step is not None and current and step.status is not Status.PENDING:
            return
        else:
            begin_child(draft, chain, edit_child(draft, chain, inner.cursor), inputs(draft, chain))
            return
    last = child_node(draft, chain, steps - 1)
    assert last is not None
    chain.result, chain.carried = last.result, last.carried
    end(draft, chain, Status.DONE)


def tell(draft: Draft, chain: Node, step: Node) -> None:
    if chain.ending is not None:
        draft.todo.append(("sweep", chain.path))
    elif step.status is Status.FAILED:
        end(draft, chain, Status.FAILED, error=step.error)
    elif step.status is Status.CANCELED:
        stop(draft, chain, Status.CANCELED)
    else:
        draft.todo.append(("sweep", chain.path))


def inputs(draft: Draft, chain: Node) -> Inputs:
    """The first step gets what the chain got; a later one the chain's message and the previous
    result; a container there has that result as its message too."""
    assert chain.inner is not None
    cursor = chain.inner.cursor
    if cursor == 0:
        return chain.message, chain.previous, chain.dependencies
    before = child_node(draft, chain, cursor - 1)
    assert before is not None
    assert before.carried is not None
    if signature_at(draft, chain, cursor).kind == "task":
        return chain.message, before.carried, ()
    return before.carried, before.carried, ()
