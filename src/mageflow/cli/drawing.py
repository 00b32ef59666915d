"""A run or node on a terminal, with what is below it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree as Drawn

from mageflow.cli import times
from mageflow.cli.output import table, visible
from mageflow.cli.picture import Picture
from mageflow.cli.tree import walk
from mageflow_core import ErrorInfo, Status, Tree
from mageflow_core.machine import Event
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import NodeView, RunView

SHORT = 80  # characters of a result
LINE = 200  # characters of an error
APART = 1.0  # seconds between two times that are worth two words

COLORS = {
    Status.PENDING: "dim",
    Status.QUEUED: "yellow",
    Status.ACTIVE: "cyan",
    Status.RETRYING: "yellow",
    Status.DONE: "green",
    Status.FAILED: "bold red",
    Status.CANCELED: "magenta",
    Status.SKIPPED: "dim",
    Status.SUSPENDED: "blue",
    Status.INTERRUPTED: "blue",
    Status.CANCELING: "magenta",
}


def draw(picture: Picture) -> RenderableType:
    tell = tellers(picture.tree)

    def hang(tree: Tree, drawn: Drawn) -> None:
        # What follows a node stands behind all of its children, also those that are left out.
        own = sum(child.node.role == "child" for child in tree.children)
        for child in tree.children[:own]:
            hang(child, drawn.add(label(child.node, picture, tell)))
        if tree.more:
            drawn.add(Text(left_out(tree), style="dim"))
        for child in tree.children[own:]:
            hang(child, drawn.add(label(child.node, picture, tell)))

    root = Drawn(label(picture.tree.node, picture, tell), guide_style="dim")
    hang(picture.tree, root)
    parts: list[RenderableType] = [heading(picture.run, picture.now), root]
    if picture.events is not None:
        parts += [Text(), history(picture.events, picture.now)]
    return Group(*parts)


def tellers(tree: Tree) -> set[str]:
    """Nodes that tell of their errors: a container has that of what failed in it, and one line
    is enough."""
    nearest: dict[str, str] = {}
    for each in walk(tree):
        error, key = each.node.error, each.node.key
        if error is not None and len(key) > len(nearest.get(error.key, "")):
            nearest[error.key] = key
    return set(nearest.values())


def heading(run: RunView, now: float) -> Text:
    """The run's own line."""
    said = [f"run {run.id}", f"stored {times.clock(run.created_at, now)}"]
    if run.started_at is not None:
        said.append(f"started {times.clock(run.started_at, now)}")
    if run.settled_at is not None:
        said.append(f"settled {times.clock(run.settled_at, now)}")
    elif run.deadline is not None:
        said.append(f"deadline {times.clock(run.deadline, now)}")
    said += [f"{key}={value}" for key, value in run.signature.labels.items()]
    return Text(visible(", ".join(said)), overflow="fold")


def label(node: NodeView, picture: Picture, tell: set[str]) -> Text:
    """Status, name, path, times; then result, error, or why nothing happens."""
    text = Text(overflow="fold")
    text.append(node.status.value, COLORS[node.status])
    text.append(f" {visible(node.name or node.task or node.kind)}")
    if node.name and node.task and node.name != node.task:
        text.append(f" ({node.task})")
    path = split_key(node.key)[1]
    if path:
        text.append(f" {path}", "dim")
    said = list(facts(node, picture.now))
    if said:
        text.append(f"  {', '.join(said)}", "dim")
    result = picture.results.get(node.key)
    if result is not None:
        text.append(f"  = {result if picture.full else short(result)}")
    if node.error is not None and node.key in tell:
        text.append(f"\n{error_line(node, node.error, full=picture.full)}", "red")
    if node.key in picture.unknown:
        text.append(f"\n{unknown_line(node, picture.workers)}", "yellow")
    return text


def facts(node: NodeView, now: float) -> Iterator[str]:
    """What is known of a node besides its status."""
    if node.children:
        yield f"{node.kind} {progress(node)}" if node.name else progress(node)
    yield from when(node, now)
    if node.attempt > 1:
        yield f"attempt {node.attempt}"
    if node.generation > 1:
        yield f"generation {node.generation}"
    if node.crashes:
        yield f"lost {node.crashes:,} times" if node.crashes > 1 else "lost once"
    if node.worker is not None and node.kind == "task":
        yield f"on {node.worker}"


def progress(node: NodeView) -> str:
    """How many children are done, of how many; nothing for what has none."""
    if not node.children:
        return ""
    failed = f", {node.failed:,} failed" if node.failed else ""
    canceled = f", {node.canceled:,} canceled" if node.canceled else ""
    return f"{node.done:,}/{node.children:,}{failed}{canceled}"


def when(node: NodeView, now: float) -> Iterator[str]:
    queued, began, ended = node.queued_at, node.started_at, node.ended_at
    if queued is not None and (began is None or began - queued >= APART):
        yield f"queued {times.clock(queued, now)}"
    if began is not None:
        yield f"began {times.clock(began, now)}"
        if ended is not None:
            yield f"took {times.span(ended - began)}"
        elif node.status in (Status.ACTIVE, Status.CANCELING):
            yield f"for {times.span(now - began)}"
    if node.due_at is not None and not node.status.ended:
        yield f"due in {times.span(node.due_at - now)}" if node.due_at > now else "due now"


def left_out(tree: Tree) -> str:
    """How much is not shown, and where to look."""
    text = f"{tree.more:,} more"
    width = tree.node.children - tree.more
    hidden = sorted(number for number in tree.node.failures if number >= width)
    if hidden and tree.node.kind == "swarm":
        path = split_key(tree.node.key)[1]
        text += f"; failed among them: {', '.join(f'{path}/{number}' for number in hidden)}"
    return text


def short(text: str) -> str:
    """One line of a JSON text."""
    if len(text) <= SHORT:
        return text
    return f"{text[: SHORT - 1]}…"


def error_line(node: NodeView, error: ErrorInfo, *, full: bool) -> str:
    """With what failed, where that is another node."""
    said = f"{error.type}: {error.message}" if error.key == node.key else str(error)
    if full:
        return visible(f"{said}\n{error.traceback}".rstrip())
    said = visible(" ".join(said.split()))
    return said if len(said) <= LINE else f"{said[: LINE - 1]}…"


def unknown_line(node: NodeView, workers: int) -> str:
    if not workers:
        return "no worker is alive"
    return f"no live worker knows task {node.task!r}"


def history(events: tuple[Event, ...], now: float) -> RenderableType:
    rows = [
        (times.clock(each.at, now), each.what, each.path or "/", each.worker or "", each.detail)
        for each in events
    ]
    return table(("at", "event", "node", "worker", ""), rows)
