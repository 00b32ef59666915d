"""What a process has of all that it should not have more and more of."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from mageflow_conformance.waiting import eventually

Census = Mapping[str, int]

PROC = Path("/proc/self")
# By how much each may grow over thousands of runs: connections come and go, and an allocator takes
# memory in pieces.
ROOM: Census = {"kilobytes": 4_096, "tasks": 10, "sockets": 4, "descriptors": 6, "threads": 40}
BLOCKS = 0.4  # of memory, in the mean of all runs: nothing is kept of each of them


def take_census() -> Census:
    """Of this process, on its event loop. Needs Linux."""
    gc.collect()
    links = [_link(each) for each in (PROC / "fd").iterdir()]
    status = (PROC / "status").read_text("ascii")
    return {
        "blocks": sys.getallocatedblocks(),
        "kilobytes": int(status.partition("VmRSS:")[2].split()[0]),
        "tasks": len(asyncio.all_tasks()),
        "sockets": sum(link.startswith("socket:") for link in links),
        "descriptors": len(links),
        "threads": threading.active_count(),
    }


def _link(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:  # the one that the folder was read by
        return ""


def grown(before: Census, after: Census, runs: int) -> list[str]:
    """All that is more than there is room for."""
    room = {**ROOM, "blocks": BLOCKS * runs}
    grew = {name: after[name] - before[name] for name in room}
    return [f"{many} {name}" for name, many in grew.items() if many > room[name]]


def assert_none_grew(before: Census, after: Census, runs: int) -> None:
    """Raises `AssertionError` with all that is more than there is room for."""
    more = grown(before, after, runs)
    assert not more, f"after {runs} runs there are more: {', '.join(more)}; before: {before}"


async def back_to(
    before: Census, taken: Callable[[], Awaitable[Census]], runs: int, *, within: float = 10
) -> Census:
    """What is taken once nothing is left of the runs but what there is room for: some of it may be
    on its way still when they have ended. The last one where that does not come."""
    last = before

    async def went() -> bool:
        nonlocal last
        last = await taken()
        return not grown(before, last, runs)

    with suppress(AssertionError):
        await eventually(went, within=within)
    return last
