"""What the nodes above say of one: the strongest mark on its path, and whether it is over there."""

from __future__ import annotations

from typing import NamedTuple

from mageflow_core.machine.draft import Draft
from mageflow_core.machine.records import STRENGTH, Mark, Node, Path


class Above(NamedTuple):
    """mark, marked: the strongest mark and the node that has it. over: a container above has
    ended, or has been reopened and not come to this branch yet."""

    mark: Mark | None
    marked: Path
    over: bool

    @property
    def forbids(self) -> bool:
        """Nothing below may begin, now or later."""
        return self.over or self.mark is Mark.CANCEL


NOTHING_ABOVE = Above(None, "", over=False)


def look_above(draft: Draft, node: Node) -> Above:
    """The node's own mark counts too. A callback obeys suspend and interrupt of its owner and
    what is above that, but neither their cancels nor their ends."""
    run = draft.run
    if not run.marks and not run.reopened:
        return NOTHING_ABOVE
    mark: Mark | None = None
    marked = ""
    over = crossed = False
    while True:
        if (
            node.mark is not None
            and not (crossed and node.mark is Mark.CANCEL)
            and (mark is None or STRENGTH[node.mark] > STRENGTH[mark])
        ):
            mark, marked = node.mark, node.path
        if node.parent is None:
            return Above(mark, marked, over)
        parent = draft.get(node.parent)
        if node.role == "callback":
            crossed = True
        elif not crossed:
            over = over or parent.status.ended or node.round != parent.generation
        node = parent
