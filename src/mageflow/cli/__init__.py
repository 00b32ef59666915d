"""The command line, `mageflow`: a module for each command."""

from collections.abc import Callable
from typing import Annotated

import typer

from mageflow.cli import (
    backends,
    demo,
    doctor,
    listing,
    run,
    show,
    steering,
    worker,
    workers,
)

__all__ = [
    "app",
    "backends",
    "demo",
    "doctor",
    "listing",
    "main",
    "run",
    "show",
    "steering",
    "worker",
    "workers",
]

app = typer.Typer(
    name="mageflow",
    help="Say in one place how the tasks of any task manager flow.",
    epilog="Exit codes: 0 done, 1 the flow failed or something is wrong, 2 wrong usage or input.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS: dict[str, Callable[..., None]] = {
    "demo": demo.demo,
    "run": run.run,
    "worker": worker.worker,
    "list": listing.list_,
    "show": show.show,
    "suspend": steering.suspend,
    "resume": steering.resume,
    "interrupt": steering.interrupt,
    "cancel": steering.cancel,
    "retry": steering.retry,
    "workers": workers.workers,
    "backends": backends.backends,
    "doctor": doctor.doctor,
}
for name, command in COMMANDS.items():
    app.command(name)(command)


def _version(wanted: bool) -> None:
    if wanted:
        from mageflow import __version__  # noqa: PLC0415  # the core is not needed for --help

        typer.echo(f"mageflow {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[  # it has been served before
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it and end.")
    ] = False,
) -> None:
    """Options before the command."""


def main() -> None:
    """The entry point."""
    app(prog_name="mageflow")
