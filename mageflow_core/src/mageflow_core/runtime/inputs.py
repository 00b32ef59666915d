"""What a body is called with: values from the store, bound to the task's parameters."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, ParamSpec, TypeVar

from mageflow_core.errors import InsideEventLoop
from mageflow_core.runtime.body import Body
from mageflow_core.serialization import loads
from mageflow_core.signatures.binding import MISSING, Bound, Source
from mageflow_core.signatures.context import Context
from mageflow_core.signatures.report import ItemFailure, SwarmCounts, SwarmReport
from mageflow_core.signatures.task import Task
from mageflow_core.stores.protocol import Store, Work

log = logging.getLogger("mageflow.task")
P = ParamSpec("P")
T = TypeVar("T")


class Inputs:
    """Reads what a claim refers to, and binds it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def bind(self, task: Task[..., Any, Any], work: Work, body: Body, native: Any) -> Bound:
        """Raises `InvalidInput` and its kind where the input does not fit the task."""
        given = work.input
        binder = task.binder
        dependencies = {name: loads(text) for name, text in given.dependencies.items()}
        previous: Any = MISSING if given.previous is None else loads(given.previous)
        if previous is MISSING and dependencies and binder.takes_previous:
            # In a graph: the one result that it waited for, or all of them by name.
            single = len(dependencies) == 1
            previous = next(iter(dependencies.values())) if single else dependencies
        report = None
        if given.report_of is not None and binder.takes_report:
            report = await self._report(given.report_of, blocking=not task.is_async)
        source = Source(
            message=loads(given.message),
            previous=previous,
            dependencies=dependencies,
            container_args=given.arguments,
            args=work.signature.args,
            error=given.error,
            report=report,
            context=self._context(task.name, work, body, native) if binder.takes_context else None,
        )
        return binder.bind(source)

    async def _report(self, key: str, *, blocking: bool) -> SwarmReport:
        view = await self._store.node(key)
        failures = []
        for position in view.failures:
            (item,) = await self._store.children(key, position, 1)
            if item.error is not None:
                failures.append(ItemFailure(position, item.error))

        async def load(start: int, stop: int) -> Sequence[Any]:
            return [loads(t) for t in await self._store.values(key, start, stop - start)]

        counts = SwarmCounts(
            total=view.children, succeeded=view.done, failed=view.failed, canceled=view.canceled
        )
        load_sync = _blocking(load) if blocking else None
        return SwarmReport(counts, failures, load=load, load_sync=load_sync)

    def _context(self, task: str, work: Work, body: Body, native: Any) -> Context:
        async def alive() -> bool:
            return body.stopped is None and await self._store.holds(work.key, work.claim)

        where = {"run": body.run_id, "key": work.key, "task": task, "attempt": work.attempt}
        return Context(
            key=work.key,
            run_id=body.run_id,
            task=task,
            attempt=work.attempt,
            fence=work.fence,
            idempotency_key=f"{work.key}#{work.generation}",
            labels=work.labels,
            signature=work.signature,
            logger=logging.LoggerAdapter(log, where),
            native=native,
            cancelled=lambda: body.stopped is not None,
            alive=alive,
            alive_sync=_blocking(alive),
        )


def _blocking(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """The function for threads: it blocks them until this loop has run it."""
    loop = asyncio.get_running_loop()

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the one that does not raise
            raise InsideEventLoop
        return asyncio.run_coroutine_threadsafe(function(*args, **kwargs), loop).result()

    return call
