"""The command line, `mageflow`: a module for each command."""

from typing import Annotated

import typer

from mageflow.cli import backends, demo, doctor, run

__all__ = ["app", "backends", "demo", "doctor", "main", "run"]

app = typer.Typer(
    name="mageflow",
    help="Say in one place how the tasks of any task manager flow.",
    epilog="Exit codes: 0 done, 1 the flow failed or something is wrong, 2 wrong usage or input.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (demo.demo, run.run, backends.backends, doctor.doctor):
    app.command()(command)


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
