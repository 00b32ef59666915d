"""Where a trial plays: processes that work, and this one, which watches and steers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from mageflow_conformance.flows import make_app, roles
from mageflow_conformance.history import Evidence, assert_kept, collect
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Died, Nursery, Process
from mageflow_conformance.waiting import eventually, scaled
from mageflow_core import Mageflow, Run


class Site:
    """settings: of all apps here; with `store` and `namespace` at least. stack: closed when it is
    over; the processes are ended by `end`."""

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
        return await self.serving(self.begin(roles.serve, settings={**self.settings, **settings}))

    async def serving(self, process: Process, *, within: float = 20.0) -> Process:
        """Wait until a process says that it works. Raises `Died`."""

        def serves() -> bool:
            process.must_run()
            return any(row.process == process.pid for row in self.ledger.of(roles.SERVING))

        try:
            await eventually(serves, within=within)
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
        store = await run._opened()  # noqa: SLF001 - it knows its app
        evidence = await collect(store, run.id, self.ledger)
        assert_kept(evidence)
        return evidence

    async def watch(self, **settings: Any) -> Mageflow:
        """An app without a worker, open until the site is over."""
        merged = {**self.settings, "worker": False, **settings}
        return await self._stack.enter_async_context(make_app(self.ledger, **merged))

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes:
            process.end()
