"""Items for an open swarm, and its closing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mageflow_core.machine.above import look_above
from mageflow_core.machine.containers import work_off
from mageflow_core.machine.draft import Added, Draft
from mageflow_core.machine.locating import locate
from mageflow_core.machine.records import Inner, Node, Path
from mageflow_core.machine.swarm import stopping
from mageflow_core.signatures.signature import Signature, SwarmSignature


class Refusal(StrEnum):
    NO_SUCH_NODE = "no such node"
    NOT_A_SWARM = "not a swarm"
    CLOSED = "closed"
    FULL = "full"  # of max_tasks
    TOO_LARGE = "too large"  # for max_nodes


@dataclass(frozen=True, slots=True)
class Add:
    """id: made by the caller; asked again with it, the call is answered as before."""

    path: Path
    id: str
    items: tuple[Signature[Any], ...]


def add(draft: Draft, request: Add) -> tuple[int, ...] | Refusal:
    """Append items to a swarm; gives their positions. All of them are taken, or none."""
    node, signature, refusal = open_swarm(draft, request.path)
    if node is None or signature is None:
        draft.discard()
        return refusal
    before = draft.stored.added_before(node.path, request.id)
    if before is not None:
        draft.discard()
        return tuple(range(before[0], before[0] + before[1]))
    inner = node.inner
    if inner is not None and (inner.closed or stopping(node)):
        draft.discard()
        return Refusal.CLOSED
    if node.status.ended or look_above(draft, node).forbids or not signature.open:
        draft.discard()
        return Refusal.CLOSED
    if inner is None:
        inner = node.inner = Inner(closed=False)
    first = len(signature.items) + inner.added
    size = first + len(request.items)
    if signature.max_tasks is not None and size > signature.max_tasks:
        draft.discard()
        return Refusal.FULL
    if size > draft.policy.max_nodes:
        draft.discard()
        return Refusal.TOO_LARGE
    draft.effects.added.append(Added(node.path, request.id, inner.added, request.items))
    inner.added += len(request.items)
    if size == signature.max_tasks:
        inner.closed = True
    draft.never("idle", node.path)
    draft.todo.append(("sweep", node.path))
    work_off(draft)
    return tuple(range(first, size))


def close(draft: Draft, path: Path) -> Refusal | None:
    """The swarm takes no more items and ends with those it has. Closing twice is no error."""
    node, signature, refusal = open_swarm(draft, path)
    if node is None or signature is None:
        draft.discard()
        return refusal
    if node.status.ended or (node.inner is not None and node.inner.closed):
        draft.discard()
        return None
    if node.inner is None:
        node.inner = Inner()
    node.inner.closed = True
    draft.never("idle", node.path)
    draft.todo.append(("sweep", node.path))
    work_off(draft)
    return None


def open_swarm(draft: Draft, path: Path) -> tuple[Node | None, SwarmSignature[Any] | None, Refusal]:
    node = locate(draft, path)
    if node is None:
        return None, None, Refusal.NO_SUCH_NODE
    while node.inner is not None and node.inner.continuation:
        node = draft.edit(f"{node.path}~{node.inner.continuation}")
    if not isinstance(node.signature, SwarmSignature):
        return None, None, Refusal.NOT_A_SWARM
    return node, node.signature, Refusal.CLOSED
