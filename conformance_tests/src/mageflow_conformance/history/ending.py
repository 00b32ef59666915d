"""G1: what was started ends."""

from __future__ import annotations

from collections.abc import Iterator

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.evidence import Evidence


def check_ending(evidence: Evidence) -> Iterator[Broken]:
    root = evidence.root
    if not root.view.status.ended:
        yield Broken("G1", root.key, f"it has not ended: {root.view.status}")
    if not evidence.settled:
        yield Broken("G1", root.key, "it is not settled")
    for node in root.walk():
        if not node.view.status.ended:
            yield Broken("G1", node.key, f"left behind as {node.view.status}")
