"""Graphs: named nodes, each begins when all that it depends on are done."""

from __future__ import annotations

from mageflow_core.failure import Cause
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import (
    Inputs,
    begin_child,
    child_node,
    count_ended,
    edit_child,
    end,
)
from mageflow_core.machine.records import Failure, Inner, Node, Status
from mageflow_core.names import child_path
from mageflow_core.signatures.signature import GraphSignature


def of(graph: Node) -> tuple[GraphSignature[object], Inner]:
    assert isinstance(graph.signature, GraphSignature)
    assert graph.inner is not None
    return graph.signature, graph.inner


def needs(graph: Node, position: int) -> tuple[str, ...]:
    signature, _ = of(graph)
    return signature.depends_on.get(signature.order[position], ())


def is_ready(graph: Node, node: Node) -> bool:
    """Whether all that it depends on are done."""
    return node.told == len(needs(graph, node.position))


def stopping(graph: Node) -> bool:
    """Whether nothing further may begin."""
    signature, inner = of(graph)
    return signature.on_failure == "stop" and bool(inner.failed or inner.canceled)


def sweep(draft: Draft, graph: Node) -> None:
    """Look at every node once a generation, tell dependents, begin those that are ready."""
    if not (look_at_all(draft, graph) and tell_dependents(draft, graph)):
        draft.at("sweep", graph.path, draft.now)
        return
    signature, inner = of(graph)
    limit = signature.max_concurrency or len(signature.order)
    while inner.ready and inner.begun < limit and not stopping(graph):
        if not draft.has_room:
            draft.at("sweep", graph.path, draft.now)
            return
        position, inner.ready = inner.ready[0], inner.ready[1:]
        node = edit_child(draft, graph, position)
        if not (node.status.ended and node.round == graph.generation):
            begin_child(draft, graph, node, inputs(draft, graph, position))
    finish(draft, graph)


def tell_dependents(draft: Draft, graph: Node) -> bool:
    """Count a done node in those that wait for it; False where the step gets too wide."""
    signature, inner = of(graph)
    while inner.telling:
        position, told = inner.telling[0]
        dependents = signature.dependents.get(signature.order[position], ())
        while told < len(dependents):
            if not draft.has_room:
                inner.telling = ((position, told), *inner.telling[1:])
                return False
            waiting = edit_child(draft, graph, dependents[told])
            waiting.told += 1
            told += 1
            if is_ready(graph, waiting) and waiting.position < inner.cursor:
                inner.ready += (waiting.position,)
        inner.telling = inner.telling[1:]
    return True


def look_at_all(draft: Draft, graph: Node) -> bool:
    """Find what is ready from the start, and count what is over already."""
    signature, inner = of(graph)
    while inner.cursor < len(signature.order):
        if not draft.has_room:
            return False
        draft.looked += 1
        position = inner.cursor
        node = child_node(draft, graph, position)
        told = node.told if node is not None else 0
        if node is not None and node.status is Status.DONE:
            count_ended(inner, node)
            if node.slot:  # it ended when the graph had, so nobody was told
                draft.edit(node.path).slot = False
                inner.telling += ((position, 0),)
        elif node is not None and node.status.ended and node.round == graph.generation:
            count_ended(inner, node)
        elif told == len(needs(graph, position)):
            inner.ready += (position,)
        inner.cursor += 1
    return True


def tell(draft: Draft, graph: Node, node: Node) -> None:
    _, inner = of(graph)
    if node.position < inner.cursor:
        count_ended(inner, node)
    if node.status is Status.DONE:
        inner.telling += ((node.position, 0),)
    draft.todo.append(("sweep", graph.path))


def inputs(draft: Draft, graph: Node, position: int) -> Inputs:
    """A node without dependencies gets what the graph got; another the graph's message and the
    results that it waited for, by name."""
    names = needs(graph, position)
    if not names:
        return graph.message, graph.previous, graph.dependencies
    return graph.message, None, tuple((name, _result(draft, graph, name)) for name in names)


def _result(draft: Draft, graph: Node, name: str) -> str:
    result = draft.get(child_path(graph.path, name)).result
    assert result is not None
    return result


def finish(draft: Draft, graph: Node) -> None:
    """End the graph if nothing runs and nothing further can begin."""
    _, inner = of(graph)
    if inner.begun or graph.status.ended or (inner.ready and not stopping(graph)):
        return
    if inner.failed:
        end(draft, graph, Status.FAILED, failure=Failure(Cause.GRAPH))
    elif inner.canceled:
        end(draft, graph, Status.CANCELED)
    else:
        graph.result = graph.carried = graph.path
        end(draft, graph, Status.DONE)
