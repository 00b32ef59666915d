"""`mageflow workers`: the live workers of a shared store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from mageflow.cli import times
from mageflow.cli.output import AsJson, print_json, say, stdout, table, told
from mageflow.cli.shared import Namespace, StoreUrl, opened
from mageflow_core.signatures.branch import BRANCH
from mageflow_core.stores.protocol import WorkerInfo

COLUMNS = ("id", "host", "pid", "running", "slots", "backends", "tasks", "since", "seen")


def workers(as_json: AsJson = False, store: StoreUrl = None, namespace: Namespace = None) -> None:
    """List the workers that are alive, and what they can do."""
    with told():
        found, now = asyncio.run(_alive(store, namespace))
    if as_json:
        print_json([worker_json(worker) for worker in found])
    elif found:
        stdout().print(table(COLUMNS, [row(worker, now) for worker in found], whole=("id",)))
    else:
        say("no worker is alive: `mageflow worker MODULE` starts one")


def tasks_of(names: Iterable[str]) -> list[str]:
    """Those that somebody has registered: every app has the built-in one besides."""
    return sorted(set(names) - {BRANCH})


async def _alive(url: str | None, namespace: str | None) -> tuple[Sequence[WorkerInfo], float]:
    async with opened(url, namespace) as store:
        return await store.workers(), store.now()


def worker_json(worker: WorkerInfo) -> dict[str, Any]:
    return {
        "id": worker.id,
        "host": worker.host,
        "pid": worker.pid,
        "running": worker.running,
        "slots": worker.slots,
        "backends": sorted(worker.backends),
        "tasks": tasks_of(worker.tasks),
        "started_at": worker.started_at,
        "seen_at": worker.seen_at,
    }


def row(worker: WorkerInfo, now: float) -> tuple[object, ...]:
    return (
        worker.id,
        worker.host,
        str(worker.pid),
        worker.running,
        worker.slots,
        ", ".join(sorted(worker.backends)),
        len(tasks_of(worker.tasks)),
        times.clock(worker.started_at, now) if worker.started_at else "",
        f"{times.span(now - worker.seen_at)} ago",
    )
