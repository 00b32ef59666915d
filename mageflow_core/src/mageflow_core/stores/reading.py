"""What is read of a run: views, values and errors, put together from its records."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mageflow_core.failure import Cause, ErrorInfo
from mageflow_core.machine import Draft, Failure, Mark, Node, Status, locate, shown
from mageflow_core.machine.above import look_above
from mageflow_core.machine.lifecycle import child_node, segment
from mageflow_core.machine.records import MESSAGE
from mageflow_core.names import callback_path, child_path, continuation_path
from mageflow_core.signatures.signature import GraphSignature
from mageflow_core.stores.protocol import Input, NodeView, RunView, Work

NULL = "null"

TEXTS = {
    Cause.WORKER_LOST: (
        "WorkerLost",
        (
            "the workers that ran this task died {crashes} times: look for what kills the process "
            "(memory, a native crash), then retry it"
        ),
    ),
    Cause.UNKNOWN_TASK: (
        "UnknownTask",
        "no live worker knows task {task!r}: start one that does, or check the name, then retry",
    ),
    Cause.DEADLINE: (
        "DeadlineExceeded",
        "the deadline of the run passed: give it more time, or make it do less",
    ),
    Cause.LIMIT: (
        "TooManyContinuations",
        (
            "the task was continued more than max_continuations times: end the loop earlier, or "
            "raise that setting"
        ),
    ),
    Cause.SWARM: ("SwarmFailed", "{failed} of {total} items of the swarm failed"),
    Cause.GRAPH: ("GraphFailed", "{failed} of {total} nodes of the graph failed"),
}


# --- values ---------------------------------------------------------------------------------
def value_text(draft: Draft, ref: str | None) -> str | None:
    """The JSON text behind a ref. Texts are joined, never decoded."""
    if ref is None:
        return None
    if ref == MESSAGE:
        return draft.run.message
    node = draft.get(ref)
    if node.value is not None:
        return node.value
    signature = node.signature
    if isinstance(signature, GraphSignature):
        parts = []
        for name in signature.order:
            if not signature.dependents.get(name):
                result = draft.get(child_path(node.path, name)).result
                parts.append(f"{json.dumps(name)}:{value_text(draft, result) or NULL}")
        return "{" + ",".join(parts) + "}"
    return "[" + ",".join(item_texts(draft, node, 0, child_count(node))) + "]"


def item_texts(draft: Draft, swarm: Node, first: int, count: int) -> Iterator[str]:
    """Results of a swarm's items; null where there is none."""
    for position in range(first, min(first + count, child_count(swarm))):
        item = child_node(draft, swarm, position)
        done = item is not None and item.status is Status.DONE
        yield (value_text(draft, item.result) if done and item else None) or NULL


def child_count(node: Node) -> int:
    signature = node.signature
    if isinstance(signature, GraphSignature):  # whose nodes are read one by one
        return len(signature.order)
    return len(signature.children) + (node.inner.added if node.inner else 0)


# --- errors ---------------------------------------------------------------------------------
def error_info(draft: Draft, node: Node) -> ErrorInfo | None:
    """The failure of a node, taken from where it happened."""
    failed = draft.node(node.error) if node.error is not None else node
    if failed is None or failed.failure is None:
        return None
    return _info(draft, failed, failed.failure, None)


def _info(draft: Draft, node: Node, failure: Failure, owner: str | None) -> ErrorInfo:
    if failure.data is not None:
        return replace(ErrorInfo.from_json(json.loads(failure.data)), owner=owner)
    return _made_here(draft, node, failure, owner)


def _made_here(draft: Draft, node: Node, failure: Failure, owner: str | None) -> ErrorInfo:
    inner = node.inner
    below = []
    for position in inner.failures if inner else ():
        child = child_node(draft, node, position)
        found = error_info(draft, child) if child is not None else None
        if found is not None:
            below.append(found)
    name, text = TEXTS[failure.cause]
    failed = inner.failed if inner else 0
    task = getattr(node.signature, "task", None)
    message = text.format(crashes=node.crashes, task=task, failed=failed, total=child_count(node))
    if below:
        message += f"; the first: {below[0]}"
    return ErrorInfo(
        cause=failure.cause,
        type=f"mageflow.{name}",
        message=message,
        task=task,
        key=draft.run.id + node.path,
        attempts=node.attempt - node.attempts_before,
        owner=owner,
        failed=failed,
        failures=tuple(below),
    )


# --- views ----------------------------------------------------------------------------------
def ended_children(draft: Draft, node: Node) -> tuple[int, int, int, tuple[int, ...]]:
    """How many are done, failed and canceled, and the positions of the first failed ones. A
    chain keeps only where it stands."""
    inner = node.inner
    if inner is None:
        return 0, 0, 0, ()
    if node.signature.kind != "chain":
        return inner.done, inner.failed, inner.canceled, inner.failures
    goes_on = inner.cursor < child_count(node)
    step = child_node(draft, node, inner.cursor) if goes_on else None
    current = step is not None and step.round == node.generation
    failed = current and step is not None and step.status is Status.FAILED
    canceled = current and step is not None and step.status is Status.CANCELED
    return inner.cursor, int(failed), int(canceled), (inner.cursor,) if failed else ()


