"""Real servers, started once, and apps on them: each test has a namespace of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path

import pytest
from celery import Celery
from kombu import pools

from mageflow_conformance.backends.place import Place
from mageflow_conformance.servers import (
    RabbitServer,
    RedisServer,
    require_rabbit,
    require_redis,
)

DOUBLES = Path(__file__).parent / "doubles"
if str(DOUBLES) not in sys.path:
    sys.path.insert(0, str(DOUBLES))

from celery_bench import Bench  # noqa: E402 - from the folder that was just added


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


@pytest.fixture(autouse=True)
def _own_connections() -> Iterator[None]:
    """Have no test meet what another one left in kombu's pools, which all apps of a process share:
    the children that a worker in this process forks shut down the sockets that they find there."""
    yield
    pools.reset()


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name).strip("-").lower()[:80]


@pytest.fixture
async def bench(redis: RedisServer, namespace: str) -> AsyncIterator[Bench]:
    """Redis, and one process with threads."""
    async with AsyncExitStack() as stack:
        yield Bench(stack, namespace, redis.url, "celery", {"url": redis.url, "pool": "threads"})


@pytest.fixture(params=["redis", "rabbitmq"])
async def any_bench(
    request: pytest.FixtureRequest, redis: RedisServer, namespace: str
) -> AsyncIterator[Bench]:
    """Each broker in turn, with two child processes."""
    server = {"rabbitmq": "rabbit"}.get(request.param, "redis")
    url = request.getfixturevalue(server).url
    async with AsyncExitStack() as stack:
        yield Bench(stack, namespace, redis.url, "celery", {"url": url, "processes": 2})


@pytest.fixture
def place(any_bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with closing(Place(any_bench, tmp_path, DOUBLES)) as made:
        yield made


@pytest.fixture
def native(bench: Bench) -> Celery:
    """Somebody's own app."""
    app = Celery("shop", broker=bench.store, set_as_current=False)
    app.conf.update(
        task_default_queue=bench.queue,
        worker_prefetch_multiplier=1,
        worker_hijack_root_logger=False,
    )
    return app
