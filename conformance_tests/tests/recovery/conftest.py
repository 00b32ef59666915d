"""Real servers, real processes, and what they have written down."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.flows import make_app, roles
from mageflow_conformance.history import Evidence, assert_kept, collect
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Died, Nursery, Process
from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_conformance.waiting import eventually, scaled
from mageflow_core import Mageflow, Run


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


class Site:
    """Where a test plays: processes that work, and this one, which watches and steers."""

    def __init__(
        self, nursery: Nursery, ledger: Ledger, settings: Mapping[str, Any], stack: AsyncExitStack
    ) -> None:
        self.ledger = ledger
        self.settings = dict(settings)
        self._nursery = nursery
        self._stack = stack
        self.processes: list[Process] = []

    async def worker(self, **settings: Any) -> Process:
        """A process that works, and has said so."""
        process = self.begin(roles.serve, settings={**self.settings, **settings})

        def serves() -> bool:
            process.must_run()
            return any(row.pid == process.pid for row in self.ledger.of(roles.SERVING))

        try:
            await eventually(serves, within=20)
        except AssertionError:
            raise Died(process.say("does not work")) from None
        return process

    def of(self, pid: int) -> Process:
        return next(process for process in self.processes if process.pid == pid)

    def begin(self, role: Callable[..., None], /, **arguments: Any) -> Process:
        given = {"settings": self.settings, **arguments}
        process = self._nursery.start(role, self.ledger, **given)
        self.processes.append(process)
        return process

    async def kept(self, run: Run[Any], *, within: float = 20.0) -> Evidence:
        """Wait until a run is settled, and assert that all was kept that is promised."""
        await run.settled(timeout=scaled(within))
        store = await run._opened()
        evidence = await collect(store, run.id, self.ledger)
        assert_kept(evidence)
        return evidence

    async def watch(self, **settings: Any) -> Mageflow:
        """An app without a worker, open until the test ends."""
        merged = {**self.settings, "worker": False, **settings}
        return await self._stack.enter_async_context(make_app(self.ledger, **merged))


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
        for process in site.processes:
            process.end()
