"""Retry by hand: what failed or was canceled runs again, as a new generation."""

from __future__ import annotations

from mageflow_core.machine import graph
from mageflow_core.machine.above import look_above
from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import begin, reopen
from mageflow_core.machine.records import Mark, Node, Status


def retry(draft: Draft, node: Node) -> str | None:
    """Reopen a node and its ended containers; gives why not, if it cannot be.

    What failed, was canceled or skipped below a reopened container is pending again; what is
    done keeps its result.
    """
    containers = containers_above(draft, node)
    ended = [container for container in containers if container.status.ended]
    top = draft.edit(ended[-1].path) if ended else node
    refusal = refuse(draft, node, ended) or refuse_below(draft, top)
    if refusal is not None:
        return refusal
    run = draft.edit_run()
    run.reopened += 1
    if run.settled_at is not None:
        run.settled_at = None
        draft.never("expire", "")
    was = top.status
    reopen(draft, top)
    if top.parent is not None and top.role != "callback":
        await_turn(draft, draft.edit(top.parent), top, was)
    else:
        begin_again(draft, top)
    return None


def refuse(draft: Draft, node: Node, ended: list[Node]) -> str | None:
    """Why a node cannot run again, whatever is above it that still runs."""
    for container in ended:
        if container.status is Status.DONE:
            return f"{draft.run.id}{container.path} above it is done, and its result was used"
    retriable = node.status in (Status.FAILED, Status.CANCELED)
    if node.status is Status.DONE or not (ended or retriable):
        return f"it is {node.status.value}: only what failed or was canceled can run again"
    return None


def refuse_below(draft: Draft, top: Node) -> str | None:
    """Why the container that still runs around `top` would not begin it."""
    if top.parent is None or top.role == "callback":
        return None
    parent = draft.get(top.parent)
    above = look_above(draft, parent)
    if above.mark is Mark.CANCEL:
        return "a container above it is being canceled"
    if above.over or top.round != parent.generation:
        return "a container above it was retried, and its turn comes again"
    return None


def begin_again(draft: Draft, top: Node) -> None:
    """A root or callback: nothing above it has a turn to give."""
    run = draft.edit_run()
    inputs = (top.message, top.previous, top.dependencies)
    if top.role == "callback":
        run.callbacks += 1
    elif run.start_id is None:  # canceled before it was started: it can be, now
        draft.at("expire", "", draft.now + draft.policy.pending_ttl)
        return
    elif top.signature.opts.deadline is not None:
        run.deadline = draft.now + top.signature.opts.deadline
        draft.at("deadline", "", run.deadline)
    begin(draft, top, inputs)


def containers_above(draft: Draft, node: Node) -> list[Node]:
    """Innermost first; not beyond a callback, which changes nothing for its owner."""
    found = []
    while node.parent is not None and node.role != "callback":
        node = draft.get(node.parent)
        found.append(node)
    return found


def await_turn(draft: Draft, parent: Node, child: Node, was: Status) -> None:
    """The container still runs: the child takes its turn there again."""
    inner = parent.inner
    if inner is None or parent.status is not Status.ACTIVE:
        return  # its turn will come
    if child.slot:  # the container has not been told of its end yet
        child.slot = False
        inner.begun -= 1
    elif child.position >= inner.cursor:
        return  # it was canceled ahead of its turn, which will come
    elif was is Status.FAILED:
        inner.failed -= 1
        inner.failures = tuple(p for p in inner.failures if p != child.position)
    else:
        inner.canceled -= 1
    kind = parent.signature.kind
    ready = kind == "swarm" or (kind == "graph" and graph.is_ready(parent, child))
    if ready and child.position not in inner.ready:
        inner.ready += (child.position,)
    draft.todo.append(("sweep", parent.path))
