"""A run or node, shown for as long as it goes on."""

from __future__ import annotations

from rich.live import Live

from mageflow.cli import times
from mageflow.cli.drawing import draw, progress
from mageflow.cli.output import stdout
from mageflow.cli.patience import answered, looking
from mageflow.cli.picture import Picture, View, take
from mageflow_core import Status
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import NodeView, Store, Until

EVERY = 0.5  # seconds between looks


async def over(store: Store, key: str) -> NodeView:
    """A run once it is settled, a node once it has ended."""
    until: Until = "ended" if split_key(key)[1] else "settled"
    return await answered(lambda: store.wait(key, until))


async def watch(store: Store, key: str, view: View) -> Status:
    """Show it until it is over: on a terminal the picture, redrawn; elsewhere a line for each
    change of the node itself. Gives its last status."""
    console = stdout()
    if not console.is_terminal:
        return await _lines(store, key)
    picture: list[Picture] = []
    with Live(console=console, auto_refresh=False) as drawn:

        async def look() -> None:
            picture[:] = [await take(store, key, view)]
            drawn.update(draw(picture[0]), refresh=True)

        await looking(lambda: over(store, key), look, EVERY)
    return picture[0].status


async def _lines(store: Store, key: str) -> Status:
    said = ""
    status = Status.PENDING

    async def look() -> None:
        nonlocal said, status
        node = await store.node(key)
        status = node.status
        line = f"{status.value} {progress(node)}".rstrip()
        if line != said:
            now = store.now()
            print(f"{times.clock(now, now)} {line}", flush=True)
            said = line

    await looking(lambda: over(store, key), look, EVERY)
    return status
