"""Apps of one test, as so many processes would be."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow


class Worker:
    """An app that serves until it is stopped."""

    def __init__(self, app: Mageflow) -> None:
        self.app = app
        self._stop = asyncio.Event()
        self._serving = asyncio.create_task(app.serve(stop=self._stop))

    async def works(self) -> None:
        await eventually(
            lambda: self.app.worker_id or self._serving.done(), within=20, about="a worker"
        )
        if self._serving.done():
            self._serving.result()

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
    def __init__(
        self, stack: AsyncExitStack, namespace: str, store: str, taskiq: dict[str, Any]
    ) -> None:
        self.stack = stack
        self.namespace = namespace
        self.store = store
        self.taskiq = taskiq

    @property
    def queue(self) -> str:
        return f"{self.namespace}.taskiq"

    def app(self, broker: Any = None, **settings: Any) -> Mageflow:
        """One that is not open yet; on a broker of somebody's, or by settings alone."""
        given = {"store": self.store, "namespace": self.namespace, "warn_unclosed": False}
        if broker is None:
            given |= {"backend": "taskiq", "taskiq": self.taskiq}
        natives = [] if broker is None else [broker]
        return Mageflow(*natives, **{**given, **settings})

    async def client(self, **settings: Any) -> Mageflow:
        return await self.stack.enter_async_context(self.app(**settings))

    async def worker(self, app: Mageflow) -> Worker:
        worker = Worker(app)
        self.stack.push_async_callback(worker.drop)
        await worker.works()
        return worker
