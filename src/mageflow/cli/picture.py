"""What `mageflow show` knows of a run or node."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mageflow.cli.shapes import node_json, parsed, run_json
from mageflow.cli.tree import read, results, walk
from mageflow_core import Status, Tree
from mageflow_core.machine import Event
from mageflow_core.names import is_below, split_key
from mageflow_core.stores.protocol import RunView, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How much of it. full: results and errors uncut, and what the whole has given."""

    depth: int = 32
    width: int = 20
    history: bool = False
    full: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """results: JSON texts by key. unknown: nodes whose tasks no live worker knows. workers: how
    many are alive. now: the store's time. events: what has happened here, if it was asked for."""

    run: RunView
    tree: Tree
    results: dict[str, str]
    unknown: frozenset[str]
    workers: int
    now: float
    events: tuple[Event, ...] | None
    full: bool

    @property
    def status(self) -> Status:
        return self.tree.node.status


async def take(store: Store, key: str, view: View) -> Picture:
    """Raises `RunNotFound`."""
    run_id, path = split_key(key)
    run = await store.view(run_id)
    tree = await read(store, key, depth=view.depth, width=view.width)
    found = await results(store, tree)
    if view.full and tree.node.status is Status.DONE and key not in found:
        found[key] = await store.value(key) or "null"
    events = None
    if view.history:
        happened = await store.history(run_id)
        events = tuple(event for event in happened if is_below(event.path, path))
    workers = await store.workers()
    known = frozenset(task for worker in workers for task in worker.tasks)
    unknown = frozenset(
        each.node.key
        for each in walk(tree)
        if each.node.status is Status.QUEUED and each.node.task not in {None, *known}
    )
    return Picture(
        run=run,
        tree=tree,
        results=found,
        unknown=unknown,
        workers=len(workers),
        now=store.now(),
        events=events,
        full=view.full,
    )


def picture_json(picture: Picture) -> dict[str, Any]:
    """The run, the tree, and what has happened, if it was asked for."""
    run_id = picture.run.id
    shown: dict[str, Any] = {
        "run": {**run_json(picture.run), "message": parsed(picture.run.message)},
        "tree": tree_json(picture.tree, picture),
    }
    if picture.events is not None:
        shown["history"] = [
            {
                "at": event.at,
                "event": event.what,
                "key": run_id + event.path,
                "worker": event.worker,
                "detail": event.detail,
            }
            for event in picture.events
        ]
    return shown


def tree_json(tree: Tree, picture: Picture) -> dict[str, Any]:
    """A node and its children. more: children that were left out."""
    return {
        **node_json(tree.node),
        "result": parsed(picture.results.get(tree.node.key)),
        "unknown_task": tree.node.key in picture.unknown,
        "children": [tree_json(child, picture) for child in tree.children],
        "more": tree.more,
    }
