"""`mageflow demo`: a real flow over real input, with nothing to install or start."""

from __future__ import annotations

import asyncio
import sysconfig
import warnings
from dataclasses import asdict
from typing import Annotated

import typer

from mageflow.cli import watching
from mageflow.cli.output import FAILED, WRONG_USE, AsJson, fail, print_json, stdout, told
from mageflow.demo.report import counted
from mageflow_core import Status


def demo(
    folder: Annotated[
        str, typer.Argument(help="Where to look for .py and .txt files.", show_default=False)
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Measure all sources in FOLDER, side by side; by default those that Python came with."""
    # What is measured is not ours: warnings about it are no concern of the user's. In here and
    # not around the parsing, as the filters are those of all threads.
    with told(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(_demo(folder or sysconfig.get_path("stdlib"), as_json=as_json))


async def _demo(folder: str, *, as_json: bool) -> None:
    from mageflow.demo import flow  # noqa: PLC0415  # makes an app, which other commands must not find

    async with flow.mf:
        run = await flow.flow().start({"folder": folder})
        await watching.settled(run, "measuring")
        ended = await watching.summary(flow.mf, run)
        error = await run.error()
        if error is not None:
            # It is the folder that is wrong, unless something else than looking at it failed.
            code = WRONG_USE if error.task == "discover" else FAILED
            fail(ended.callbacks.get("advise", error.message), code)
        if ended.status != Status.DONE:
            fail(f"run {run.id} is {ended.status}", FAILED)
        report = await run.result()
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
