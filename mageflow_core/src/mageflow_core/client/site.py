"""Everything of an app that is open in one process and event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mageflow_core.backends.loader import load_backend
from mageflow_core.backends.protocol import TaskManager, TaskSpec
from mageflow_core.client.checking import Checker
from mageflow_core.machine import Job, Signal
from mageflow_core.runtime.dispatcher import Dispatcher
from mageflow_core.runtime.reconciler import Reconciler
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.threads import Threads
from mageflow_core.runtime.worker import Worker, new_worker_id
from mageflow_core.signatures.ambient import entered
from mageflow_core.signatures.task import Task
from mageflow_core.stores.loader import load_store
from mageflow_core.stores.protocol import Store, StoreOptions

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow


class Site:
    """Store, backend, dispatcher, reconciler and, where the backend is embedded, the worker."""

    runner_class: ClassVar[type[Runner]] = Runner

    def __init__(self, app: Mageflow) -> None:
        settings = app.settings
        self.loop = asyncio.get_running_loop()
        self._app = app
        self.store = self._make_store()
        backend_class: Any = load_backend(settings.backend)
        self.backend: TaskManager = backend_class.from_settings(settings)
        self.checker = Checker(
            app.registry,
            max_nodes=settings.max_nodes,
            closed_world=self.backend.caps.embedded and not self.store.shared,
            backends=frozenset({settings.backend}),
        )
        self.dispatcher = Dispatcher(self.store, {settings.backend: self.backend}, settings.backend)
        self.reconciler = Reconciler(self.store, app.clock)
        self.threads = Threads(settings.threads)
        worker_id = new_worker_id()
        self.runner = self._make_runner(worker_id)
        self.worker = Worker(
            id=worker_id,
            store=self.store,
            runner=self.runner,
            threads=self.threads,
            backends=[self.backend],
            tasks=app.registry.names,
            slots=settings.slots,
            grace=settings.shutdown_grace,
        )
        self._background: list[asyncio.Task[None]] = []

    def _make_store(self) -> Store:
        settings = self._app.settings
        store_class: Any = load_store(settings.store)
        options = StoreOptions(
            policy=settings.policy(), clock=self._app.clock, namespace=settings.namespace
        )
        store: Store = store_class.from_url(settings.store, options)
        return store

    def _make_runner(self, worker: str) -> Runner:
        settings = self._app.settings
        return self.runner_class(
            store=self.store,
            worker=worker,
            find=self._app.registry.find,
            check=self.checker.check,
            threads=self.threads,
            max_value_bytes=settings.max_value_bytes,
            default_timeout=settings.default_timeout,
        )

    @classmethod
    async def open(cls, app: Mageflow) -> Self:
        """Raises `UnknownBackend`, `UnknownStore`, `BackendUnavailable`, `StoreUnavailable`."""
        site = cls(app)
        for task in app.registry:
            site.register(task)
        embedded = site.backend.caps.embedded
        async with AsyncExitStack() as opened:  # what is open when the next thing fails is closed
            await site.store.open(site)
            opened.push_async_callback(site.store.close)
            await site.backend.open("worker" if embedded else "client")
            opened.push_async_callback(site.backend.close)
            if embedded:
                await site.worker.announce()
            opened.pop_all()
        running = {
            "dispatcher": site.dispatcher.run(),
            "reconciler": site.reconciler.run(),
        }
        if embedded:
            running["worker"] = site.worker.run()
        # Bodies run on in this context: what they start is the app's, whoever opened it.
        context = Context()
        context.run(entered.set, app)
        for name, coroutine in running.items():
            started = site.loop.create_task(coroutine, name=f"mageflow {name}", context=context)
            site._background.append(started)
        return site

    def register(self, task: Task[..., Any, Any]) -> None:
        spec = TaskSpec(
            name=task.name,
            fn=task.fn,
            is_async=task.is_async,
            queue=task.options.queue,
            native=task.options.native,
        )
        self.backend.register(spec, self.runner)

    async def close(self, grace: float | None = None) -> None:
        """The worker first, so that what its bodies report is still sent on."""
        dispatcher, reconciler, *workers = self._background
        self.worker.stop(grace)
        await asyncio.gather(*workers, return_exceptions=True)
        for background in (dispatcher, reconciler):
            background.cancel()
        results = await asyncio.gather(dispatcher, reconciler, *workers, return_exceptions=True)
        await self.backend.close()
        await self.store.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    @property
    def quiet(self) -> bool:
        """No body runs, and no job is on its way to one."""
        backend_quiet = getattr(self.backend, "quiet", None)
        return self.dispatcher.quiet and (backend_quiet is None or backend_quiet.is_set())

    # --- the store's listener -------------------------------------------------------------------
    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.dispatcher.on_jobs(jobs)

    def on_signal(self, run_id: str, signal: Signal) -> None:
        self.runner.on_signal(run_id, signal)

    def on_due(self, time: float) -> None:
        self.reconciler.on_due(time)

    def on_silence(self) -> None:
        """Only stores that other processes share can miss signals."""
