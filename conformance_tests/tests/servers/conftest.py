"""Servers for the tests of servers, and what is left of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mageflow_conformance.servers import RedisServer, require_redis

ProcessesOf = Callable[[Path], list[int]]


@pytest.fixture
def redis() -> None:
    require_redis()


@pytest.fixture
def server(redis: None) -> Iterator[RedisServer]:
    """One that writes to its disk what it answers to."""
    with RedisServer(persistence="aof") as running:
        yield running


@pytest.fixture
def processes_of() -> ProcessesOf:
    """Return a look for the processes that were told of a folder, whoever is their parent now."""

    def look(folder: Path) -> list[int]:
        return [
            int(process.name)
            for process in Path("/proc").glob("[0-9]*")
            if str(folder).encode() in told(process)
        ]

    return look


def told(process: Path) -> bytes:
    """By its command and its environment; one that has ended was told nothing."""
    with suppress(OSError):
        return (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    return b""
