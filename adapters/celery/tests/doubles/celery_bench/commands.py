"""The app that worker commands of the tests serve; it writes down what it does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from celery import Celery

from mageflow_core import Context, Mageflow

mf = Mageflow(warn_unclosed=False)
client: Celery = mf.native


def note(text: str) -> None:
    with Path(os.environ["BENCH_NOTES"]).open("a") as notes:
        notes.write(f"{text}\n")


@mf.task
async def hold(ctx: Context, name: str) -> str:
    """Ends where a file of this name is there."""
    note(f"{name} {ctx.attempt} {os.getsid(0)}")
    while not Path(os.environ["BENCH_NOTES"]).with_name(name).exists():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    return name


@mf.task
def quick(n: int) -> int:
    return n + 1


@client.task(name="bench:native", shared=False)  # type: ignore[untyped-decorator]
def native(text: str) -> None:
    note(f"native {text}")
