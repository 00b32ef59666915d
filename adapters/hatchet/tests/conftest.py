"""Servers, started once, and apps on them: each test has a namespace of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_hatchet.stub.server import HatchetStub

DOUBLES = str(Path(__file__).parent / "doubles")
if DOUBLES not in sys.path:
    sys.path.insert(0, DOUBLES)

from hatchet_bench import HatchetBench  # noqa: E402 - from the folder that was just added

FAST = 0.02  # seconds to one of the engine's timeouts


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def engine() -> Iterator[HatchetStub]:
    with HatchetStub() as server:
        yield server


@pytest.fixture(scope="session")
def fast_engine() -> Iterator[HatchetStub]:
    """One whose timeouts are short: that of a minute is little more than a second."""
    with HatchetStub(scale=FAST) as server:
        yield server


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name).strip("-").lower()[:80]


@pytest.fixture
async def bench(
    redis: RedisServer, engine: HatchetStub, namespace: str
) -> AsyncIterator[HatchetBench]:
    async with AsyncExitStack() as stack:
        yield HatchetBench(stack, namespace, redis.url, engine)


@pytest.fixture
async def fast_bench(
    redis: RedisServer, fast_engine: HatchetStub, namespace: str
) -> AsyncIterator[HatchetBench]:
    async with AsyncExitStack() as stack:
        yield HatchetBench(stack, namespace, redis.url, fast_engine)
