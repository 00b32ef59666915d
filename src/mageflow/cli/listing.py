"""`mageflow list`: the runs of a shared store, newest first."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mageflow.cli import times
from mageflow.cli.drawing import progress
from mageflow.cli.filters import (
    OfLabels,
    OfName,
    OfStatus,
    OfTask,
    Since,
    Until,
    labels_of,
    period,
)
from mageflow.cli.output import AsJson, fail, print_json, say, stdout, table, told
from mageflow.cli.shapes import run_json
from mageflow.cli.shared import Namespace, StoreUrl, given, opened
from mageflow_core import Status
from mageflow_core.stores.protocol import NodeView, Page, Query, RunView

MOST = 1_000  # runs a page
CURSOR = re.compile(r"\d+(\.\d+)?-.+")  # a time and an id

Limit = Annotated[int, typer.Option(min=1, max=MOST, help="Runs a page.")]
After = Annotated[str | None, typer.Option(metavar="CURSOR", help="The page behind this cursor.")]
Counts = Annotated[bool, typer.Option("--counts", help="Print how many runs of each status.")]
Ids = Annotated[bool, typer.Option("--ids", help="Print ids alone, one a line.")]


def list_(
    *,
    status: OfStatus = None,
    task: OfTask = None,
    name: OfName = None,
    label: OfLabels = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    after: After = None,
    counts: Counts = False,
    ids: Ids = False,
    as_json: AsJson = False,
    store: StoreUrl = None,
    namespace: Namespace = None,
) -> None:
    """List the runs of a shared store, newest first."""
    with told():
        labels = labels_of(label)
        if after is not None and not CURSOR.fullmatch(after):
            fail(f"--after {after!r} is no cursor: take the one that the page before has given")
        said = given(status=status, task=task, name=name, labels=labels or None, after=after)
        if counts:
            if said or since or until or ids:
                fail("--counts counts all runs: leave --ids and what chooses some of them out")
            asyncio.run(_count(store, namespace, as_json=as_json))
            return
        if ids and as_json:
            fail("--ids prints ids alone, --json all there is: leave one of them out")
        page, now = asyncio.run(_found(store, namespace, said, (since, until), limit))
    if as_json:
        print_json({"runs": [run_json(run) for run in page.runs], "next": page.next})
    elif ids:
        for run in page.runs:
            typer.echo(run.id)
    elif page.runs:
        columns = ("id", "flow", "status", "created", "took", "progress", "labels")
        rows = [row(run, now) for run in page.runs]
        stdout().print(table(columns, rows, whole=("id", "status", "took")))
    else:
        say("no run is like that" if said or since or until else "there are no runs")
    if page.next is not None and not as_json:
        say(f"there are more: --after {page.next}")


async def _found(
    url: str | None,
    namespace: str | None,
    said: dict[str, Any],
    between: tuple[str | None, str | None],
    limit: int,
) -> tuple[Page, float]:
    """The page, and what time it is there."""
    async with opened(url, namespace) as store:
        first, last = period(*between, store.now())
        query = Query(**said, since=first, until=last, limit=limit)
        return await store.find(query), store.now()


async def _count(url: str | None, namespace: str | None, *, as_json: bool) -> None:
    async with opened(url, namespace) as store:
        found: Mapping[Status, int] = await store.counts()
    total = sum(found.values())
    if as_json:
        print_json({"counts": {each.value: found.get(each, 0) for each in Status}, "total": total})
        return
    rows = [(each.value, found[each]) for each in Status if found.get(each)]
    stdout().print(table(("status", "runs"), [*rows, ("all", total)]))


def row(run: RunView, now: float) -> tuple[str, ...]:
    """One line of the table."""
    root = run.root
    ended = run.settled_at or root.ended_at or now
    return (
        run.id,
        flow_of(root),
        root.status.value,
        times.clock(run.created_at, now),
        times.span(ended - run.started_at) if run.started_at is not None else "",
        progress(root),
        " ".join(f"{key}={value}" for key, value in run.signature.labels.items()),
    )


def flow_of(node: NodeView) -> str:
    """What people call it."""
    return node.name or node.task or node.kind
