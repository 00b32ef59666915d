"""Watches each step: what it may change, and what it never may."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mageflow_core.machine import Draft, Mark, Node, Run, Status
from mageflow_core.names import child_path
from simulation.invariants import jobs_of, timers_of

if TYPE_CHECKING:
    from mageflow_core.stores.memory import MemoryStore
    from mageflow_core.stores.memory.state import RunState

Nodes = dict[str, Node]
HOLDING = (Mark.SUSPEND, Mark.INTERRUPT)


@dataclass
class Ledger:
    """begun: granted claims, as (run, path, generation, attempt, fence). ended: terminal
    transitions, as (run, path, generation) → status."""

    begun: list[tuple[str, str, int, int, int]] = field(default_factory=list)
    ended: dict[tuple[str, str, int], Status] = field(default_factory=dict)
    about: str = ""
    _nodes: dict[str, Nodes] = field(default_factory=dict)  # copies of what is stored
    _runs: dict[str, Run] = field(default_factory=dict)

    def before(self, run_id: str, state: RunState, draft: Draft) -> None:
        """A step was worked out and is about to be applied."""
        kept = self._nodes.setdefault(run_id, {})
        assert state.nodes == kept, f"{self.about} has changed stored nodes in place"
        if run_id in self._runs:
            assert state.run == self._runs[run_id], f"{self.about} has changed the run in place"
        after = {**kept, **draft.nodes}
        for path, new in draft.nodes.items():
            assert new is not state.nodes.get(path), f"{path} is stored and drafted"
            self._one_node(run_id, kept.get(path), new, kept, after)

    def after(self, run_id: str, state: RunState | None) -> None:
        if state is None:
            del self._nodes[run_id], self._runs[run_id]
            return
        self._nodes[run_id] = {path: node.copy() for path, node in state.nodes.items()}
        self._runs[run_id] = state.run.copy()

    def run_changed(self, run: Run) -> None:
        """A record of a run was changed without a step: a reservation."""
        self._runs[run.id] = run.copy()

    # --- one node ---------------------------------------------------------------------------------
    def _one_node(
        self, run_id: str, old: Node | None, new: Node, nodes: Nodes, after: Nodes
    ) -> None:
        where = f"{run_id}{new.path} ({self.about})"
        generation = old.generation if old else 1
        assert new.generation in (generation, generation + 1), f"{where}: generation"
        reopened = new.generation > generation
        if old is not None:
            assert new.fence in (old.fence, old.fence + 1), f"{where}: fence"
            assert new.attempt >= old.attempt, f"{where}: attempt"
            assert new.sends >= old.sends, f"{where}: sends"
            if old.status.ended and not reopened:
                assert new.status is old.status, f"{where}: {old.status} became {new.status}"
                assert new.ended_at == old.ended_at, f"{where}: ended twice"
        if reopened:
            assert old is not None
            assert old.status is not Status.DONE, f"{where}: what is done was reopened"
        if new.status.ended and (old is None or not old.status.ended or reopened):
            key = (run_id, new.path, new.generation)
            assert key not in self.ended, f"{where}: ended twice in generation {new.generation}"
            self.ended[key] = new.status
        if new.role == "callback" and old is None:
            callback_is_due(new, after, where)
        begins = new.status not in (Status.PENDING, Status.SKIPPED, Status.CANCELED)
        if begins and (old is None or old.status is Status.PENDING or reopened):
            child_may_begin(new, after, where)
        granted = new.claim is not None and not new.claim.held
        if granted and new.fence != (old.fence if old else 0):
            assert old is not None
            self.begun.append((run_id, new.path, new.generation, new.attempt, new.fence))
            claim_is_allowed(old, nodes, where)


def callback_is_due(callback: Node, nodes: Nodes, where: str) -> None:
    """G2: only when the owner has ended so, and under the owner's generation."""
    assert callback.parent is not None
    owner = nodes[callback.parent]
    event = callback.path.rpartition("/!")[2].partition("-")[0]
    wanted = {"success": Status.DONE, "error": Status.FAILED}[event]
    assert owner.status is wanted, f"{where}: due when its owner was {owner.status}"
    again = f"@{owner.generation}" if owner.generation > 1 else ""
    name = callback.path.rpartition("/!")[2]
    assert name == f"{event}-{callback.position}{again}", f"{where}: of another generation"


def child_may_begin(node: Node, nodes: Nodes, where: str) -> None:
    """G4, at the moment when a child's turn comes."""
    if node.role != "child":
        return
    assert node.parent is not None
    parent = nodes[node.parent]
    if parent.signature.kind == "chain":
        earlier = [nodes[child_path(parent.path, i)] for i in range(node.position)]
        assert all(s.status is Status.DONE for s in earlier), f"{where}: a step before is not done"
    elif parent.signature.kind == "graph":
        signature: Any = parent.signature
        for name in signature.depends_on.get(signature.order[node.position], ()):
            needed = nodes[child_path(parent.path, name)]
            assert needed.status is Status.DONE, f"{where}: {name} is not done"


def claim_is_allowed(node: Node, nodes: Nodes, where: str) -> None:
    """G5 and what follows from ends above: looked up from scratch, without the machine."""
    assert node.status is Status.QUEUED, f"{where}: it was {node.status}"
    crossed = False
    while True:
        assert node.mark not in HOLDING, f"{where}: granted under {node.mark} on {node.path!r}"
        assert crossed or node.mark is not Mark.CANCEL, f"{where}: granted under a cancel"
        crossed = crossed or node.role == "callback"
        if node.parent is None:
            return
        parent = nodes[node.parent]
        if not crossed:
            assert parent.status is Status.ACTIVE, f"{where}: {parent.path!r} is {parent.status}"
            assert node.round == parent.generation, f"{where}: {node.path!r} is of an old round"
            child_may_begin(node, nodes, where)
        node = parent


def snapshot(store: MemoryStore) -> dict[str, Any]:
    """A deep copy of all that a store holds, history and numbers of sendings aside."""
    return {
        "nodes": {
            run: {path: node.copy() for path, node in state.nodes.items()}
            for run, state in store.runs.items()
        },
        "runs": {run: state.run.copy() for run, state in store.runs.items()},
        "added": {
            run: ({p: list(i) for p, i in state._added.items()}, dict(state._additions))
            for run, state in store.runs.items()
        },
        "parked": {run: dict(state._parked_at) for run, state in store.runs.items()},
        "outbox": jobs_of(store),
        "claims": dict(store._holder),
        "timers": timers_of(store),
    }
