"""Servers for the tests of servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mageflow_conformance.servers import RedisServer, require_redis


@pytest.fixture(autouse=True)
def _redis() -> None:
    require_redis()


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """One that writes to its disk what it answers to."""
    with RedisServer(persistence="aof") as running:
        yield running
