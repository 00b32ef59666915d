"""How a node begins and ends, and the loop that carries its end to those around it."""

from __future__ import annotations

from typing import Any

from mageflow_core.machine.draft import Draft, Signal
from mageflow_core.machine.records import Failure, Inner, Mark, Node, Path, Ref, Status
from mageflow_core.names import Role, callback_path, child_path
from mageflow_core.signatures.signature import Signature, SwarmSignature

KEPT_FAILURES = 10  # positions of the first ones

Inputs = tuple[Ref, Ref | None, tuple[tuple[str, Ref], ...]]


def new_node(
    draft: Draft,
    path: Path,
    parent: Node | None,
    *,
    position: int,
    role: Role,
    signature: Signature[Any],
) -> Node:
    above = parent.path if parent else None
    depth = parent.depth + 1 if parent else 1
    return draft.add(Node(path, above, position, role, signature, depth))


def begin(draft: Draft, node: Node, inputs: Inputs) -> None:
    """The node's turn has come: queue it, or wait for the time that its options give."""
    node.message, node.previous, node.dependencies = inputs
    node.status = Status.QUEUED
    node.queued_at = draft.now
    options = node.signature.opts
    if options.eta is not None:
        node.due = options.eta.timestamp()
    elif options.delay:
        node.due = draft.now + options.delay
    if node.signature.kind == "task" and node.inner is None:
        node.attempt += 1
    if node.due is not None and node.due > draft.now:
        draft.at("due", node.path, node.due)
    else:
        activate(draft, node)


def activate(draft: Draft, node: Node) -> None:
    """What has waited for its time goes on."""
    node.due = None
    if node.signature.kind == "task" and node.inner is None:
        draft.send(node)
        return
    node.status = Status.ACTIVE
    node.started_at = draft.now
    if node.inner is None:
        node.inner = Inner(closed=is_closed(node.signature))
    draft.log("begun", node)
    draft.todo.append(("sweep", node.path))


def is_closed(signature: Signature[Any]) -> bool:
    """Whether it takes no items beyond those that it was made with."""
    return (
        not isinstance(signature, SwarmSignature)
        or not signature.open
        or len(signature.items) == signature.max_tasks
    )


def begin_child(draft: Draft, parent: Node, child: Node, inputs: Inputs) -> None:
    """Begin a child, anew where it ended or was left in an earlier generation."""
    if child.status is not Status.PENDING:
        reopen(draft, child)
    child.round = parent.generation
    child.slot = True
    assert parent.inner is not None
    parent.inner.begun += 1
    begin(draft, child, inputs)


def end(
    draft: Draft,
    node: Node,
    status: Status,
    *,
    failure: Failure | None = None,
    error: Path | None = None,
) -> None:
    """The node has ended: due callbacks begin, whoever is above is told.

    `failure` is the node's own; `error` the path of what failed below it.
    """
    if node.status is Status.ACTIVE and node.claim is not None:
        release_claim(draft, node)
    node.status = status
    node.ended_at = draft.now
    node.failure = failure
    node.error = error if error is not None else (node.path if failure else None)
    effects = draft.effects
    if node.due is not None:
        node.due = None
        draft.never("due", node.path)
    if node.mark is Mark.CANCEL:
        draft.never("grace", node.path)
    draft.log(status.value, node, failure.cause.value if failure else "")
    effects.ended.append(node.path)
    if node.role in ("child", "continuation"):
        draft.todo.append(("tell", node.path))
    if node.role == "callback":
        draft.edit_run().callbacks -= 1
    if node.signature.success_callbacks and status is Status.DONE:
        begin_callbacks(draft, node, "success", node.signature.success_callbacks)
    elif node.signature.error_callbacks and status is Status.FAILED:
        begin_callbacks(draft, node, "error", node.signature.error_callbacks)


def release_claim(draft: Draft, node: Node) -> None:
    """The body is no longer this node's concern; containers above count one less."""
    assert node.claim is not None
    if not node.claim.held:
        count_bodies(draft, node, -1)
    node.last_claim = node.claim.id
    node.claim = None
    draft.effects.claims[node.path] = None


def count_bodies(draft: Draft, node: Node, change: int) -> None:
    """Count running bodies in the containers around them, callbacks' owners aside, up to where
    one was reopened meanwhile; a canceled one that has none left ends. Chains do not count: see
    `bodies_below`."""
    left = 1 if change > 0 else 0
    while node.parent is not None and node.role != "callback":
        parent = draft.get(node.parent)
        if node.round != parent.generation:
            return
        node = parent
        if node.signature.kind != "chain":
            node = draft.edit(node.path)
            node.bodies += change
            left = node.bodies
        if left == 0 and node.ending is not None and not node.status.ended:
            # Only after what is above has been told of the body's own end.
            draft.todo.append(("sweep", node.path))


def bodies_below(draft: Draft, node: Node) -> int:
    """Running bodies below a node, callbacks aside. Those of a chain are those of its current
    step: so a claim need not write the chain."""
    while node.signature.kind == "chain":
        if node.inner is None:
            return 0
        step = draft.node(child_path(node.path, node.inner.cursor))
        if step is None or step.round != node.generation:
            return 0
        if step.signature.kind == "task" and step.inner is None:
            return 1 if step.claim is not None and not step.claim.held else 0
        node = step
    return node.bodies


