"""What client processes of the suite do: each function here is the whole life of one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from mageflow_conformance.backends.census import ROOM, Census, back_to, take_census
from mageflow_conformance.backends.gates import OPEN
from mageflow_conformance.backends.life import app_of
from mageflow_conformance.flows import call
from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow

READY = "ready"  # rows of clients that wait at their gate
GOT = "got"  # rows of what a client was given
CENSUS = "census"
AT_ONCE = 100  # starts


def start_often(ledger: str, settings: dict[str, Any], key: str, times: int, gate: str) -> None:
    """Starts one flow with one start key so many times at once, when the gate opens."""
    with hastened():
        asyncio.run(_start_often(Ledger(ledger), settings, key, times, gate))


async def _start_often(
    ledger: Ledger, settings: dict[str, Any], key: str, times: int, gate: str
) -> None:
    async with app_of(ledger, {**settings, "worker": False}) as mf:
        await mf.opened()
        ledger.note(READY)
        await ledger.has(OPEN, gate=gate, within=30)
        starts = (mf.start(call("step", add=1), {"n": 1}, key=key) for _ in range(times))
        runs = await asyncio.gather(*starts)
        ledger.note(GOT, runs=[run.id for run in runs])


def start_many(ledger: str, settings: dict[str, Any], warm: int, count: int) -> None:
    """Starts `warm` runs, waits for each tenth and the last ones, and takes a census; then `count`
    more, and another."""
    with hastened():
        asyncio.run(_start_many(Ledger(ledger), settings, warm, count))


async def _start_many(ledger: Ledger, settings: dict[str, Any], warm: int, count: int) -> None:
    async with app_of(ledger, {**settings, "worker": False}) as mf:
        await mf.opened()
        idle = len(asyncio.all_tasks()) + ROOM["tasks"]
        await _start_all(mf, warm)
        # A run may be over before the engine has confirmed its job, or one sent again.
        with suppress(AssertionError):  # then the census tells
            await eventually(lambda: len(asyncio.all_tasks()) <= idle, within=20)
        before = await _census()
        _note(ledger, before)
        await _start_all(mf, count)
        _note(ledger, await back_to(before, _census, count))


def _note(ledger: Ledger, census: Census) -> None:
    found: dict[str, Any] = dict(census)
    ledger.note(CENSUS, **found)


async def _census() -> Census:
    return take_census()


async def _start_all(mf: Mageflow, count: int) -> None:
    for first in range(0, count, AT_ONCE):
        last = first + AT_ONCE >= count
        waits = (last or n % 10 == 0 for n in range(AT_ONCE))
        await asyncio.gather(*(_start(mf, waits=each) for each in waits))


async def _start(mf: Mageflow, *, waits: bool) -> None:
    run = await mf.start(call("count"))
    if waits:
        await run.settled(timeout=60)
