"""G3: what stands is what the last claim has said."""

from __future__ import annotations

from collections.abc import Iterator

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.evidence import Evidence
from mageflow_conformance.witness import BEGUN, ENDED
from mageflow_core.machine import Status
from mageflow_core.names import split_key


def check_fences(evidence: Evidence) -> Iterator[Broken]:
    ended_by = {e.path: e.worker for e in evidence.events if e.what == "done" and e.worker}
    for node in evidence.root.walk():
        rows = evidence.bodies.get(node.key, [])
        begun = [row for row in rows if row.what == BEGUN]
        if node.view.status is not Status.DONE or not begun:
            continue
        last = max(begun, key=lambda row: row.fence or 0)
        if any(each.view.role == "continuation" for each in node.below):
            continue  # what it ended with is another's
        if not any(row.what == ENDED and row.fence == last.fence for row in rows):
            yield Broken("G3", node.key, f"it is done, but the body of fence {last.fence} is not")
        if node.view.worker != last.worker:
            yield Broken(
                "G3",
                node.key,
                f"it is said to be done by {node.view.worker}, but fence {last.fence}, the last "
                f"one, was that of {last.worker}",
            )
        path = split_key(node.key)[1]
        if ended_by.get(path, last.worker) != last.worker:
            yield Broken(
                "G3",
                node.key,
                f"{ended_by[path]} has ended it, but the last claim was that of {last.worker}",
            )
