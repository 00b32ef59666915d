"""The embedded default: jobs run on the app's own event loop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.protocol import Delivery, Role, Runner, TaskManager, TaskSpec
from mageflow_core.errors import BackendUnavailable
from mageflow_core.failpoints import hit
from mageflow_core.machine import Job

PRIORITIES = ("high", "normal", "low")


class AsyncioBackend(TaskManager):
    """Queues in memory, served by up to `slots` coroutines. What is queued when the process ends
    is sent again by the store, if that one survives it."""

    name = "asyncio"
    caps = Capabilities(
        embedded=True,
        late_registration=True,
        async_native=True,
        loses_jobs_at_exit=True,
        priority=True,
    )

    def __init__(self) -> None:
        self._runners: dict[str, Runner] = {}
        self._anyone: Runner | None = None
        self._queues: dict[str, deque[Job]] = {name: deque() for name in PRIORITIES}
        self._consumers: set[asyncio.Task[None]] = set()
        self._looking = 0  # consumers that will look for a job again in this turn of the loop
        self._slots = 0
        self._open = False
        # Set while no job waits and no body runs.
        self.quiet = asyncio.Event()
        self.quiet.set()

    @classmethod
    def from_settings(cls, settings: Any) -> Self:  # noqa: ARG003 - it has none
        return cls()

    async def open(self, role: Role) -> None:  # noqa: ARG002 - it is both
        self._open = True

    async def close(self) -> None:
        self._open = False
        self.take_back()

    def take_back(self) -> list[Job]:
        """Empty the queues. Gives what was in them: jobs that no runner has been given here, or
        whose runner was cancelled, and which may be passed on to other processes."""
        jobs = [job for queue in self._queues.values() for job in queue]
        for queue in self._queues.values():
            queue.clear()
        if not self._consumers:
            self.quiet.set()
        return jobs

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        self._runners[spec.name] = runner
        self._anyone = runner

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        if not self._open:
            closed = BackendUnavailable("the asyncio backend is closed: open the app first")
            return [closed] * len(jobs)
        for job in jobs:
            self.quiet.clear()
            self._queues[job.priority or "normal"].append(job)
        hit("asyncio.queued")
        self._fill_slots()
        return [None] * len(jobs)

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        self._slots = slots
        self._fill_slots()
        try:
            await stop.wait()
        finally:
            self._slots = 0
            await self._drain(grace)

    async def _drain(self, grace: float) -> None:
        try:
            if self._consumers:
                await asyncio.wait(self._consumers, timeout=grace)
        finally:
            for consumer in self._consumers:
                if (
                    not consumer.cancelling()
                ):  # as at the loop's end: a body is to unwind undisturbed
                    consumer.cancel()
            await asyncio.gather(*self._consumers, return_exceptions=True)

    def _fill_slots(self) -> None:
        waiting = sum(map(len, self._queues.values())) - self._looking
        for _ in range(min(waiting, self._slots - len(self._consumers))):
            self.quiet.clear()
            consumer = asyncio.get_running_loop().create_task(self._consume())
            self._consumers.add(consumer)
            consumer.add_done_callback(self._consumer_ended)

    def _consumer_ended(self, consumer: asyncio.Task[None]) -> None:
        self._consumers.discard(consumer)
        if not self._consumers and not any(self._queues.values()):
            self.quiet.set()
        if not consumer.cancelled() and (error := consumer.exception()) is not None:
            context = {"message": "a slot of the asyncio backend failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)
        self._fill_slots()

    async def _consume(self) -> None:
        while len(self._consumers) <= self._slots:
            job = self._next()
            if job is None:
                # What the last job has made due is sent in this turn of the event loop.
                self._looking += 1
                try:
                    await asyncio.sleep(0)
                finally:
                    self._looking -= 1
                job = self._next()
                if job is None:
                    return
            hit("asyncio.taken")
            runner = self._runners.get(job.task, self._anyone)
            if runner is not None:
                await self._deliver(job, runner)

    async def _deliver(self, job: Job, runner: Runner) -> None:
        try:
            await runner.run(Delivery(job=job))
        except asyncio.CancelledError:
            # It may not have been claimed; if it was, its claim makes another sending harmless.
            self._queues[job.priority or "normal"].appendleft(job)
            raise

    def _next(self) -> Job | None:
        for queue in self._queues.values():
            if queue:
                return queue.popleft()
        return None
