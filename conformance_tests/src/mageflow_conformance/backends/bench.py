"""Apps on one adapter, for its own tests: clients and workers, as so many processes would be."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any

from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow

READY = 40.0  # seconds until a worker works, on a machine that has other work to do


class Worker:
    """An app that serves until it is stopped."""

    def __init__(self, app: Mageflow) -> None:
        self.app = app
        self._stop = asyncio.Event()
        self._serving = asyncio.create_task(app.serve(stop=self._stop))

    async def works(self) -> None:
        """Return once it does, whichever process it works in."""
        told = self.app.settings
        async with Mageflow(
            store=told.store, namespace=told.namespace, worker=False, warn_unclosed=False
        ) as client:
            store = await client.opened()
            known = {info.id for info in await store.workers()}

            async def works() -> bool:
                if self._serving.done():
                    self._serving.result()
                return bool({info.id for info in await store.workers()} - known)

            await eventually(works, within=READY, about="a worker")

    async def stop(self) -> None:
        """As SIGTERM does."""
        self._stop.set()
        await asyncio.wait_for(self._serving, 40)

    async def drop(self) -> None:
        """As a second SIGTERM does."""
        self._serving.cancel()
        with suppress(asyncio.CancelledError):
            await self._serving


class Bench:
    """One namespace. stack: closes what is opened here. store: the URL of a store that other
    processes see. said: what stands under the backend's name in the settings."""

    def __init__(
        self,
        stack: AsyncExitStack,
        namespace: str,
        store: str,
        backend: str,
        said: Mapping[str, Any],
    ) -> None:
        self.stack = stack
        self.namespace = namespace
        self.store = store
        self.backend = backend
        self.said = said

    @property
    def queue(self) -> str:
        """Of tasks that name none, where adapters call it as the project's own do."""
        return f"{self.namespace}.{self.backend}"

    def app(self, native: Any = None, **settings: Any) -> Mageflow:
        """One that is not open yet; around a client of somebody's, or by settings alone."""
        given = {
            "store": self.store,
            "namespace": self.namespace,
            "warn_unclosed": False,
            self.backend: self.said,
        }
        if native is None:
            return Mageflow(**{**given, "backend": self.backend, **settings})
        return Mageflow(native, **{**given, **settings})

    async def client(self, native: Any = None, **settings: Any) -> Mageflow:
        """An open one."""
        return await self.stack.enter_async_context(self.app(native, **settings))

    async def worker(self, app: Mageflow) -> Worker:
        """One that works."""
        worker = Worker(app)
        self.stack.push_async_callback(worker.drop)
        await worker.works()
        return worker
