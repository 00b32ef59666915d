"""A handle on a shared store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self

from mageflow_core.errors import NotOpen
from mageflow_core.machine import Job, Status
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import Listener, NodeView, StoreOptions, Until, WorkerInfo
from sharing.world import World


class SharedStore:
    """Implements `Store` for one event loop; what is not said here the memory store does.

    process: the same for a handle and its twins. worker: who renews its lease with this one.
    """

    durable: ClassVar[str] = "until this process ends"
    shared: ClassVar[bool] = True

    def __init__(self, world: World, process: object) -> None:
        self.world = world
        self.process = process
        self.worker = ""
        self.listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._woken = asyncio.Event()

    @classmethod
    def from_url(cls, url: str, /, options: StoreOptions) -> Self:
        return cls(World.at(url, options), object())

    def twin(self) -> SharedStore:
        return SharedStore(self.world, self.process)

    async def open(self, listener: Listener) -> None:
        async def nothing() -> None: ...

        self._step("open", nothing)
        self.listener = listener
        self._loop = asyncio.get_running_loop()
        self.world.handles.append(self)

    async def close(self) -> None:
        self.world.handles.remove(self)
        self.listener = None
        self._woken.set()

    def now(self) -> float:
        return float(self.world.core.now())

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.world.core, name)

        async def call(*given: Any) -> Any:
            return self._step(name, method, *given)

        return call

    def _step(self, name: str, method: Callable[..., Any], *given: Any) -> Any:
        return self.world.step(self, name, method, *given)

    # --- where handles differ -------------------------------------------------------------------
    async def renew(self, worker: WorkerInfo) -> bool:
        self.worker = worker.id
        return bool(self._step("renew", self.world.renew, worker))

    async def leave(self, worker: str, *, crashed: bool) -> None:
        self._step("leave", self.world.leave, worker, crashed)

    async def work(self) -> float | None:
        due: float | None = self._step("work", self.world.work)
        return due

    async def pass_on(self, jobs: Sequence[Job]) -> None:
        self._step("pass_on", self.world.pass_on, self, jobs)

    async def wait(self, key: str, until: Until) -> NodeView:
        run_id, _ = split_key(key)
        while self.listener is not None:
            self._woken.clear()
            view: NodeView = await self.node(key)
            settled = (await self.view(run_id)).settled_at is not None
            if settled or (until == "ended" and view.status.ended):
                return view
            await self._woken.wait()
        raise NotOpen("the app was closed while somebody waited for this run")

    async def outcome(self, key: str) -> tuple[NodeView, str | None]:
        view = await self.wait(key, "ended")
        return view, await self.value(key) if view.status is Status.DONE else None

    # --- called on any thread -------------------------------------------------------------------
    def tell(self, what: str, *given: Any) -> None:
        listener, loop = self.listener, self._loop
        if listener is not None and loop is not None:
            with suppress(RuntimeError):  # closed meanwhile
                loop.call_soon_threadsafe(getattr(listener, what), *given)

    def wake(self) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._woken.set)
