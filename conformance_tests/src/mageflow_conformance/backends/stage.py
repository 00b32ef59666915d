"""What a requirement's check plays on: an engine, workers that are real processes, a client."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from functools import cached_property
from typing import Any

from mageflow_conformance.backends import life
from mageflow_conformance.backends.harness import Harness, Natives
from mageflow_conformance.flows import roles
from mageflow_conformance.flows.hastening import hastened_steps
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Nursery, Process
from mageflow_conformance.proxy import Proxy
from mageflow_conformance.servers import RedisServer, Wire
from mageflow_conformance.site import Site
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow
from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.stores.protocol import WorkerInfo

REAL_TIMES = {roles.HASTENED: False}  # of a worker that sends nothing again in a trial's time
HOSTING = "mageflow_conformance.backends.hosted"  # imported by the engine's own command alone


def process_of(info: WorkerInfo) -> int:
    """The one that the suite has started, of which this worker is a part."""
    try:
        return os.getsid(info.pid)  # each has a session of its own
    except ProcessLookupError:
        return info.pid


class Stage(Site):
    """One for each check, in a namespace of its own. What it has started is ended with it.

    mf: an app of this process that starts, watches and steers, and knows the suite's tasks; it
    runs none of them. store: the server that all runs are in. measured: see `Outcome`.
    """

    mf: Mageflow

    def __init__(
        self,
        harness: Harness,
        *,
        nursery: Nursery,
        ledger: Ledger,
        stack: AsyncExitStack,
        store: RedisServer,
        namespace: str,
        settings: dict[str, Any],
        breaks: str = "",
        path: Sequence[str] = (),
    ) -> None:
        self.harness = harness
        self.namespace = namespace
        self.store = store
        self._own = settings
        self.measured: dict[str, float] = {}
        self._breaks = breaks
        self._path = tuple(path)
        own = {
            "backend": harness.backend,
            "store": store.url,
            "namespace": namespace,
            roles.HASTENED: True,
            **harness.settings(namespace),
            **settings,
        }
        super().__init__(nursery, ledger, own, stack)

    async def open(self) -> None:
        self.mf = await self.watch()

    @cached_property
    def caps(self) -> Capabilities:
        return self.harness.caps(self.namespace)

    @property
    def witnesses(self) -> int:
        """Rows that other processes than this one have written: the evidence."""
        faults = ("killed", "frozen", "thawed")  # which this process writes of others
        return sum(row.pid != os.getpid() for row in self.ledger.rows() if row.what not in faults)

    # --- processes ------------------------------------------------------------------------------
    async def worker(self, **arguments: Any) -> Process:
        """A process that works, and has said so; arguments: as of `launch`."""
        return await self.serving(self.launch(**arguments), within=30)

    def launch(
        self,
        *,
        rules: Sequence[dict[str, Any]] = (),
        native: bool = False,
        bare: bool = False,
        knows: Sequence[str] | None = None,
        skew: float = 0.0,
        logs: bool = False,
        environment: dict[str, str] | None = None,
        **settings: Any,
    ) -> Process:
        """A process that is about to work; see `life.work`, and `seam.Rule` for `rules`.
        environment: its own, as for failpoints. settings: of its app, over those of the stage."""
        process = self._nursery.start(
            life.work,
            self.ledger,
            environment=environment,
            settings={**self.settings, **settings},
            harness=f"{type(self.harness).__module__}:{type(self.harness).__qualname__}",
            fields=asdict(self.harness),
            rules=list(rules),
            native=native,
            bare=bare,
            knows=knows,
            skew=skew,
            logs=logs,
            breaks=self._breaks,
            path=list(self._path),
        )
        self.processes.append(process)
        return process

    async def hosted(self) -> Process:
        """The engine's own command, which has said that it works with the app of `hosted`. The
        process that was started may leave that to others, which it ends itself."""
        command = self.harness.command(HOSTING)
        assert command is not None, "asked of an engine that has a command"
        known = len(self.ledger.of(roles.SERVING))
        order = {"ledger": str(self.ledger.path), "settings": self.settings}
        environment = {life.HOSTED: json.dumps(order)}
        process = self._nursery.start(
            life.execute, self.ledger, environment=environment, command=command
        )
        self.processes.append(process)

        def serves() -> bool:
            process.must_run()
            return len(self.ledger.of(roles.SERVING)) > known

        await eventually(serves, within=60, about=f"a worker of {' '.join(command)}")
        return process

    # --- apps of this process -------------------------------------------------------------------
    async def watch(self, *, bare: bool = False, **settings: Any) -> Mageflow:
        """An app that runs no tasks, open until the stage is over. bare: it does not even know the
        suite's tasks by name."""
        given = {**self.settings, "worker": False, **settings}
        return await self._stack.enter_async_context(life.app_of(self.ledger, given, bare=bare))

    async def around(self, natives: Natives) -> Mageflow:
        """An app that runs no tasks, around the engine's own client."""
        given = {**self.settings, "worker": False}
        return await self._stack.enter_async_context(
            life.app_of(self.ledger, given, client=natives.client)
        )

    async def natives(self) -> Natives:
        """A client of the engine's in this process, closed with the stage."""
        made = life.natives_of(self.harness, self.namespace, self.ledger)
        assert made is not None, "asked of an engine that has a client of its own"
        self._stack.push_async_callback(made.close)
        return made

    # --- other places ---------------------------------------------------------------------------
    async def beside(self, name: str) -> Stage:
        """The same in another namespace; ended with this one."""
        made = Stage(
            self.harness,
            nursery=self._nursery,
            ledger=self.ledger,
            stack=self._stack,
            store=self.store,
            namespace=f"{self.namespace}-{name}",
            settings=self._own,
            breaks=self._breaks,
            path=self._path,
        )
        made.processes = self.processes
        await made.open()
        return made

    async def own_store(self) -> RedisServer:
        """A server of this stage alone, to be killed or frozen, which keeps what it has
        acknowledged: `worker(store=server.url)`."""
        server = RedisServer(persistence="aof")
        self._stack.callback(server.close)
        await asyncio.to_thread(server.start)
        return server

    async def load_scripts(self) -> None:
        """Have the store know all scripts that it is called with, so that no call is made twice
        because it does not."""
        loads = [("SCRIPT", "LOAD", script.text) for script in hastened_steps()]
        await asyncio.to_thread(Wire(self.store.port).call_all, loads)

    async def proxy(self) -> Proxy:
        """A way to the store on which replies get lost: `worker(store=proxy.url)`."""
        return await self._stack.enter_async_context(Proxy(self.store.port))
