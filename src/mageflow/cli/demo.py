"""`mageflow demo`: a real flow over real input, with nothing to install or start."""

from __future__ import annotations

import asyncio
import secrets
import sysconfig
import warnings
from dataclasses import asdict
from typing import Annotated

import typer

from mageflow.cli import watching
from mageflow.cli.output import (
    FAILED,
    WRONG_USE,
    AsJson,
    fail,
    print_json,
    stdout,
    told,
    warnings_left_out,
)
from mageflow.cli.patience import answered
from mageflow.cli.shared import Namespace, given, impatient
from mageflow.cli.working import working
from mageflow.demo.report import counted
from mageflow_core import Status
from mageflow_core.settings import Settings


def demo(
    folder: Annotated[
        str, typer.Argument(help="Where to look for .py and .txt files.", show_default=False)
    ] = "",
    as_json: AsJson = False,
    store: Annotated[
        str | None, typer.Option(metavar="URL", help="Where its state is kept; else in memory.")
    ] = None,
    namespace: Namespace = None,
    backend: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What hands its jobs around; else this process."),
    ] = None,
) -> None:
    """Measure all sources in FOLDER, side by side; by default those that Python came with. The
    worker is in this process, whatever the backend."""
    options = given(store=store, namespace=namespace, backend=backend)
    # What is measured is not ours: warnings about it are no concern of the user's. In here and
    # not around the parsing, as the filters are those of all threads.
    with told(), warnings.catch_warnings(), warnings_left_out():
        warnings.simplefilter("ignore")
        where = folder or sysconfig.get_path("stdlib")
        asyncio.run(_demo(where, options, as_json=as_json))


async def _demo(folder: str, options: dict[str, str], *, as_json: bool) -> None:
    from mageflow.demo import flow  # noqa: PLC0415  # makes an app, which other commands must not find

    if options:
        settings = Settings.load(**{**flow.mf.settings.model_dump(), **options})
        flow.mf.settings = impatient(settings)
    async with working(flow.mf) as store:
        key = secrets.token_hex(8)  # so that it starts once, however often it is asked for
        run = await answered(lambda: flow.mf.start(flow.flow(), {"folder": folder}, key=key))
        await watching.settled(store, run, "measuring")
        ended = await watching.summary(store, run)
        error = await answered(run.error)
        if error is not None:
            # It is the folder that is wrong, unless something else than looking at it failed.
            code = WRONG_USE if error.task == "discover" else FAILED
            fail(ended.callbacks.get("advise", error.message), code)
        if ended.status != Status.DONE:
            fail(f"run {run.id} is {ended.status}", FAILED)
        report = await answered(run.result)
    if as_json:
        print_json({**asdict(report), "run": asdict(ended)})
        return
    console = stdout()
    from mageflow.demo.table import tables  # noqa: PLC0415

    for title, table in tables(report):
        console.print(title, style="bold", markup=False, soft_wrap=True)
        console.print(table)
        console.print()
    console.print(ended.callbacks["announce"], markup=False)
    console.print(f"{counted(ended.tasks, 'task')} ran in {ended.seconds:.1f} s", markup=False)