def count_ended(inner: Inner, child: Node) -> None:
    """Count an ended child of a swarm or graph by how it ended."""
    if child.status is Status.DONE:
        inner.done += 1
    elif child.status is Status.FAILED:
        inner.failed += 1
        if len(inner.failures) < KEPT_FAILURES:
            inner.failures += (child.position,)
    else:
        inner.canceled += 1


def begin_callbacks(
    draft: Draft, owner: Node, event: str, signatures: tuple[Signature[Any], ...]
) -> None:
    about = None
    if event == "success":
        assert owner.carried is not None
        inputs: Inputs = (owner.message, owner.carried, ())
    else:
        failed = draft.get(owner.error or owner.path)
        assert failed.failure is not None
        about = (failed.path, failed.failure)
        used = failed.previous if failed.used_previous else None
        inputs = (failed.message if used is None else used, None, ())
    run = draft.edit_run()
    for number, signature in enumerate(signatures):
        path = callback_path(owner.path, event, number, owner.generation)
        run.callbacks += 1
        callback = new_node(
            draft, path, owner, position=number, role="callback", signature=signature
        )
        callback.about = about
        begin(draft, callback, inputs)


def stop(draft: Draft, node: Node, ending: Status, failure: Failure | None = None) -> None:
    """End a node as `ending`: at once if no body runs, else when those bodies have stopped."""
    runs = node.status is Status.ACTIVE and (node.inner is None or bodies_below(draft, node) > 0)
    set_mark(draft, node, Mark.CANCEL)
    if not runs:
        if node.claim is not None:  # a timed out thread: it can no longer change anything
            release_claim(draft, node)
        draft.withdraw(node.path)
        end(draft, node, ending, failure=failure)
        return
    node.ending = ending
    node.failure = failure
    draft.effects.signals.append(Signal(node.path, Mark.CANCEL))
    draft.at("grace", node.path, draft.now + draft.policy.cancel_grace)
    draft.log("canceling", node)


def set_mark(draft: Draft, node: Node, mark: Mark | None) -> None:
    if (node.mark is None) != (mark is None):
        draft.edit_run().marks += 1 if mark is not None else -1
    if node.mark in (Mark.SUSPEND, Mark.INTERRUPT) and mark not in (Mark.SUSPEND, Mark.INTERRUPT):
        # Also before a cancel: it holds back no callbacks that were parked here.
        draft.at("unpark", node.path, draft.now)
    node.mark = mark


def reopen(draft: Draft, node: Node) -> None:
    """Make a node of an earlier generation pending again; what is done below keeps its result.

    Only the node itself: its children follow when its sweep comes to them.
    """
    if node.mark is Mark.CANCEL:
        set_mark(draft, node, None)
        draft.never("grace", node.path)
    if node.claim is not None:  # a zombie's: its fence no longer matches anything
        node.claim = node.last_claim = None
        draft.effects.claims[node.path] = None
    if below := bodies_below(draft, node):  # likewise
        count_bodies(draft, node, -below)
    draft.withdraw(node.path)
    if node.due is not None:
        node.due = None
        draft.never("due", node.path)
    node.generation += 1
    node.status = Status.PENDING
    node.ending = node.failure = node.error = None
    node.value = node.result = node.carried = None
    node.used_previous = False
    node.started_at = node.ended_at = None
    node.attempts_before = node.attempt
    node.crashes = node.bodies = 0
    inner = node.inner
    if inner is not None:
        # A chain goes on where it stood; the others look at all their children again.
        cursor = inner.cursor if node.signature.kind == "chain" else 0
        node.inner = Inner(
            cursor=cursor,
            telling=inner.telling,
            closed=inner.closed,
            added=inner.added,
            continuation=inner.continuation,
        )


def child_node(draft: Draft, parent: Node, position: int) -> Node | None:
    return draft.node(child_path(parent.path, segment(parent, position)))


def edit_child(draft: Draft, parent: Node, position: int) -> Node:
    """The child at a position, for changing; made if nothing is stored of it yet."""
    path = child_path(parent.path, segment(parent, position))
    if draft.node(path) is not None:
        return draft.edit(path)
    signature = signature_at(draft, parent, position)
    return new_node(draft, path, parent, position=position, role="child", signature=signature)


def segment(parent: Node, position: int) -> int | str:
    order: tuple[str, ...] | None = getattr(parent.signature, "order", None)
    return order[position] if order is not None else position


def signature_at(draft: Draft, parent: Node, position: int) -> Signature[Any]:
    signature: Any = parent.signature
    if signature.kind == "chain":
        step: Signature[Any] = signature.steps[position]
        return step
    if signature.kind == "graph":
        node: Signature[Any] = signature.nodes[signature.order[position]]
        return node
    if position < len(signature.items):
        item: Signature[Any] = signature.items[position]
        return item
    return draft.added_item(parent.path, position - len(signature.items))
