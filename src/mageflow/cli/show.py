"""`mageflow show`: a run of a shared store, or a node in it, with all that is below."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from mageflow.cli import live
from mageflow.cli.drawing import draw
from mageflow.cli.output import FAILED, AsJson, print_json, stdout, told
from mageflow.cli.picture import View, picture_json, take
from mageflow.cli.shared import Namespace, StoreUrl, located, opened
from mageflow_core import Status
from mageflow_core.stores.protocol import Store

Key = Annotated[str, typer.Argument(help="The id of a run, or the key of a node in it.")]
Watch = Annotated[bool, typer.Option("--watch", help="Show it until it is over.")]
Depth = Annotated[int, typer.Option(min=1, help="Levels that are shown.")]
Width = Annotated[int, typer.Option(min=1, help="Children of a node that are shown.")]
History = Annotated[bool, typer.Option("--history", help="Also what has happened, oldest first.")]
Results = Annotated[bool, typer.Option("--results", help="Results and errors in full.")]


def show(
    key: Key,
    *,
    watch: Watch = False,
    depth: Depth = 32,
    width: Width = 20,
    history: History = False,
    results: Results = False,
    as_json: AsJson = False,
    store: StoreUrl = None,
    namespace: Namespace = None,
) -> None:
    """Show a run or node: how it stands, what is below it, what it gave."""
    view = View(depth=depth, width=width, history=history, full=results or as_json)

    async def shown() -> Status:
        async with opened(store, namespace) as there:
            return await show_it(there, key, view, watching=watch, as_json=as_json)

    with told():
        status = asyncio.run(shown())
    if watch and status is not Status.DONE:
        raise typer.Exit(FAILED)


async def show_it(
    store: Store, key: str, view: View, *, watching: bool = False, as_json: bool = False
) -> Status:
    """Gives its status, which is the last one where it was watched. Raises `RunNotFound`."""
    key = await located(store, key)
    if watching and not as_json:
        return await live.watch(store, key, view)
    if watching:
        await live.over(store, key)
    picture = await take(store, key, view)
    if as_json:
        print_json(picture_json(picture))
    else:
        stdout().print(draw(picture))
    return picture.status
