"""What a process has of all that it should not have more and more of."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Mapping
from pathlib import Path

Census = Mapping[str, int]

PROC = Path("/proc/self")
# By how much each may differ over thousands of runs: connections come and go, and an allocator
# takes memory in pieces.
ROOM: Census = {
    "objects": 1_000,
    "kilobytes": 4_096,
    "tasks": 10,
    "sockets": 4,
    "descriptors": 6,
    "threads": 4,
}


def take_census() -> Census:
    """Of this process, on its event loop. Needs Linux."""
    gc.collect()
    links = [_link(each) for each in (PROC / "fd").iterdir()]
    status = (PROC / "status").read_text("ascii")
    return {
        "objects": len(gc.get_objects()),
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


def assert_none_grew(before: Census, after: Census, runs: int) -> None:
    """Raises `AssertionError` with all that is more than there is room for."""
    grew = {name: after[name] - before[name] for name in ROOM}
    more = [f"{many} {name}" for name, many in grew.items() if many > ROOM[name]]
    assert not more, f"after {runs} runs there are more: {', '.join(more)}; before: {before}"
