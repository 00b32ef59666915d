"""A store that other processes use too, for commands that look at what these do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import typer

from mageflow.cli.output import fail, warnings_left_out
from mageflow_core import Mageflow
from mageflow_core.names import split_key
from mageflow_core.settings import Settings, safe_url
from mageflow_core.stores.loader import load_store
from mageflow_core.stores.protocol import Store

PATIENCE = 5.0  # seconds, for one call of the store

StoreUrl = Annotated[
    str | None, typer.Option("--store", metavar="URL", help="In place of the setting `store`.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", metavar="NAME", help="In place of the setting `namespace`."),
]


def given(**options: Any) -> dict[str, Any]:
    """The options that somebody has written."""
    return {name: value for name, value in options.items() if value is not None}


def refuse_private(settings: Settings) -> None:
    """End the command where no other process can see what the store has."""
    if not load_store(settings.store).shared:
        fail(
            f"what is stored in {safe_url(settings.store)} is seen by the process alone that has "
            "stored it: set MAGEFLOW_STORE, or --store, to a shared one, such as "
            "redis://localhost:6379/0"
        )


def impatient(settings: Settings) -> Settings:
    """For people, who wait at a terminal."""
    return settings.model_copy(update={"store_patience": min(settings.store_patience, PATIENCE)})


@asynccontextmanager
async def opened(store: str | None, namespace: str | None) -> AsyncIterator[Store]:
    """The shared store of the settings, or of these options, opened by a process that runs no
    tasks and knows none. Ends the command for a store that is not shared."""
    settings = Settings.load(**given(store=store, namespace=namespace), worker=False)
    refuse_private(settings)
    settings = impatient(settings)
    with warnings_left_out():
        async with Mageflow(settings=settings) as app:
            yield await app.opened()


async def located(store: Store, key: str) -> str:
    """Where the node is: a stored run that has become part of another is there. Raises
    `RunNotFound`."""
    run_id, path = split_key(key)
    view = await store.view(run_id)
    return key if view.alias_of is None else await located(store, view.alias_of + path)
