"""A bar on the terminal for as long as a run takes, and what it did in the end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mageflow.cli.output import stderr
from mageflow_core import Mageflow, Run, Status, Tree

EVERY = 0.1  # seconds
WIDE = 20  # a container with more children is counted by its own numbers
ALL = 1_000_000


async def settled(run: Run[Any], title: str) -> None:
    """Wait for the run and its callbacks; show a bar on stderr, if that is a terminal."""
    console = stderr()
    if not console.is_terminal:
        await run.settled()
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    waiting = asyncio.create_task(run.settled())
    try:
        with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
            bar = progress.add_task(title, total=None)
            while not waiting.done():
                done, total = progress_of(await run.tree(width=WIDE))
                progress.update(bar, completed=done, total=total)
                await asyncio.wait([waiting], timeout=EVERY)
        await waiting
    finally:
        waiting.cancel()


def progress_of(tree: Tree) -> tuple[int, int]:
    """How many parts of a run have ended, of how many that are known so far."""
    node = tree.node
    if tree.more:
        return node.done + node.failed + node.canceled, node.children
    if not tree.children:
        return int(node.status.ended), 1
    counts = [progress_of(child) for child in tree.children]
    return sum(done for done, _ in counts), sum(total for _, total in counts)


@dataclass(frozen=True, slots=True)
class Summary:
    """tasks: bodies that ran, each counted once. callbacks: of the run's own, results as JSON
    values by the names of their tasks."""

    run: str
    status: str
    tasks: int
    seconds: float
    callbacks: dict[str, Any]


async def summary(app: Mageflow, run: Run[Any]) -> Summary:
    info = await run.info()
    nodes = [tree.node for tree in each(await run.tree(width=ALL))]
    store = await app.opened()
    callbacks = {
        node.task: json.loads(await store.value(node.key) or "null")
        for node in nodes
        if node.key.startswith(f"{run.id}/!") and node.task and node.status is Status.DONE
    }
    started = info.started_at or info.created_at
    return Summary(
        run=run.id,
        status=info.root.status.value,
        tasks=sum(node.task is not None and node.attempt > 0 for node in nodes),
        seconds=round((info.settled_at or started) - started, 3),
        callbacks=callbacks,
    )


def each(tree: Tree) -> Iterator[Tree]:
    """The tree and all below it."""
    waiting = [tree]
    while waiting:
        tree = waiting.pop()
        yield tree
        waiting += reversed(tree.children)
