"""Tasks for trials of what a process keeps over thousands of runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from mageflow_conformance.backends.census import take_census
from mageflow_conformance.servers.ports import HOST
from mageflow_conformance.witness import Witness
from mageflow_core import Context, Mageflow


def lasting_tasks(mf: Mageflow, witness: Witness) -> None:
    _counting(mf, witness)
    _asking(mf, witness)


def _counting(mf: Mageflow, witness: Witness) -> None:
    counted = 0

    @mf.task
    async def count() -> None:
        """Not written down, so that it costs little."""
        nonlocal counted
        counted += 1

    @mf.task
    def count_in_thread() -> None:
        nonlocal counted
        counted += 1

    @mf.task
    async def census(ctx: Context) -> Mapping[str, int]:
        """What its process has, and how many of those have run in it."""
        with witness.body(ctx):
            return {**take_census(), "counted": counted}


def _asking(mf: Mageflow, witness: Witness) -> None:
    mine: dict[str, Any] = {}

    @mf.task
    async def ask(ctx: Context, port: int, failures: int = 0) -> list[int]:
        """Ask a Redis by the one connection that all bodies of this process share, as people have
        a client of their own; gives its process, its event loop, and that connection's port."""
        with witness.body(ctx):
            if not mine:
                mine["lock"] = asyncio.Lock()
            async with mine["lock"]:  # waited for by many, it belongs to one event loop
                if "writer" not in mine:
                    mine["reader"], mine["writer"] = await asyncio.open_connection(HOST, port)
                mine["writer"].write(b"PING\r\n")
                answer = await mine["reader"].readline()
            if answer != b"+PONG\r\n" or ctx.attempt <= failures:
                raise ValueError(f"attempt {ctx.attempt} was answered with {answer!r}")
            own = mine["writer"].get_extra_info("sockname")[1]
            return [os.getpid(), id(asyncio.get_running_loop()), own]
