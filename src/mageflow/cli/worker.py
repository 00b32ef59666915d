"""`mageflow worker`: a process that runs the tasks of an app until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import Annotated

import typer

from mageflow.cli import target
from mageflow.cli.output import fail, say, told
from mageflow.cli.shared import Namespace, StoreUrl, given, refuse_private
from mageflow.cli.workers import tasks_of
from mageflow.demo.report import counted
from mageflow_core import Mageflow
from mageflow_core.settings import safe_url

EVERY = 0.02  # seconds between looks whether it is open


class Level(StrEnum):
    """Of log lines."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


App = Annotated[
    str,
    typer.Argument(
        metavar="MODULE[:APP]",
        envvar="MAGEFLOW_MODULE",
        help="The app, imported from the working directory.",
    ),
]
Slots = Annotated[
    int | None, typer.Option(min=1, help="Bodies at the same time; in place of the setting.")
]
ThreadCount = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Bodies in threads; in place of the setting."),
]
LogLevel = Annotated[Level, typer.Option("--log-level", help="What is logged on stderr.")]


def worker(
    app: App,
    *,
    slots: Slots = None,
    threads: ThreadCount = None,
    log_level: LogLevel = Level.INFO,
    store: StoreUrl = None,
    namespace: Namespace = None,
) -> None:
    """Run the tasks of an app until SIGTERM or Ctrl-C, which let what runs end first; the second
    one stops at once."""
    with told():
        served = target.app_at(app)
        if not tasks_of(served.registry.names()):
            fail(f"{app} has no tasks: name a module that registers some, or imports those that do")
        options = given(slots=slots, threads=threads, store=store, namespace=namespace)
        served.settings = served.settings.but(**options)
        refuse_private(served.settings)
        log_at(log_level)
        asyncio.run(serve(served))


def log_at(level: Level) -> None:
    """Log to stderr, unless the app's module has set something up itself."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("mageflow").setLevel(level.value.upper())


async def serve(app: Mageflow) -> None:
    """Say what works, once it does, and until it is stopped."""
    saying = asyncio.create_task(_say_when_open(app))
    try:
        await app.serve()
    finally:
        saying.cancel()


async def _say_when_open(app: Mageflow) -> None:
    while True:
        if app.worker_id is not None or app.elsewhere:
            break
        await asyncio.sleep(EVERY)
    settings = app.settings
    who = f"worker {app.worker_id}" if app.worker_id is not None else "a worker of processes"
    say(
        f"{who} runs {counted(len(tasks_of(app.registry.names())), 'task')} of "
        f"namespace {settings.namespace} on {settings.backend} and {safe_url(settings.store)}"
    )
