"""What people are shown of a node: its status as the nodes around it make it."""

from __future__ import annotations

from mageflow_core.machine.above import look_above
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import bodies_below, child_node
from mageflow_core.machine.records import Mark, Node, Status
from mageflow_core.signatures.signature import GraphSignature


def shown(draft: Draft, node: Node) -> Status:
    if node.status.ended:
        return node.status
    above = look_above(draft, node)
    over = ended_above(draft, node)
    if over is not None:
        never_began = node.status is Status.PENDING
        return Status.SKIPPED if never_began and over.status is Status.FAILED else Status.CANCELED
    if above.over:  # reopened above, and its turn comes again
        return Status.PENDING
    if above.mark is Mark.CANCEL:
        running = node.status is Status.ACTIVE and node.signature.kind == "task"
        runs = running or bodies_below(draft, node)
        return Status.CANCELING if runs or node.ending else Status.CANCELED
    # No mark keeps it from being over: who waits for it is told when what it needs has ended, and
    # not when a mark is taken away.
    if node.status is Status.PENDING and is_skipped(draft, node):
        return Status.SKIPPED
    if above.mark is Mark.INTERRUPT:
        return Status.INTERRUPTED
    if above.mark is Mark.SUSPEND:
        return Status.SUSPENDED
    return node.status


def ended_above(draft: Draft, node: Node) -> Node | None:
    """The innermost container above that has ended, callbacks' owners aside."""
    while node.parent is not None and node.role != "callback":
        node = draft.get(node.parent)
        if node.status.ended:
            return node
    return None


def is_skipped(draft: Draft, node: Node) -> bool:
    """Whether a graph still runs, but this node of it never will: what it needs has failed."""
    if node.parent is None or node.role != "child":
        return False
    graph = draft.get(node.parent)
    signature = graph.signature
    if not isinstance(signature, GraphSignature):
        return False
    looked_at: set[int] = set()
    waiting = [node.position]
    while waiting:
        position = waiting.pop()
        for name in signature.depends_on.get(signature.order[position], ()):
            other = signature.order.index(name)
            if other in looked_at:
                continue
            looked_at.add(other)
            needed = child_node(draft, graph, other)
            if needed is not None and needed.status in (Status.FAILED, Status.CANCELED):
                return True
            waiting.append(other)
    return False
