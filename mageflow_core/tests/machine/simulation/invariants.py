"""Recounts all that is stored, from the nodes alone, and compares it with what is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mageflow_core.machine import Draft, Mark, Node, Status
from mageflow_core.machine.lifecycle import bodies_below
from mageflow_core.names import callback_path, child_path, split_key
from mageflow_core.stores import reading

if TYPE_CHECKING:
    from mageflow_core.stores.memory import MemoryStore
    from mageflow_core.stores.memory.state import RunState

HOLDING = (Mark.SUSPEND, Mark.INTERRUPT)
BEGUN = (Status.QUEUED, Status.ACTIVE, Status.RETRYING)


class Recount:
    """One run of a store, looked at as a whole."""

    def __init__(self, store: MemoryStore, state: RunState) -> None:
        self.store = store
        self.state = state
        self.id = state.run.id
        self.nodes = state.nodes
        self.children: dict[str, list[Node]] = {path: [] for path in self.nodes}
        for node in self.nodes.values():
            if node.parent is not None:
                assert node.parent in self.nodes, f"{node.path} has no container"
                if node.role != "callback":
                    self.children[node.parent].append(node)

    def timer(self, kind: str, path: str) -> bool:
        return self.store.agenda.has((self.id, (kind, path)))  # type: ignore[arg-type]

    def forbidden(self, node: Node) -> bool:
        """Something above has ended, is canceled, or was reopened without coming here yet."""
        while True:
            if node.mark is Mark.CANCEL:
                return True
            if node.parent is None or node.role == "callback":
                return False
            parent = self.nodes[node.parent]
            if parent.status.ended or node.round != parent.generation:
                return True
            node = parent

    def over(self, node: Node) -> bool:
        """Something above has ended, or was reopened without coming here yet."""
        while node.parent is not None and node.role != "callback":
            parent = self.nodes[node.parent]
            if parent.status.ended or node.round != parent.generation:
                return True
            node = parent
        return False

    def runs_body(self, node: Node) -> bool:
        return node.status is Status.ACTIVE and node.claim is not None and not node.claim.held


def check(store: MemoryStore) -> None:
    recounts = {run_id: Recount(store, state) for run_id, state in store.runs.items()}
    for recount in recounts.values():
        run_record(recount)
        for node in recount.nodes.values():
            try:
                one_node(recount, node)
            except AssertionError as error:
                raise AssertionError(f"{recount.id}{node.path}: {error}\n{node}") from error
        parked(recount)
        readable(recount)
    outbox(store, recounts)
    claims(store)


# --- runs -----------------------------------------------------------------------------------------
def run_record(recount: Recount) -> None:
    run, nodes = recount.state.run, recount.nodes
    assert run.marks == sum(node.mark is not None for node in nodes.values()), "marks"
    callbacks = [node for node in nodes.values() if node.role == "callback"]
    assert run.callbacks == sum(not node.status.ended for node in callbacks), "callbacks"
    over = nodes[""].status.ended and run.callbacks == 0
    assert (run.settled_at is not None) == over, f"settled_at={run.settled_at}"
    if over:
        assert recount.timer("expire", ""), "a settled run is never removed"
        assert not recount.timer("deadline", ""), "a settled run has a deadline"
    elif run.started_at is not None:
        assert not recount.timer("expire", ""), "a run that is not settled is removed"
        if run.deadline is not None and not nodes[""].status.ended:
            assert recount.timer("deadline", "") or nodes[""].ending is not None, "no deadline"
    else:
        assert recount.timer("expire", ""), "what is never started is never removed"


def parked(recount: Recount) -> None:
    for path, at in recount.state._parked_at.items():
        assert recount.nodes[path].status is Status.QUEUED, f"{path} is parked"
        marked = recount.nodes[at]
        assert marked.mark in HOLDING or recount.timer("unpark", at), f"{path} is parked for ever"


# --- nodes ----------------------------------------------------------------------------------------
def one_node(recount: Recount, node: Node) -> None:
    bodies(recount, node)
    callbacks_are_due(recount, node)
    if node.mark is Mark.CANCEL and not node.status.ended:
        assert node.ending is not None, "canceled, and does not end"
    assert (node.claim is None) or node.status in (Status.ACTIVE, Status.RETRYING), "claim"
    if node.claim is not None:
        assert node.claim.held == (node.status is Status.RETRYING), "held"
    if not recount.forbidden(node):
        assert not forgotten(recount, node), f"forgotten: {forgotten(recount, node)}"
    elif node.mark is Mark.CANCEL and not node.status.ended and not recount.over(node):
        assert recount.timer("grace", node.path), "its cancel never ends"
    if node.inner is not None and node.status is Status.ACTIVE and not recount.forbidden(node):
        counters(recount, node)


def bodies(recount: Recount, node: Node) -> None:
    """Running bodies below it that can still change something on their whole way up to it."""
    if node.inner is None:
        assert node.bodies == 0, "bodies of a task"
        return
    count = 0
    todo = [(child, node) for child in recount.children[node.path]]
    while todo:
        child, parent = todo.pop()
        if child.round == parent.generation:
            count += recount.runs_body(child)
            todo += [(below, child) for below in recount.children[child.path]]
    draft = Draft(recount.state, recount.store.now(), recount.store.policy)
    found = bodies_below(draft, node)
    assert found == count, f"bodies: {found}, but {count} run"


def callbacks_are_due(recount: Recount, node: Node) -> None:
    """G2: all of them, when their owner has ended so; none else."""
    for event, status, signatures in (
        ("success", Status.DONE, node.signature.success_callbacks),
        ("error", Status.FAILED, node.signature.error_callbacks),
    ):
        for number in range(len(signatures)):
            path = callback_path(node.path, event, number, node.generation)
            assert (path in recount.nodes) == (node.status is status), f"callback {path}"


def forgotten(recount: Recount, node: Node) -> str:
    """Why nothing would ever move this node on, if so (G1)."""
    path, inner = node.path, node.inner
    if node.status is Status.QUEUED:
        if node.due is not None:
            return "" if recount.timer("due", path) else "no timer for when it is due"
        assert inner is None, "a container is queued without a time"
        there = path in recount.state._parked_at
        there = there or recount.store.outbox.sent_at(recount.id + path) is not None
        return "" if there else "neither in the outbox nor parked"
    if node.status is Status.RETRYING:
        waits = node.claim is not None or recount.timer("due", path)
        return "" if waits else "no timer for its retry"
    if node.status is not Status.ACTIVE:
        return ""
    if inner is None:
        return "" if node.claim is not None else "active without a claim"
    if recount.timer("sweep", path):
        return ""
    current = [c for c in recount.children[path] if c.round == node.generation]
    if any(c.slot and (not c.status.ended or recount.timer("tell", c.path)) for c in current):
        return ""
    if node.signature.kind == "swarm" and not inner.continuation and not inner.closed:
        signature: Any = node.signature
        waits = signature.idle_timeout is None or recount.timer("idle", path)
        return "" if waits else "no timer for an idle swarm"
    return "nothing in it moves"


def counters(recount: Recount, node: Node) -> None:
    """What a container that still runs keeps of its children."""
    inner = node.inner
    assert inner is not None
    children = recount.children[node.path]
    current = [c for c in children if c.round == node.generation]
    begun = [c for c in current if c.status in BEGUN]
    assert all(c.slot for c in begun), "a child has begun without a slot"
    assert inner.begun == sum(c.slot for c in current), f"begun: {inner.begun}"
    for child in current:
        if child.slot and child.status.ended:
            assert recount.timer("tell", child.path), f"never told of {child.path}"
    signature: Any = node.signature
    if node.signature.kind in ("task", "chain"):
        assert len(begun) <= 1, "two at once"
        return
    if signature.max_concurrency is not None:
        assert len(begun) <= signature.max_concurrency, f"{len(begun)} at once"
    counted = [c for c in children if is_counted(node, c)]
    for status, kept in (
        (Status.DONE, inner.done),
        (Status.FAILED, inner.failed),
        (Status.CANCELED, inner.canceled),
    ):
        found = sum(c.status is status for c in counted)
        assert kept == found, f"{status.value}: {kept}, but there are {found}"
    failed = {c.position for c in counted if c.status is Status.FAILED}
    assert set(inner.failures) <= failed, "failures"
    assert len(inner.failures) == len(set(inner.failures)), "failures: one twice"
    assert len(inner.ready) == len(set(inner.ready)), f"ready: one twice: {inner.ready}"
    if node.signature.kind == "graph":
        told(recount, node)


def is_counted(container: Node, child: Node) -> bool:
    """Ended, looked at, and the container was told."""
    assert container.inner is not None
    if not child.status.ended or child.position >= container.inner.cursor:
        return False
    if child.round == container.generation:
        return not child.slot
    return child.status is Status.DONE


def told(recount: Recount, graph: Node) -> None:
    """Each node of a graph knows how many of those that it waits for are done."""
    signature: Any = graph.signature
    assert graph.inner is not None
    telling = dict(graph.inner.telling)
    assert len(telling) == len(graph.inner.telling), "telling: one twice"
    for child in recount.children[graph.path]:
        count = 0
        for name in signature.depends_on.get(signature.order[child.position], ()):
            needed = recount.nodes.get(child_path(graph.path, name))
            if needed is None or needed.status is not Status.DONE or needed.slot:
                continue
            rank = signature.dependents[name].index(child.position)
            count += rank < telling.get(needed.position, rank + 1)
        assert child.told == count, f"{child.path} was told of {child.told}, not {count}"


def readable(recount: Recount) -> None:
    """Everything can be shown at any time; what is done has a value, what failed an error."""
    store = recount.store
    draft = Draft(recount.state, store.now(), store.policy)
    reading.run_view(draft)
    for node in list(recount.nodes.values()):
        view = reading.node_view(draft, node)
        if node.status is Status.DONE and not is_passed_on(node):
            text = reading.value_text(draft, node.result)
            assert text is not None, f"{node.path} is done without a result"
            json.loads(text)
        elif node.status is Status.FAILED and not recount.forbidden(node):
            error = view.error
            assert error is not None, f"{node.path} failed without an error"
            assert error.type, node.path
            assert error.message, node.path
            assert error.key.startswith(recount.id), node.path


def is_passed_on(node: Node) -> bool:
    """A continuation in tail position that went on to the next one: its result is that one's."""
    return node.role == "continuation" and node.result is None


