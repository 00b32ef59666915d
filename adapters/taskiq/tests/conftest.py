"""Real servers, started once, and apps on them: each test has a namespace of its own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.servers import (
    NatsServer,
    RabbitServer,
    RedisServer,
    require_nats,
    require_rabbit,
    require_redis,
)

KINDS = ("redis-stream", "redis-list", "rabbitmq", "nats")


@pytest.fixture(scope="session")
def redis() -> Iterator[RedisServer]:
    """For stores, and for brokers where nothing else is wanted."""
    require_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="session")
def rabbit() -> Iterator[RabbitServer]:
    require_rabbit()
    with RabbitServer() as server:
        yield server


@pytest.fixture(scope="session")
def nats() -> Iterator[NatsServer]:
    require_nats()
    with NatsServer() as server:
        yield server


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name).strip("-").lower()[:80]


@pytest.fixture
async def bench(redis: RedisServer, namespace: str) -> AsyncIterator[Bench]:
    """Streams of Redis."""
    async with AsyncExitStack() as stack:
        yield Bench(stack, namespace, redis.url, "taskiq", {"url": redis.url})


@pytest.fixture(params=KINDS)
async def any_bench(
    request: pytest.FixtureRequest, redis: RedisServer, namespace: str
) -> AsyncIterator[Bench]:
    """Each kind of broker in turn."""
    server = {"rabbitmq": "rabbit", "nats": "nats"}.get(request.param, "redis")
    url = request.getfixturevalue(server).url
    async with AsyncExitStack() as stack:
        yield Bench(stack, namespace, redis.url, "taskiq", {"url": url, "broker": request.param})
