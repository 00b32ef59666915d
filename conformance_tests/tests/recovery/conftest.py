"""Real servers, real processes, and what they have written down."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Nursery
from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_conformance.site import Site


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("processes")) as nursery:
        yield nursery


@pytest.fixture
def make_server() -> Iterator[Callable[..., RedisServer]]:
    """Starts servers of the test's own; by default they keep all that they have acknowledged."""
    require_redis()
    with ExitStack() as stack:

        def make(**options: Any) -> RedisServer:
            return stack.enter_context(RedisServer(**{"persistence": "aof", **options}))

        yield make


@pytest.fixture(scope="session")
def _shared() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer(persistence="aof") as server:
        yield server


@pytest.fixture
def server(_shared: RedisServer) -> RedisServer:
    """One that must be left as it is."""
    _shared.call("FLUSHALL")
    return _shared


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    return re.sub(r"\W+", "-", request.node.name).lower().strip("-")[:60]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    yield made
    made.close()


@pytest.fixture
async def make_site(
    nursery: Nursery, ledger: Ledger, namespace: str
) -> AsyncIterator[Callable[..., Site]]:
    """Sites on a store, with these settings; what is left of their processes is ended."""
    made: list[Site] = []
    async with AsyncExitStack() as stack:

        def make(store: str, **settings: Any) -> Site:
            given = {"store": store, "namespace": namespace, **settings}
            made.append(Site(nursery, ledger, given, stack))
            return made[-1]

        yield make
    for site in made:
        site.end()
