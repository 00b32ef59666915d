"""`mageflow run`: a flow of the user's, watched until it has ended."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import typer

from mageflow.cli import target, watching
from mageflow.cli.output import FAILED, AsJson, fail, print_json, told
from mageflow.cli.patience import answered
from mageflow_core import ErrorInfo, Status

Target = Annotated[
    str, typer.Argument(metavar="MODULE:FLOW", help="A task, a signature, or what gives one.")
]
Message = Annotated[
    str | None,
    typer.Option("--input", metavar="JSON|@FILE", help="The message that the flow starts with."),
]


def run(flow: Target, message: Message = None, as_json: AsJson = False) -> None:
    """Run a flow, wait for it and its callbacks, and print its result as JSON."""
    with told():
        given = target.message_of(message)
        module, found = target.load(flow)
        app = target.app_of(module, found)
        asyncio.run(_run(app, flow, found, given, as_json=as_json))


async def _run(app: Any, name: str, found: Any, message: Any, *, as_json: bool) -> None:
    async with app:
        started = await target.started(app, name, found, message)
        store = await app.opened()
        await watching.settled(store, started, name)
        ended = await watching.summary(store, started)
        error = await answered(started.error)
        done = ended.status == Status.DONE
        result = await watching.value(store, started.key) if done else None
    if as_json:
        shown = error.to_json() if error is not None else None
        print_json({**asdict(ended), "result": result, "error": shown})
    if not done:
        fail(_why(ended, error, as_json=as_json), FAILED)
    if not as_json:
        print_json(result)


def _why(ended: watching.Summary, error: ErrorInfo | None, *, as_json: bool) -> str:
    if error is None:
        return f"run {ended.run} is {ended.status}"
    more = "" if as_json or not error.traceback else "; --json shows the traceback"
    return f"failed: {error}{more}"
