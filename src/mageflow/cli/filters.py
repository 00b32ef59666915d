"""The runs that are meant, by what options say of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mageflow.cli import times
from mageflow.cli.output import fail
from mageflow_core import Status

OfStatus = Annotated[
    Status | None, typer.Option("--status", help="Runs that are shown with this status.")
]
OfTask = Annotated[str | None, typer.Option("--task", help="Runs of this task alone.")]
OfName = Annotated[str | None, typer.Option("--name", help="Runs whose signature has this name.")]
OfLabels = Annotated[
    list[str] | None,
    typer.Option("--label", metavar="KEY=VALUE", help="Runs with this label; several: with all."),
]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Stored at or after: 2h (ago), ISO, or epoch."),
]
Until = Annotated[
    str | None, typer.Option("--until", metavar="TIME", help="Stored before: as with --since.")
]


def labels_of(texts: Sequence[str] | None) -> dict[str, str]:
    """Of `key=value` texts; what is behind the first `=` is the value."""
    labels: dict[str, str] = {}
    for text in texts or ():
        key, equals, value = text.partition("=")
        if not key or not equals:
            fail(f"--label {text!r} is no label: write --label customer=acme")
        if labels.setdefault(key, value) != value:
            fail(f"--label {key!r} is given twice: no run has two values of one label")
    return labels


def period(since: str | None, until: str | None, now: float) -> tuple[float | None, float | None]:
    """From when, and until when."""
    first = times.point(since, now, "--since") if since is not None else None
    last = times.point(until, now, "--until") if until is not None else None
    if first is not None and last is not None and first >= last:
        fail(f"nothing lies between --since {since} and --until {until}")
    return first, last
