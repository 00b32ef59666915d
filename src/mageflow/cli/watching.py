"""A bar on the terminal for as long as a run takes, and what it did in the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mageflow.cli.output import stderr
from mageflow.cli.patience import answered, looking
from mageflow.cli.shapes import parsed
from mageflow.cli.tree import read, walk
from mageflow_core import Run, Status, Tree
from mageflow_core.stores.protocol import Store

EVERY = 0.1  # seconds
EVERY_SHARED = 0.5  # seconds, where others use the store too
WIDE = 20  # a container with more children is counted by its own numbers
ALL = 1_000_000
DEEP = 32


async def settled(store: Store, run: Run[Any], title: str) -> None:
    """Wait for the run and its callbacks, also while the store does not answer; show a bar on
    stderr, if that is a terminal."""

    async def over() -> None:
        await answered(run.settled)

    console = stderr()
    if not console.is_terminal:
        await over()
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        bar = progress.add_task(title, total=None)

        async def look() -> None:
            done, total = progress_of(await read(store, run.key, depth=DEEP, width=WIDE))
            progress.update(bar, completed=done, total=total)

        await looking(over, look, EVERY_SHARED if store.shared else EVERY)


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


async def summary(store: Store, run: Run[Any]) -> Summary:
    """Also while the store does not answer."""
    info = await answered(run.info)
    tree = await answered(lambda: read(store, run.key, depth=DEEP, width=ALL))
    nodes = [each.node for each in walk(tree)]
    callbacks = {
        node.task: await value(store, node.key)
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


async def value(store: Store, key: str) -> Any:
    """A result as a JSON value, once the store answers."""
    return parsed(await answered(lambda: store.value(key)))
