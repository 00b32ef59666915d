"""A namespace with a worker that lives, in which one process after another dies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from types import TracebackType
from typing import Any, Self

from mageflow_conformance.flows import SHAPES, make_app, roles
from mageflow_conformance.history import Evidence, check, collect
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Nursery, Process
from mageflow_conformance.sweep.case import BY_TIME, Case, Hits, Role
from mageflow_core import Mageflow
from mageflow_core.stores.protocol import Store

ROLES: Mapping[Role, Callable[..., None]] = {
    "stay": roles.stay,
    "leave": roles.leave,
    "only_start": roles.only_start,
}
LINGER = 8.0  # seconds for what is reached by time
DIES, SETTLES = 20.0, 20.0  # seconds


@dataclass(frozen=True)
class Ended:
    """How a flow ended: its result, and the status of each node by its path."""

    result: Any
    statuses: Mapping[str, str]


class Lane:
    """Runs cases one after the other. `async with` it.

    settings: of the apps; with `store` at least.
    """

    def __init__(
        self, name: str, nursery: Nursery, folder: Path, settings: Mapping[str, Any]
    ) -> None:
        self.name = name
        self._nursery = nursery
        self._folder = folder
        self._settings = {**settings, "namespace": name}
        self.ledger = Ledger(folder / f"{name}.ledger")
        self._stack = AsyncExitStack()
        self._watcher: Mageflow
        self._survivor: Process
        self._number = 0

    async def __aenter__(self) -> Self:
        own = {name: value for name, value in self._settings.items() if name != roles.HASTENED}
        self._survivor = self._nursery.start(roles.serve, self.ledger, settings=self._settings)
        self._watcher = await self._stack.enter_async_context(
            make_app(self.ledger, **own, worker=False)
        )
        await self.ledger.has(roles.SERVING)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()
        if kind is None:
            await self._survivor.stop()
        self._survivor.end()
        self.ledger.close()

    # --- one run --------------------------------------------------------------------------------
    async def record(self, shape: str, role: Role) -> tuple[Ended, list[Case]]:
        """Let a process run a flow and live; gives how it ended, and where it could have died."""
        process, hits, key = self._begin(Case(shape, role, ""), linger=0.0)
        await process.exited(0)
        ended, evidence = await self._end(shape, key)
        broken = check(evidence)
        assert not broken, f"{shape}, with nobody killed: {[*map(str, broken)]}"
        return ended, list(hits.cases(process.pid, shape, role))

    async def die(self, case: Case, expected: Ended) -> list[str]:
        """Let a process run a flow and die at a point of it; gives what then was wrong."""
        process, hits, key = self._begin(case, linger=LINGER if case.point in BY_TIME else 0.0)
        await process.exited(-SIGKILL, within=DIES)
        if not hits.show_death(process.pid, case):
            return [f"void: it did not die there, but after {hits.names(process.pid)[-5:]}"]
        ended, evidence = await self._end(case.shape, key)
        wrong = [str(each) for each in check(evidence)]
        if ended != expected:
            wrong.append(f"it ended as {ended}, not as {expected}")
        return wrong

    def _begin(self, case: Case, *, linger: float) -> tuple[Process, Hits, str]:
        self._number += 1
        key = f"{self.name}-{self._number}"
        hits = Hits(self._folder / f"{key}.hits")
        environment = {"MAGEFLOW_FAILPOINTS_LOG": str(hits.log)}
        if case.point:
            environment["MAGEFLOW_FAILPOINTS"] = case.armed
        more = {"linger": linger} if case.role == "stay" else {}
        process = self._nursery.start(
            ROLES[case.role],
            self.ledger,
            environment=environment,
            settings=self._settings,
            shape=case.shape,
            key=key,
            **more,
        )
        return process, hits, key

    async def _end(self, shape: str, key: str) -> tuple[Ended, Evidence]:
        """Start what it was about to start, as whoever is not sure that he has would do."""
        starting = self.ledger.of(roles.STARTING)
        keys = [row.more["start_key"] for row in starting]
        used = next((each for each in keys if each.partition(".")[0] == key), key)
        run = await self._watcher.start(SHAPES[shape](), roles.MESSAGE, key=used)
        await run.settled(timeout=SETTLES)
        store = await self._watcher.opened()
        evidence = await collect(store, run.id, self.ledger)
        return await ending(store, evidence), evidence


async def ending(store: Store, evidence: Evidence) -> Ended:
    """How a run has ended."""
    key = evidence.root.key
    done = evidence.root.view.status == "done"
    statuses = {each.key.removeprefix(key): str(each.view.status) for each in evidence.root.walk()}
    return Ended(await store.value(key) if done else None, statuses)