def node_view(draft: Draft, node: Node) -> NodeView:
    inner = node.inner
    done, failed, canceled, failures = ended_children(draft, node)
    return NodeView(
        key=draft.run.id + node.path,
        kind=node.signature.kind,
        status=shown(draft, node),
        task=getattr(node.signature, "task", None),
        name=node.signature.name,
        role=node.role,
        labels=node.signature.labels,
        attempt=node.attempt - node.attempts_before,
        generation=node.generation,
        crashes=node.crashes,
        depth=node.depth,
        children=child_count(node),
        begun=inner.begun if inner else 0,
        done=done,
        failed=failed,
        canceled=canceled,
        failures=failures,
        queued_at=node.queued_at,
        started_at=node.started_at,
        ended_at=node.ended_at,
        due_at=node.due,
        worker=node.worker,
        error=error_info(draft, node) if node.status is not Status.DONE else None,
    )


def run_view(draft: Draft) -> RunView:
    run = draft.run
    return RunView(
        id=run.id,
        root=node_view(draft, draft.get("")),
        signature=run.signature,
        message=run.message,
        created_at=run.created_at,
        started_at=run.started_at,
        settled_at=run.settled_at,
        deadline=run.deadline,
        start_key=run.start_key,
        alias_of=run.alias_of,
    )


def child_views(draft: Draft, node: Node, first: int, count: int) -> list[NodeView]:
    """Children by position, then continuations, then callbacks of this generation."""
    return [located_view(draft, path) for path in child_paths(draft, node, first, count)]


def located_view(draft: Draft, path: str) -> NodeView:
    """The view of a node that is known to be a part of the run."""
    node = locate(draft, path)
    assert node is not None, f"{draft.run.id}{path} is no part of the run"
    return node_view(draft, node)


def child_paths(draft: Draft, node: Node, first: int, count: int) -> list[str]:
    total = child_count(node)
    paths = [
        child_path(node.path, segment(node, position))
        for position in range(first, min(first + count, total))
    ]
    stored = [path for path in other_paths(node) if draft.node(path) is not None]
    return paths + stored[max(0, first - total) : max(0, first + count - total)]


def other_paths(node: Node) -> list[str]:
    """Of continuations and callbacks: of some of these nothing is stored."""
    paths = [
        continuation_path(node.path, n + 1)
        for n in range(node.inner.continuation if node.inner else 0)
    ]
    for event, callbacks in (
        ("success", node.signature.success_callbacks),
        ("error", node.signature.error_callbacks),
    ):
        for generation in range(1, node.generation + 1):
            paths += [
                callback_path(node.path, event, number, generation)
                for number in range(len(callbacks))
            ]
    return paths


# --- work -----------------------------------------------------------------------------------
def work_of(draft: Draft, node: Node) -> Work:
    """What the worker that was granted a claim needs to run the body."""
    assert node.claim is not None
    run = draft.run
    arguments, top = surroundings(draft, node)
    previous = node.previous
    error = report = None
    if top.role == "callback":
        owner = draft.get(top.parent or "")
        if top.about is not None:
            failed, failure = top.about
            error = _info(draft, draft.get(failed), failure, run.id + owner.path)
        if owner.signature.kind == "swarm":
            report = run.id + owner.path
    if report is None and previous is not None and is_swarm(draft, previous):
        report = run.id + previous
    return Work(
        key=run.id + node.path,
        claim=node.claim.id,
        fence=node.fence,
        attempt=node.attempt - node.attempts_before,
        generation=node.generation,
        depth=node.depth,
        signature=node.signature,
        labels=node.signature.labels or run.signature.labels,
        input=Input(
            message=value_text(draft, node.message) or NULL,
            previous=value_text(draft, previous),
            dependencies={name: value_text(draft, ref) or NULL for name, ref in node.dependencies},
            arguments=arguments,
            error=error,
            report_of=report,
        ),
    )


def is_swarm(draft: Draft, ref: str) -> bool:
    return ref != MESSAGE and draft.get(ref).signature.kind == "swarm"


def surroundings(draft: Draft, node: Node) -> tuple[tuple[Mapping[str, Any], ...], Node]:
    """What is bound on the containers around a node, outermost first, and the callback or root
    that it is part of. A task that was replaced by a continuation is no container: what was
    bound to it was for its body."""
    found: list[Mapping[str, Any]] = []
    while node.parent is not None and node.role != "callback":
        node = draft.get(node.parent)
        if node.signature.args and node.signature.kind != "task":
            found.append(node.signature.args)
    return tuple(reversed(found)), node


def holds(draft: Draft, path: str, claim: str) -> bool:
    """Whether a claim still counts, and no mark tells its body to stop."""
    node = draft.node(path)
    if node is None or node.claim is None or node.claim.id != claim or node.claim.held:
        return False
    above = look_above(draft, node)
    return not above.over and above.mark in (None, Mark.SUSPEND)


def source(draft: Draft, node: Node) -> Node:
    """The node that made this one's result; itself where it has none."""
    while node.result is not None and node.result != node.path:
        node = draft.get(node.result)
    return node


def texts(draft: Draft, path: str, first: int, count: int) -> Sequence[str]:
    return list(item_texts(draft, source(draft, draft.get(path)), first, count))
