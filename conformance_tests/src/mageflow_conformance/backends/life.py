"""What worker processes of the suite do: each function here is the whole life of one.

Imported in the process that works, after its environment is set.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import Any

from mageflow_conformance.backends.harness import Harness, Natives
from mageflow_conformance.backends.seam import FaultyApp
from mageflow_conformance.backends.tasks import add_tasks
from mageflow_conformance.flows import roles
from mageflow_conformance.flows.app import furnish
from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow

NATIVE = "native"  # rows of a native task's body


def harness_at(place: str, fields: dict[str, Any]) -> Harness:
    """A copy of the suite's harness. place: its class, as `module:name`."""
    module, _, name = place.partition(":")
    made: Harness = getattr(import_module(module), name)(**fields)
    return made


def app_of(
    ledger: Ledger,
    settings: dict[str, Any],
    *,
    client: Any = None,
    bare: bool = False,
    rules: Sequence[dict[str, Any]] = (),
) -> Mageflow:
    """The app of the suite. client: what it is put around. bare: without the suite's tasks."""
    own = {name: value for name, value in settings.items() if name != roles.HASTENED}
    clients = () if client is None else (client,)
    if clients:
        own.pop("backend", None)
    mf = FaultyApp(*clients, rules=rules, ledger=ledger, warn_unclosed=False, **own)
    return mf if bare else add_tasks(furnish(mf, ledger), ledger)


def natives_of(harness: Harness, namespace: str, ledger: Ledger) -> Natives | None:
    def record(*arguments: Any) -> None:
        ledger.note(NATIVE, arguments=list(arguments))

    return harness.natives(namespace, record)


def work(
    ledger: str,
    settings: dict[str, Any],
    harness: str,
    fields: dict[str, Any],
    *,
    rules: Sequence[dict[str, Any]] = (),
    native: bool = False,
    bare: bool = False,
    skew: float = 0.0,
    breaks: str = "",
    path: Sequence[str] = (),
) -> None:
    """A worker, until a signal ends it. native: around the engine's own client with a native task.
    skew: seconds by which this process's wall clock is wrong. breaks: `module:function` that is
    given the app before it is opened, to break it. path: where that module is."""
    sys.path[:0] = path
    if skew:
        real = time.time
        time.time = lambda: real() + skew
    kept = Ledger(ledger)
    made = harness_at(harness, fields)
    with hastened() if settings.get(roles.HASTENED) else nullcontext():
        natives = natives_of(made, settings["namespace"], kept) if native else None
        client = natives.client if natives is not None else None
        mf = app_of(kept, settings, client=client, bare=bare, rules=rules)
        if breaks:
            module, _, function = breaks.partition(":")
            getattr(import_module(module), function)(mf)
        asyncio.run(_serve(mf, kept))


async def _serve(mf: Mageflow, ledger: Ledger) -> None:
    telling = asyncio.create_task(_tell(mf, ledger))
    try:
        await mf.serve()
    finally:
        telling.cancel()


async def _tell(mf: Mageflow, ledger: Ledger) -> None:
    worker = await eventually(lambda: mf.worker_id, about="a worker that is open", within=30)
    ledger.note(roles.SERVING, worker=worker)
