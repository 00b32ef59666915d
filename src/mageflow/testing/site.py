"""An open test app: store and runner, with the switches between them."""

from __future__ import annotations

import asyncio
from collections.abc import Set as AbstractSet
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from mageflow.testing.store import ObservedStore
from mageflow_core.backends.protocol import Delivery, Handled
from mageflow_core.client.site import Site
from mageflow_core.machine import Signal
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.worker import new_worker_id

if TYPE_CHECKING:
    from mageflow.testing.app import TestApp


class ObservedRunner(Runner):
    """Tells its site of each delivery."""

    site: ObservedSite

    async def run(self, delivery: Delivery) -> Handled:
        return await self.site.deliver(self, delivery)

    async def run_once(self, delivery: Delivery) -> Handled:
        return await super().run(delivery)


class ObservedSite(Site):
    """Has a second worker, which is given the duplicates."""

    runner_class = ObservedRunner

    def __init__(self, app: TestApp) -> None:
        self._bench = app
        self._numbers = count()
        self._in_flight: set[int] = set()
        super().__init__(app)
        self._twin = self._make_runner(new_worker_id())
        app.clock.watch(self)

    def _make_store(self) -> ObservedStore:
        bench = self._bench
        return ObservedStore(
            policy=bench.settings.policy(),
            clock=bench.clock,
            records=bench.records,
            faults=bench.faults,
        )

    def _make_runner(self, worker: str) -> Runner:
        runner = cast("ObservedRunner", super()._make_runner(worker))
        runner.site = self
        return runner

    async def deliver(self, runner: ObservedRunner, delivery: Delivery) -> Handled:
        number = next(self._numbers)
        self._in_flight.add(number)
        try:
            twin = self._twin
            assert isinstance(twin, ObservedRunner)
            if not self._bench.faults.take("duplicate", delivery.job.task):
                return await runner.run_once(delivery)
            async with asyncio.TaskGroup() as both:
                first = both.create_task(runner.run_once(delivery))
                both.create_task(twin.run_once(delivery))
            await twin.run_once(delivery)  # and once more, after the end
            return first.result()
        finally:
            self._in_flight.discard(number)
            self._bench.clock.delivery_ended()

    def on_signal(self, run_id: str, signal: Signal) -> None:
        super().on_signal(run_id, signal)
        self._twin.on_signal(run_id, signal)

    async def close(self, grace: float | None = None) -> None:
        self._bench.clock.watch(None)
        self._twin.stop_all()
        await super().close(grace)

    # --- what the clock asks --------------------------------------------------------------------
    @property
    def in_flight(self) -> AbstractSet[int]:
        return self._in_flight

    @property
    def handing_over(self) -> bool:
        return not self.dispatcher.quiet

    @property
    def awaited(self) -> bool:
        store: Any = self.store
        return len(store.waiters) > 0
