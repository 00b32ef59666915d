"""A broker that MageFlow works with beside whoever owns it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from taskiq import AsyncBroker, AsyncTaskiqDecoratedTask, Context, TaskiqDepends
from taskiq.exceptions import NoResultError

from mageflow_core.backends import JOB, Host
from mageflow_core.errors import ConfigurationError
from mageflow_taskiq.deliveries import TaskiqDeliveries, outcome_of
from mageflow_taskiq.engines import Engine

MARK = "_mageflow"
AnyTask = AsyncTaskiqDecoratedTask[Any, Any]
# Of a parent. One that were collected here would take itself out of what wakes the parent's event
# loop, which the two processes share.
_inherited: list[object] = []


class Attached:
    """Replaces three methods of one broker, and nothing of its class: `startup` and `shutdown`, so
    that it is started once and stopped last, however many ask for it, and hosts the app where it is
    started as a worker; `find_task`, so that the jobs of all tasks are found, known here or not.
    """

    def __init__(self, broker: AsyncBroker, engine: Engine) -> None:
        """Takes the place of an app that was around this broker before. Raises
        `ConfigurationError` where that one is open."""
        before: Attached | None = getattr(broker, MARK, None)
        if before is not None:
            before.detach()
        self.broker = broker
        self.deliveries = TaskiqDeliveries(broker)
        self.host: Host | None = None
        self.hosting = False
        self._engine = engine
        self._users = 0
        self._home: tuple[int, asyncio.AbstractEventLoop] | None = None
        self._lock = asyncio.Lock()
        self._entries: dict[str, AnyTask] = {}
        self._startup, self._shutdown, self._find_task = (
            broker.startup,
            broker.shutdown,
            broker.find_task,
        )
        setattr(broker, MARK, self)
        self._replace(self.startup, self.shutdown, self.find_task)

    def _replace(self, startup: Any, shutdown: Any, find_task: Any) -> None:
        broker: Any = self.broker
        broker.startup, broker.shutdown, broker.find_task = startup, shutdown, find_task

    def detach(self) -> None:
        if self.deliveries.runner is not None:
            raise ConfigurationError(
                f"an app is open around this {type(self.broker).__name__} already: one broker has "
                "one app, or each of two has a broker of its own with a queue of its own"
            )
        self._replace(self._startup, self._shutdown, self._find_task)

    # --- in place of the broker's own -----------------------------------------------------------
    async def startup(self) -> None:
        await self.acquire()
        if self.broker.is_worker_process and self.host is not None and not self.hosting:
            self.hosting = True
            try:
                await self.host.begin()
            except BaseException:
                self.hosting = False
                await self.release()
                raise

    async def shutdown(self) -> None:
        if self.hosting and self.host is not None:
            try:
                await self.host.end(grace=0)  # they had the time that taskiq gives
            finally:
                self.hosting = False
        await self.release()

    def find_task(self, task_name: str) -> AnyTask | None:
        if not task_name.startswith(JOB):
            return self._find_task(task_name)
        return self._entries.get(task_name) or self._entry(task_name)

    # --- started and stopped --------------------------------------------------------------------
    async def acquire(self) -> None:
        """Start the broker, unless somebody has."""
        async with self._lock_here():
            if self._users == 0:
                await self._startup()
            self._users += 1

    async def release(self) -> None:
        """Stop it where nobody else has started it."""
        async with self._lock_here():
            if self._users <= 1:
                self._users = 0
                try:
                    await self._shutdown()
                finally:
                    self._engine.forget()
            else:
                self._users -= 1

    def _lock_here(self) -> asyncio.Lock:
        here = os.getpid(), asyncio.get_running_loop()
        if self._home != here:
            if self._home is not None and self._users:  # they are gone with their loop, or forked
                if self._home[0] != here[0]:
                    _inherited.append(self._engine.connections())
                self._engine.forget()
                self._users = 0
                self.hosting = False
            self._home, self._lock = here, asyncio.Lock()
        return self._lock

    # --- tasks ----------------------------------------------------------------------------------
    def enter(self, task: str) -> None:
        """Have taskiq know a task of the app, as it knows its own."""
        name = JOB + task
        if name not in self._entries:
            self._entries[name] = self.broker.local_task_registry[name] = self._entry(name)

    def _entry(self, name: str) -> AnyTask:
        return AsyncTaskiqDecoratedTask(
            self.broker, name, original_func=_entry(self.deliveries), labels={}
        )


def _entry(deliveries: TaskiqDeliveries) -> Callable[..., Any]:
    """What taskiq's own receiver runs for a job."""

    async def run(context: Context = TaskiqDepends()) -> None:
        try:
            error = outcome_of(await deliveries.run_of(context))
        except asyncio.CancelledError:  # which taskiq would save as how the task has ended
            raise NoResultError from None
        if error is not None:
            raise error

    return run
