"""How commands say things: data on stdout, all else on stderr."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, NoReturn

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
WIDE = 400  # columns where nobody looks: what reads a line wants all of it there

CONTROLS = set(map(chr, [*range(0x20), *range(0x7F, 0xA0)])) - {"\n", "\t"}
WRITTEN_OUT = {ord(each): f"\\x{ord(each):02x}" for each in CONTROLS}

# What is about what the user has written, as against what became of it.
USERS = (ConfigurationError, DataError, SignatureError, SteeringError)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def stdout() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDE
    return console


def stderr() -> Console:
    return Console(stderr=True, highlight=False)


def say(message: str) -> None:
    """What is no data."""
    # Not typer's: it would write past the bar that may be on the terminal.
    print(f"mageflow: {message}", file=sys.stderr)


def fail(message: str, code: int = WRONG_USE) -> NoReturn:
    """Say what is wrong and end."""
    say(message)
    raise typer.Exit(code)


@contextmanager
def told() -> Iterator[None]:
    """MageFlow's own errors become a message and an exit code; others are bugs, and stay."""
    try:
        yield
    except MageflowError as error:
        fail(str(error), WRONG_USE if isinstance(error, USERS) else FAILED)


@contextmanager
def warnings_left_out() -> Iterator[None]:
    """Nothing is logged that the command itself has a word for: one that a store does not answer
    says so once, and not each time that somebody tries again."""
    log = logging.getLogger("mageflow")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def print_json(data: Any) -> None:
    as_written = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    typer.echo(json.dumps(data, indent=2, ensure_ascii=not as_written))


def visible(text: str) -> str:
    """With what would move the cursor, or colour the rest, written out."""
    return text.translate(WRITTEN_OUT)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], whole: Sequence[str] = ()
) -> Table:
    """Numbers to the right, all else as it is written: no markup. whole: columns that are never
    folded."""
    made = Table(box=None)
    rows = [list(row) for row in rows]
    for position, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[position], int) for row in rows)
        side: Literal["left", "right"] = "right" if numeric else "left"
        made.add_column(column, justify=side, overflow="fold", no_wrap=column in whole)
    for row in rows:
        made.add_row(*(Text(f"{v:,}" if type(v) is int else visible(str(v))) for v in row))
    return made
