"""What worker processes of the suite do: each function here is the whole life of one.

Imported in the process that works, after its environment is set.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
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
from mageflow_core import Mageflow

NATIVE = "native"  # rows of a native task's body
REFUSED = "refused"  # of a worker that could not open, with the error
HOSTED = "CONFORMANCE_HOSTED"  # the variable that `hosted` reads
LOOKS = 0.02  # seconds between two looks at whether a process works
LOGGED = "logged"  # of a line that was logged, with what it says


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
    knows: Sequence[str] | None = None,
    listens: bool = False,
) -> Mageflow:
    """The app of the suite. client: what it is put around. bare: without the suite's tasks. knows:
    the only tasks that it has. listens: see `furnish`; for processes that are workers."""
    own = {name: value for name, value in settings.items() if name != roles.HASTENED}
    clients = () if client is None else (client,)
    if clients:
        own.pop("backend", None)
    mf = FaultyApp(*clients, rules=rules, ledger=ledger, warn_unclosed=False, **own)
    if knows is not None:
        _have_only(mf, knows)
    return mf if bare else add_tasks(furnish(mf, ledger, listens=listens), ledger)


def _have_only(mf: Mageflow, names: Sequence[str]) -> None:
    """Let it register no others."""
    registry: Any = mf.registry
    add = registry.add
    registry.add = lambda task: add(task) if task.name in names else None


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
    knows: Sequence[str] | None = None,
    skew: float = 0.0,
    logs: bool = False,
    breaks: str = "",
    path: Sequence[str] = (),
) -> None:
    """A worker, until a signal ends it. native: around the engine's own client with a native task.
    skew: seconds by which this process's wall clock is wrong. logs: whether all that is logged here
    comes to the ledger. breaks: `module:function` that is given the app before it is opened, to
    break it. path: where that module is."""
    sys.path[:0] = path
    if skew:
        real = time.time
        time.time = lambda: real() + skew
    kept = Ledger(ledger)
    if logs:
        logging.getLogger().addHandler(Logging(kept))
        logging.getLogger().setLevel(logging.DEBUG)
    made = harness_at(harness, fields)
    with hastened() if settings.get(roles.HASTENED) else nullcontext():
        natives = natives_of(made, settings["namespace"], kept) if native else None
        client = natives.client if natives is not None else None
        mf = app_of(
            kept, settings, client=client, bare=bare, rules=rules, knows=knows, listens=True
        )
        if breaks:
            module, _, function = breaks.partition(":")
            getattr(import_module(module), function)(mf)
        asyncio.run(_serve(mf, kept))


def execute(ledger: str, command: list[str]) -> None:  # noqa: ARG001 - it is in its environment
    """Be this command from now on."""
    os.execvp(command[0], command)  # noqa: S606 - a harness has made it


async def _serve(mf: Mageflow, ledger: Ledger) -> None:
    tell_of(mf, ledger)
    try:
        await mf.serve()
    except Exception as error:
        ledger.note(REFUSED, error=type(error).__name__, text=str(error))
        raise


def tell_of(mf: Mageflow, ledger: Ledger) -> None:
    """Say once in each process that it works, in this one and in those that are forked from it: a
    backend may run bodies in these alone. In a process that runs none, it is never said."""

    def look() -> None:
        while mf.worker_id is None:
            time.sleep(LOOKS)
        ledger.note(roles.SERVING, worker=mf.worker_id)

    def begin() -> None:
        threading.Thread(target=look, daemon=True).start()

    os.register_at_fork(after_in_child=begin)
    begin()


class Logging(logging.Handler):
    """Writes a row for each line."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        said = vars(record)
        self._ledger.note(
            LOGGED,
            key=said.get("key"),
            attempt=said.get("attempt"),
            logger=record.name,
            level=record.levelname,
            text=self.format(record),
            run=said.get("run"),
            task=said.get("task"),
        )
