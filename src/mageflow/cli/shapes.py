"""Runs and nodes as JSON."""

from __future__ import annotations

import json
from typing import Any

from mageflow_core.stores.protocol import NodeView, RunView

COUNTS = ("children", "begun", "done", "failed", "canceled")
TIMES = ("queued_at", "started_at", "ended_at", "due_at")


def node_json(node: NodeView) -> dict[str, Any]:
    """Times are seconds since the epoch, or null."""
    return {
        "key": node.key,
        "kind": node.kind,
        "status": node.status.value,
        "task": node.task,
        "name": node.name,
        "role": node.role,
        "labels": dict(node.labels),
        "attempt": node.attempt,
        "generation": node.generation,
        "crashes": node.crashes,
        "counts": {name: getattr(node, name) for name in COUNTS},
        **{name: getattr(node, name) for name in TIMES},
        "worker": node.worker,
        "error": node.error.to_json() if node.error is not None else None,
    }


def run_json(run: RunView) -> dict[str, Any]:
    """What is the run's own, and what is known of its root."""
    root = node_json(run.root)
    return {
        "id": run.id,
        **{name: root[name] for name in ("status", "kind", "task", "name")},
        "labels": dict(run.signature.labels),
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.root.ended_at,
        "settled_at": run.settled_at,
        "deadline": run.deadline,
        "start_key": run.start_key,
        "alias_of": run.alias_of,
        "counts": root["counts"],
        "error": root["error"],
    }


def parsed(text: str | None) -> Any:
    """A stored value; null where there is none."""
    return json.loads(text) if text is not None else None
