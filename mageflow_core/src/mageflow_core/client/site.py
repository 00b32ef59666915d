"""Everything of an app that is open in one process and event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mageflow_core.backends.protocol import TaskSpec
from mageflow_core.client.checking import Checker
from mageflow_core.errors import SettingsError
from mageflow_core.machine import Job, Signal
from mageflow_core.runtime.dispatcher import Dispatcher
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.threads import Threads
from mageflow_core.runtime.upkeep import LoopUpkeep, ThreadUpkeep, Upkeep
from mageflow_core.runtime.worker import Worker, new_worker_id
from mageflow_core.signatures.ambient import entered
from mageflow_core.signatures.task import Task
from mageflow_core.stores.loader import load_store
from mageflow_core.stores.protocol import Store, StoreOptions
from mageflow_core.urls import safe_url

if TYPE_CHECKING:
    from mageflow_core.client.app import Mageflow

log = logging.getLogger("mageflow.worker")

LAST_JOBS = 5.0  # seconds for handing over at the close what others can run at once


class Site:
    """Store and dispatcher; where this process works, backend and worker; and the upkeep, where
    this process works or is the only one that can.

    works: whether this process runs a worker.
    """

    runner_class: ClassVar[type[Runner]] = Runner

    def __init__(self, app: Mageflow) -> None:
        settings = app.settings
        self.loop = asyncio.get_running_loop()
        self._app = app
        self.store = self._make_store()
        self.backends = {name: app.make_backend(name) for name in settings.backends}
        remote = [name for name, each in self.backends.items() if not each.caps.embedded]
        self.works = bool(app.serves) if remote else settings.worker
        if not remote and not self.works and not self.store.shared:
            raise SettingsError(
                f"worker is false, and no other process sees what is in the store "
                f"{safe_url(settings.store)!r}: nothing would ever run. Name a store that "
                "processes share, or let this one have a worker"
            )
        if remote and not self.store.shared:
            raise SettingsError(
                f"backend {remote[0]!r} runs tasks in processes that see nothing of what is "
                f"in the store {safe_url(settings.store)!r}: name a store that processes share, "
                "such as redis://localhost:6379/0"
            )
        self.opened = {
            name: each for name, each in self.backends.items() if self.works or name in remote
        }
        self.served = {
            name: each
            for name, each in self.opened.items()
            if self.works and (isinstance(app.serves, bool) or name in app.serves)
        }
        self.checker = Checker(
            app.registry,
            max_nodes=settings.max_nodes,
            max_value_bytes=settings.max_value_bytes,
            closed_world=not remote and not self.store.shared,
            backends=settings.backends,
            moved=settings.moved_tasks,
        )
        self.dispatcher = Dispatcher(self.store, self.opened, settings.backends[0])
        self.threads = Threads(settings.threads)
        worker_id = new_worker_id()
        self.runner = self._make_runner(worker_id)
        self.worker = Worker(
            id=worker_id,
            store=self.store,
            runner=self.runner,
            threads=self.threads,
            backends=self.served,
            sends=frozenset(self.opened),
            tasks=app.registry.names,
            slots=settings.slots,
            grace=settings.shutdown_grace,
            started_at=app.clock.now(),
        )
        self.upkeep = self._make_upkeep()
        self.working: asyncio.Task[None] | None = None
        self._sending: asyncio.Task[None] | None = None

    def _make_store(self) -> Store:
        settings = self._app.settings
        store_class: Any = load_store(settings.store)
        options = StoreOptions(
            policy=settings.policy(),
            clock=self._app.clock,
            namespace=settings.namespace,
            patience=settings.store_patience,
            lease=settings.lease,
            wait_replicas=settings.wait_replicas,
        )
        store: Store = store_class.from_url(settings.store, options)
        return store

    def _make_upkeep(self) -> Upkeep | None:
        clock, lease = self._app.clock, self._app.settings.lease
        if not self.works:  # the workers see to a store that is shared with them
            return None if self.store.shared else LoopUpkeep(self.store, self, clock, None, lease)
        kind = LoopUpkeep if self.store.twin() is None else ThreadUpkeep
        return kind(self.store, self, clock, self.worker, lease)

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
            namespace=settings.namespace,
            gives_back=[name for name, each in self.backends.items() if each.caps.gives_back],
            default_backend=settings.backends[0],
        )

    @classmethod
    async def open(cls, app: Mageflow) -> Self:
        """Raises `UnknownBackend`, `UnknownStore`, `SettingsError`, `BackendUnavailable`,
        `StoreUnavailable`."""
        site = cls(app)
        for task in app.registry:
            site.register(task)
        strange = [name for name in app.settings.moved_tasks if not app.registry.knows(name)]
        if site.works and strange:
            log.warning("moved_tasks names %s, which this app does not have", ", ".join(strange))
        async with AsyncExitStack() as opened:  # what is open when the next thing fails is closed
            await site.store.open(site)
            opened.push_async_callback(site.store.close)
            for name, backend in site.opened.items():
                await backend.open("worker" if name in site.served else "client")
                opened.push_async_callback(backend.close)
            if site.upkeep is not None:
                opened.push_async_callback(site.upkeep.close)
                await site.upkeep.open()
            opened.pop_all()
        # Bodies run on in this context: what they start is the app's, whoever opened it.
        context = Context()
        context.run(entered.set, app)
        sending = site.dispatcher.run()
        site._sending = site.loop.create_task(sending, name="mageflow dispatcher", context=context)
        if site.works and site.upkeep is not None:
            working = site.worker.run(site.upkeep)
            site.working = site.loop.create_task(working, name="mageflow worker", context=context)
        return site

    def register(self, task: Task[..., Any, Any]) -> None:
        spec = TaskSpec(
            name=task.name,
            fn=task.fn,
            is_async=task.is_async,
            aliases=task.aliases,
            queue=task.options.queue,
            native=task.options.native,
        )
        for backend in self.backends.values():
            backend.register(spec, self.runner)
        if self.working is not None and self.upkeep is not None:
            self.upkeep.announce()

    async def close(self, grace: float | None = None) -> None:
        """The worker first, so that what its bodies report is still sent on."""
        self.worker.stop(grace)
        results: list[Any] = []
        if self.working is not None:
            self._hand_over()
            results += await asyncio.gather(self.working, return_exceptions=True)
            self._hand_over()  # what was in the hands of bodies that had to be stopped
        if self.upkeep is not None:
            results += await asyncio.gather(self.upkeep.close(), return_exceptions=True)
        results += await self._send_last()
        for backend in self.opened.values():
            results += await asyncio.gather(backend.close(), return_exceptions=True)
        await self.store.close()
        for result in results:
            if isinstance(result, Exception):
                raise result

    def _hand_over(self) -> None:
        """Jobs that are queued in this process alone, and those to come, are for others."""
        for name, backend in self.served.items():
            take_back = getattr(backend, "take_back", None)
            if self.store.shared and take_back is not None:
                if self.upkeep is not None:
                    self.upkeep.announce()  # that it serves nothing any more
                self.dispatcher.withdraw(name)
                self.dispatcher.on_jobs(take_back())

    async def _send_last(self) -> list[Any]:
        """What the upkeep and the worker's leave have made due is on its way to the dispatcher."""
        sending = self._sending
        if sending is None:
            return []
        await asyncio.sleep(0)
        self.dispatcher.stop()
        await asyncio.wait([sending], timeout=LAST_JOBS)
        if not sending.done():
            log.warning("the last jobs could not be handed over; they are sent again in time")
        sending.cancel()
        return list(await asyncio.gather(sending, return_exceptions=True))

    def abandon(self) -> None:
        """Let go of what outlives the event loop, which was closed before this was."""
        self.threads.close(0)
        if self.upkeep is not None:
            self.upkeep.abandon()

    @property
    def quiet(self) -> bool:
        """No body runs, and no job is on its way to one."""
        found = [getattr(each, "quiet", None) for each in self.backends.values()]
        return self.dispatcher.quiet and all(each is None or each.is_set() for each in found)

    # --- the store's listener -------------------------------------------------------------------
    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.dispatcher.on_jobs(jobs)

    def on_signal(self, run_id: str, signal: Signal) -> None:
        self.runner.on_signal(run_id, signal)

    def on_due(self, time: float) -> None:
        if self.upkeep is not None:
            self.upkeep.on_due(time)

    def on_silence(self) -> None:
        self.runner.doubts.doubt_all()
