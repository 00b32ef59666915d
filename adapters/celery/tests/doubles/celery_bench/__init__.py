"""Apps of one test, as so many processes would be."""

from __future__ import annotations

import asyncio
import warnings
from contextlib import AsyncExitStack, suppress
from typing import Any

from celery.exceptions import SecurityWarning

from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow
from mageflow_core.stores.protocol import WorkerInfo


class Worker:
    """An app that serves until it is stopped, in processes of Celery's."""

    def __init__(self, app: Mageflow) -> None:
        self.app = app
        self._stop = asyncio.Event()
        self.serving = asyncio.create_task(app.serve(stop=self._stop))

    async def stop(self) -> None:
        """As SIGTERM does."""
        self._stop.set()
        await asyncio.wait_for(self.serving, 40)

    async def drop(self) -> None:
        """As a second SIGTERM does."""
        self.serving.cancel()
        with suppress(asyncio.CancelledError):
            await self.serving


class Bench:
    def __init__(
        self, stack: AsyncExitStack, namespace: str, store: str, celery: dict[str, Any]
    ) -> None:
        self.stack = stack
        self.namespace = namespace
        self.store = store
        self.celery = celery

    @property
    def queue(self) -> str:
        return f"{self.namespace}.celery"

    def app(self, native: Any = None, **settings: Any) -> Mageflow:
        """One that is not open yet; on a Celery app of somebody's, or by settings alone."""
        given = {
            "store": self.store,
            "namespace": self.namespace,
            "warn_unclosed": False,
            "celery": self.celery,
        }
        if native is None:
            given |= {"backend": "celery"}
        natives = [] if native is None else [native]
        return Mageflow(*natives, **{**given, **settings})

    async def client(self, native: Any = None, **settings: Any) -> Mageflow:
        return await self.stack.enter_async_context(self.app(native, **settings))

    async def worker(self, app: Mageflow, client: Mageflow) -> Worker:
        """client: an open app, by which it is seen that it works."""
        with warnings.catch_warnings():  # tests may run as root
            warnings.simplefilter("ignore", SecurityWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            known = {info.id for info in await workers(client)}
            worker = Worker(app)
            self.stack.push_async_callback(worker.drop)

            async def works() -> bool:
                if worker.serving.done():
                    worker.serving.result()
                return bool({info.id for info in await workers(client)} - known)

            await eventually(works, within=20, about="a worker")
        return worker


async def workers(client: Mageflow) -> list[WorkerInfo]:
    return list(await (await client.opened()).workers())
