"""What each kind of container does when it goes on, and when a child has ended.

`sweep` begins what can begin and ends the container when nothing is left; it stops where a step
gets too wide, and goes on by a timer. `tell` takes in that a child has ended.
"""

from __future__ import annotations

from mageflow_core.machine import chain, continuation, graph, swarm
from mageflow_core.machine.above import look_above
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import bodies_below, end
from mageflow_core.machine.records import Node, Status


def work_off(draft: Draft) -> None:
    """Carry on with what this step has made due; what does not fit into it goes to timers."""
    while draft.todo:
        kind, path = draft.todo.popleft()
        # That a slot is still held shows that the container was not told: a child that never had
        # one (canceled ahead of its turn) is told of at once.
        if not draft.has_room and (kind == "sweep" or draft.get(path).slot):
            draft.at(kind, path, draft.now)
        elif kind == "tell":
            tell(draft, draft.get(path))
        else:
            sweep(draft, path)
    settle(draft)


def sweep(draft: Draft, path: str) -> None:
    stored = draft.get(path)
    if stored.status is not Status.ACTIVE or stored.inner is None:
        return
    if stored.ending is not None:
        if bodies_below(draft, stored) == 0 and not look_above(draft, stored).over:
            end(draft, draft.edit(path), stored.ending, failure=stored.failure)
        return
    if look_above(draft, stored).forbids:
        return
    node = draft.edit(path)
    if node.inner is not None and node.inner.continuation:
        continuation.sweep(draft, node)
    elif node.signature.kind == "chain":
        chain.sweep(draft, node)
    elif node.signature.kind == "swarm":
        swarm.sweep(draft, node)
    else:
        graph.sweep(draft, node)


def tell(draft: Draft, child: Node) -> None:
    """Tell the container of a child that has ended, once, and only in its own generation."""
    assert child.parent is not None
    if not child.status.ended or child.round != draft.get(child.parent).generation:
        return
    parent = draft.edit(child.parent)
    if parent.inner is None or parent.status.ended:
        return
    if child.slot:
        draft.edit(child.path).slot = False
        parent.inner.begun -= 1
    if parent.status is not Status.ACTIVE:
        return  # it was canceled before its container began, whose sweep will meet it
    if look_above(draft, parent).over:
        return  # told too late: what is above has ended meanwhile, and all of this with it
    if parent.inner.continuation:
        continuation.tell(draft, parent, child)
    elif parent.signature.kind == "chain":
        chain.tell(draft, parent, child)
    elif parent.signature.kind == "swarm":
        swarm.tell(draft, parent, child)
    else:
        graph.tell(draft, parent, child)


def settle(draft: Draft) -> None:
    """When the root has ended and no callback is left, the time to live begins."""
    run = draft.run
    if run.settled_at is None and run.callbacks == 0 and draft.get("").status.ended:
        run = draft.edit_run()
        run.settled_at = draft.now
        draft.never("deadline", "")
        draft.at("expire", "", draft.now + run.ttl)
        draft.effects.settled = True
