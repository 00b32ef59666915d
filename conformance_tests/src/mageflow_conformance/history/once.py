"""G2: a body runs again only after a crash or a lost lease; everything else happens once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from mageflow_conformance.history.broken import Broken
from mageflow_conformance.history.evidence import OVER, Evidence, Told
from mageflow_conformance.ledger import Row
from mageflow_conformance.processes.process import FROZEN, KILLED
from mageflow_conformance.witness import BEGUN, LOST, STOPPED
from mageflow_core.machine import Status
from mageflow_core.names import callback_path, is_below, key_of, split_key

ENDINGS = (Status.DONE, Status.FAILED, Status.CANCELED, Status.SKIPPED)
ONCE = frozenset({"started", "begun", "continued", *(status.value for status in ENDINGS)})


def check_once(evidence: Evidence) -> Iterator[Broken]:
    generations = {node.key: node.view.generation for node in evidence.root.walk()}
    for key, rows in evidence.bodies.items():
        yield from _bodies(evidence, key, rows, generations.get(key, 1))
    for node in evidence.root.walk():
        yield from _callbacks(node)
        yield from _crashes(evidence, node)
    yield from _transitions(evidence)


# --- bodies ---------------------------------------------------------------------------------------
def _bodies(evidence: Evidence, key: str, rows: Sequence[Row], generation: int) -> Iterator[Broken]:
    begun = [row for row in rows if row.what == BEGUN]
    for fence, count in Counter(row.fence for row in begun).items():
        if count > 1:
            yield Broken("G2", key, f"{count} bodies ran under fence {fence}")
    ends = Counter((row.pid, row.fence) for row in rows if row.what in OVER)
    for (pid, fence), count in ends.items():
        if count > 1:
            yield Broken("G2", key, f"the body of fence {fence} in process {pid} ended twice")
    anew = generation - 1  # times that it was retried by hand, of which history may not tell
    for row, following in pairwise(sorted(begun, key=lambda row: row.fence or 0)):
        if _explains(evidence, rows, row, following):
            continue
        if anew and following.attempt == 1:
            anew -= 1
        else:
            yield Broken(
                "G2",
                key,
                f"ran again with fence {following.fence} in process {following.pid}, though "
                f"nothing had happened to process {row.pid}, where it ran with fence {row.fence}",
            )


def _explains(evidence: Evidence, rows: Sequence[Row], row: Row, following: Row) -> bool:
    """Whether there is a reason for a body to run again."""
    if (following.attempt or 0) > (row.attempt or 0):
        return True  # a retry: it has failed, and that was taken
    if any(r.what == STOPPED and (r.pid, r.fence) == (row.pid, row.fence) for r in rows):
        return True
    if any(fault.more["of"] in (row.pid, row.process) for fault in evidence.said(KILLED, FROZEN)):
        return True
    if any(lost.pid == row.pid and lost.t > row.t for lost in evidence.said(LOST)):
        return True
    path = split_key(row.key or "")[1]
    return any(
        event.what == "retry" and (is_below(path, event.path) or is_below(event.path, path))
        for event in evidence.events
    )


def _crashes(evidence: Evidence, node: Told) -> Iterator[Broken]:
    """What died with its process runs again because a lease was lost, which the store counts."""
    killed = {fault.more["of"] for fault in evidence.said(KILLED)}
    begun = [row for row in evidence.bodies.get(node.key, ()) if row.what == BEGUN]
    died = sum(
        not killed.isdisjoint((row.pid, row.process)) and not _is_over(evidence, row)
        for row, _ in pairwise(sorted(begun, key=lambda row: row.fence or 0))
    )
    if node.view.generation == 1 and died > node.view.crashes:
        text = f"ran again after {died} deaths, of which the store has counted {node.view.crashes}"
        yield Broken("G2", node.key, text)


def _is_over(evidence: Evidence, row: Row) -> bool:
    """Whether this body has said how it ended."""
    rows = evidence.bodies[row.key or ""]
    return any(r.what in OVER and (r.pid, r.fence) == (row.pid, row.fence) for r in rows)


# --- callbacks ------------------------------------------------------------------------------------
def _callbacks(node: Told) -> Iterator[Broken]:
    """All that are due are there, and no others."""
    run_id, path = split_key(node.key)
    if any(each.view.role == "continuation" for each in node.below) and not node.view.status.ended:
        return
    there = {each.key for each in node.below if each.view.role == "callback"}
    due = set()
    for generation in range(1, node.view.generation + 1):
        for event, status, signatures in (
            ("success", Status.DONE, node.signature.success_callbacks),
            ("error", Status.FAILED, node.signature.error_callbacks),
        ):
            for number in range(len(signatures)):
                key = key_of(run_id, callback_path(path, event, number, generation))
                last = generation == node.view.generation
                if last and node.view.status is status:
                    due.add(key)
                elif not last:
                    there.discard(key)  # how an earlier generation ended is not told any more
    for key in sorted(due - there):
        yield Broken(
            "G2", key, f"a callback that is due was forgotten: its owner is {node.view.status}"
        )
    for key in sorted(there - due):
        yield Broken("G2", key, f"a callback that is not due: its owner is {node.view.status}")


# --- transitions ----------------------------------------------------------------------------------
def _transitions(evidence: Evidence) -> Iterator[Broken]:
    retries = [event.path for event in evidence.events if event.what == "retry"]
    # A node that goes on as something else does so as often as something stands in for it.
    nodes = (each for each in evidence.root.walk() if each.view.role == "continuation")
    goes_on = Counter(split_key(each.key)[1].rpartition("~")[0] for each in nodes)
    counts = Counter((e.path, e.what) for e in evidence.events if e.what in ONCE)
    for (path, what), count in counts.items():
        again = sum(is_below(path, each) or is_below(each, path) for each in retries)
        once = max(1, goes_on[path]) if what == "continued" else 1
        if count > once + again:
            key = key_of(split_key(evidence.root.key)[0], path)
            yield Broken("G2", key, f"its history says {what!r} {count} times")
