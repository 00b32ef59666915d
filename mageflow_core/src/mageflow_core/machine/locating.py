"""Find a node by its path, also one that nothing is stored of yet."""

from __future__ import annotations

import re

from mageflow_core.machine.draft import Draft
from mageflow_core.machine.lifecycle import edit_child
from mageflow_core.machine.records import Node, Path, Status

SEGMENT = re.compile(r"/[^/~]+|~[0-9]+")


def locate(draft: Draft, path: Path) -> Node | None:
    """The node at `path`, stored as pending if its turn has not come; `None` if the run has no
    such node. Callbacks and continuations are there only once they are due."""
    if draft.node(path) is not None:
        node = draft.edit(path)
        if node.status is Status.PENDING and node.role == "child":
            # Said something about in an earlier generation; its turn comes in this one.
            node.round = draft.get(node.parent or "").generation
        return node
    segments = SEGMENT.findall(path)
    if "".join(segments) != path or not segments or segments[-1].startswith(("/!", "~")):
        return None
    parent = locate(draft, path[: -len(segments[-1])])
    if parent is None or parent.signature.kind == "task":
        return None
    position = position_of(parent, segments[-1][1:])
    if position is None:
        return None
    child = edit_child(draft, parent, position)
    child.round = parent.generation
    return child


def position_of(parent: Node, segment: str) -> int | None:
    signature = parent.signature
    order: tuple[str, ...] | None = getattr(signature, "order", None)
    if order is not None:
        return order.index(segment) if segment in order else None
    count = len(signature.children) + (parent.inner.added if parent.inner else 0)
    position = int(segment) if segment.isdecimal() else count
    return position if position < count and str(position) == segment else None
