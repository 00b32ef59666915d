"""Many more jobs than a worker can run: those that wait are not sent again and again."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from importlib.resources import files
from typing import Any, ClassVar, Literal, Self

import pytest

from mageflow_conformance.flows import call
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually, stays
from mageflow_core import Mageflow, swarm
from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.protocol import Delivery, Runner, TaskSpec
from mageflow_core.machine import Job
from mageflow_core.stores.redis import store
from mageflow_core.stores.redis.steps import Steps

JOBS, RUNS = 50_000, 5
OVERDUE = 3.0  # seconds; a minute otherwise
MOST = 1.2  # sendings of a job


class QueueBackend:
    """A broker's double: a queue that every process of it would share. sent: how often each job
    was handed over."""

    name = "queue"
    caps = Capabilities(late_registration=True, async_native=True)
    queue: ClassVar[deque[Job]] = deque()
    sent: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        self._runner: Runner

    @classmethod
    def from_settings(cls, settings: Any) -> Self:
        return cls()

    async def open(self, role: Literal["client", "worker"]) -> None:
        """Nothing is to be opened."""

    async def close(self) -> None:
        """Nothing is to be closed."""

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        self._runner = runner

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        self.queue.extend(jobs)
        self.sent.update(job.key for job in jobs)
        return [None] * len(jobs)

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        while not stop.is_set():
            await self.one()

    async def one(self) -> None:
        if self.queue:
            await self._runner.run(Delivery(job=self.queue.popleft()))
        else:
            await asyncio.sleep(0.01)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[QueueBackend]]:
    monkeypatch.setattr("mageflow_core.client.backends.load_backend", lambda _: QueueBackend)
    yield QueueBackend
    QueueBackend.queue.clear()
    QueueBackend.sent.clear()


@pytest.fixture
def shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute, after which a job that waits may be overdue, lasts a few seconds."""
    said = (files("mageflow_core.stores.redis") / "lua" / "confirm.lua").read_text("utf-8")
    less = said.replace(
        "RESEND_AFTER, LONGEST = 60000", f"RESEND_AFTER, LONGEST = {OVERDUE * 1000:.0f}"
    )
    assert less != said
    monkeypatch.setattr(store, "Steps", lambda: Steps({"confirm": less}))
    monkeypatch.setattr(store, "RESEND_AFTER", OVERDUE)


@pytest.mark.timeout(120)
async def test_a_job_that_waits_is_sent_once_however_long_the_queue_is(
    make_site: Callable[..., Any],
    server: RedisServer,
    backend: type[QueueBackend],
    shorter: None,
) -> None:
    # Given one slow worker
    site = make_site(server.url)
    mf = Mageflow(**site.settings, slots=1, lease=6.0, warn_unclosed=False, shutdown_grace=1.0)
    ran = 0

    @mf.task
    async def slow(i: int) -> int:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0.02)
        return i

    stop = asyncio.Event()
    working = asyncio.create_task(mf.serve(stop=stop))
    await eventually(lambda: mf.worker_id)
    # When it is given far more than it can do
    items = swarm([call("slow", i=i) for i in range(JOBS // RUNS)], max_concurrency=None)
    for _ in range(RUNS):
        await mf.start(items)
    await eventually(lambda: len(backend.sent) == JOBS, within=60, about="all jobs in the queue")
    # Then each waits there, and is sent a second time by nobody, while several times passes what
    # makes a job overdue that was lost
    await stays(lambda: backend.sent.total() <= JOBS * MOST, seconds=4 * OVERDUE)
    assert len(backend.sent) == JOBS
    assert 0 < ran < JOBS / 10
    stop.set()
    await working