# --- stores ---------------------------------------------------------------------------------------
def outbox(store: MemoryStore, recounts: Mapping[str, Recount]) -> None:
    """Each job belongs to a node that waits for exactly it, or never will."""
    for key, job in jobs_of(store).items():
        run_id, path = split_key(key)
        assert run_id in recounts, f"a job of a removed run: {key}"
        recount = recounts[run_id]
        node = recount.nodes[path]
        if not recount.forbidden(node):
            assert node.status is Status.QUEUED, f"{key} has a job and is {node.status}"
            assert node.attempt == job.attempt, f"{key} has a job for another attempt"
            assert node.due is None, f"{key} has a job before its time"


def claims(store: MemoryStore) -> None:
    held = {
        run_id + path: node.claim.worker
        for run_id, state in store.runs.items()
        for path, node in state.nodes.items()
        if node.claim is not None
    }
    assert store._holder == held, "claims"
    assert {k: w for w, keys in store.claims.items() for k in keys} == held, "claims by worker"


def jobs_of(store: MemoryStore) -> dict[str, Any]:
    return {key: group[key].job for key, group in store.outbox._group_of.items()}


def timers_of(store: MemoryStore) -> dict[Any, float]:
    agenda = store.agenda
    return {
        entry: time for time, number, entry in agenda._heap if agenda._is_current(number, entry)
    }


def check_settled(store: MemoryStore, run_id: str) -> None:
    """Nothing is left to do of a settled run, its removal aside."""
    recount = Recount(store, store.runs[run_id])
    for node in recount.nodes.values():
        if node.status in BEGUN:
            assert recount.forbidden(node), f"{node.path} is {node.status} in a settled run"
