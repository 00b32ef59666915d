"""A project on Celery that is on its way to Taskiq. Its tasks write down what they do, and wait
until they are let."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from celery import Celery

from mageflow_core import Context, Mageflow

client = Celery("shop", broker=os.environ["ENGINES_CELERY"], set_as_current=False)
client.conf.update(
    task_default_queue=f"{os.environ['MAGEFLOW_NAMESPACE']}.native",
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
)
mf = Mageflow(client, backend="celery,taskiq", warn_unclosed=False)
broker = mf.native_of("taskiq")
NOTES = Path(os.environ["ENGINES_NOTES"])


def note(ctx: Context, n: int, what: str) -> None:
    engine = "taskiq" if type(ctx.native).__module__.startswith("taskiq") else "celery"
    with NOTES.open("a") as notes:
        notes.write(f"{ctx.task} {n} {what} {engine} {os.getsid(0)} {os.getpid()}\n")


def may_end(task: str, n: int) -> bool:
    return any(NOTES.with_name(name).exists() for name in ("all", f"{task}-{n}"))


@mf.task
async def buy(ctx: Context, n: int) -> dict[str, int]:
    note(ctx, n, "begun")
    try:
        while not may_end("buy", n):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note(ctx, n, "stopped")
        raise
    note(ctx, n, "ended")
    return {"n": n + 1}


@mf.task(backend="taskiq")
async def ship(ctx: Context, n: int) -> dict[str, int]:
    note(ctx, n, "begun")
    try:
        while not may_end("ship", n):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        note(ctx, n, "stopped")
        raise
    note(ctx, n, "ended")
    return {"n": 10 * n}


@mf.task
def sum_up(ctx: Context, results: list[dict[str, int]]) -> None:
    note(ctx, sum(each["n"] for each in results), "ended")


@client.task(name="shop.tasks:Stubborn", bind=True, max_retries=3, default_retry_delay=0.05)  # type: ignore[untyped-decorator]
def stubborn(self: Any, n: int) -> list[int]:
    """A native task, which knows of neither."""
    with NOTES.open("a") as notes:
        notes.write(f"stubborn {n} {self.request.retries} - {os.getsid(0)} {os.getpid()}\n")
    if self.request.retries < 2:
        raise self.retry(exc=OSError("not yet"))
    return [n, int(self.request.retries)]
