"""How commands say things: data on stdout, all else on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mageflow_core.errors import (
    ConfigurationError,
    DataError,
    MageflowError,
    SignatureError,
    SteeringError,
)

FAILED = 1
WRONG_USE = 2

# What is about what the user has written, as against what became of it.
USERS = (ConfigurationError, DataError, SignatureError, SteeringError)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def stdout() -> Console:
    return Console(highlight=False)


def stderr() -> Console:
    return Console(stderr=True, highlight=False)


def fail(message: str, code: int = WRONG_USE) -> NoReturn:
    """Say what is wrong and end."""
    typer.echo(f"mageflow: {message}", err=True)
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """MageFlow's own errors become a message and an exit code; others are bugs, and stay."""
    try:
        yield
    except MageflowError as error:
        fail(str(error), WRONG_USE if isinstance(error, USERS) else FAILED)


def print_json(data: Any) -> None:
    as_written = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(data, indent=2, ensure_ascii=not as_written))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Numbers to the right, all else as it is written: no markup."""
    made = Table(box=None)
    rows = [list(row) for row in rows]
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int) for row in rows)
        made.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(f"{v:,}" if type(v) is int else str(v)) for v in row))
    return made
