"""The embedded backend: slots, priorities, duplicates, late registration, closing."""

from __future__ import annotations

import asyncio
from importlib.metadata import entry_points
from typing import Any

import pytest

from mageflow_core import Mageflow, swarm
from mageflow_core.backends import Delivery, Disposal, Handled, TaskSpec
from mageflow_core.backends.loader import load_backend
from mageflow_core.backends.local import AsyncioBackend
from mageflow_core.errors import BackendUnavailable, UnknownBackend
from mageflow_core.machine import Job


def job(key: str, priority: str | None = None, task: str = "task") -> Job:
    return Job(key, 1, 1, task, "", None, priority)


class Runner:
    """Keeps what it is given, and lets each delivery wait to be let go."""

    def __init__(self, *, waits: bool = False) -> None:
        self.waits = waits
        self.given: list[str] = []
        self.running = 0
        self.most = 0
        self.go = asyncio.Event()
        self.cancelled: list[str] = []

    async def run(self, delivery: Delivery) -> Handled:
        self.given.append(delivery.job.key)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            if self.waits:
                await self.go.wait()
            else:
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled.append(delivery.job.key)
            raise
        finally:
            self.running -= 1
        return Handled(Disposal.DONE)


class Serving:
    """A backend that serves with a runner."""

    def __init__(self, runner: Runner, slots: int, grace: float = 0) -> None:
        self.backend = AsyncioBackend()
        self.backend.register(TaskSpec(name="task", fn=print, is_async=False), runner)
        self.stop = asyncio.Event()
        self.slots, self.grace = slots, grace

    async def __aenter__(self) -> AsyncioBackend:
        await self.backend.open("worker")
        self.task = asyncio.create_task(
            self.backend.serve(slots=self.slots, stop=self.stop, grace=self.grace)
        )
        return self.backend

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await self.task
        await self.backend.close()


async def test_it_is_found_by_its_name() -> None:
    (entry,) = entry_points(group="mageflow.backends", name="asyncio")
    assert entry.load() is AsyncioBackend
    assert load_backend("asyncio") is AsyncioBackend


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UnknownBackend, match="asyncio"):
        load_backend("asincio")


async def test_jobs_run_in_the_order_in_which_they_came() -> None:
    runner = Runner()
    async with Serving(runner, slots=1) as backend:
        await backend.submit_many([job("a"), job("b")])
        await backend.submit_many([job("c")])
        await backend.quiet.wait()
    assert runner.given == ["a", "b", "c"]


async def test_no_more_jobs_run_than_there_are_slots() -> None:
    runner = Runner()
    async with Serving(runner, slots=7) as backend:
        for n in range(50):
            assert await backend.submit_many([job(f"{n}-{m}") for m in range(10)]) == [None] * 10
        await backend.quiet.wait()
    assert len(runner.given) == 500
    assert runner.most == 7


async def test_higher_priorities_go_first() -> None:
    runner = Runner()
    backend_serving = Serving(runner, slots=1)
    await backend_serving.backend.open("worker")
    await backend_serving.backend.submit_many(
        [job("l", "low"), job("n"), job("h", "high"), job("n2", "normal"), job("h2", "high")]
    )
    async with backend_serving as backend:
        await backend.quiet.wait()
    assert runner.given == ["h", "h2", "n", "n2", "l"]


async def test_each_task_has_the_runner_that_it_was_registered_with() -> None:
    mine, other = Runner(), Runner()
    async with Serving(mine, slots=2) as backend:
        backend.register(TaskSpec(name="other", fn=print, is_async=False), other)
        await backend.submit_many([job("a"), job("b", task="other")])
        await backend.quiet.wait()
    assert (mine.given, other.given) == (["a"], ["b"])


async def test_a_job_of_a_task_that_was_never_registered_comes_to_the_runner() -> None:
    runner = Runner()
    async with Serving(runner, slots=1) as backend:
        await backend.submit_many([job("a", task="unheard")])
        await backend.quiet.wait()
    assert runner.given == ["a"]


async def test_a_closed_backend_takes_nothing_and_says_so() -> None:
    backend = AsyncioBackend()
    (error,) = await backend.submit_many([job("a")])
    assert isinstance(error, BackendUnavailable)
    assert "open the app first" in str(error)


async def test_queued_jobs_do_not_run_after_the_stop() -> None:
    runner = Runner(waits=True)
    async with Serving(runner, slots=1) as backend:
        await backend.submit_many([job("a"), job("b")])
        while not runner.given:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
    assert runner.given == ["a"]


async def test_what_runs_at_the_stop_has_its_grace() -> None:
    runner = Runner(waits=True)
    async with Serving(runner, slots=2, grace=30) as backend:
        await backend.submit_many([job("a"), job("b")])
        while runner.running < 2:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(runner.go.set)
    assert runner.cancelled == []


async def test_what_runs_longer_than_the_grace_is_cancelled() -> None:
    runner = Runner(waits=True)
    async with Serving(runner, slots=2, grace=0.01) as backend:
        await backend.submit_many([job("a"), job("b")])
        while runner.running < 2:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
    assert sorted(runner.cancelled) == ["a", "b"]
    assert runner.running == 0


async def test_breaking_it_off_stops_what_runs_at_once() -> None:
    # Given jobs that run, and an hour of grace
    runner = Runner(waits=True)
    serving = Serving(runner, slots=2, grace=3600)
    backend = await serving.__aenter__()
    await backend.submit_many([job("a"), job("b")])
    while runner.running < 2:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    serving.stop.set()
    await asyncio.sleep(0)
    # When somebody has no patience
    serving.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving.task
    # Then nothing runs any more
    assert sorted(runner.cancelled) == ["a", "b"]
    assert runner.running == 0
    await backend.close()


async def test_what_is_queued_can_be_taken_back_by_priority() -> None:
    backend = AsyncioBackend()
    await backend.open("worker")
    await backend.submit_many([job("l", "low"), job("n"), job("h", "high")])
    assert not backend.quiet.is_set()
    assert [each.key for each in backend.take_back()] == ["h", "n", "l"]
    assert backend.take_back() == []
    assert backend.quiet.is_set()
    await backend.close()


async def test_taking_back_what_is_queued_leaves_what_runs() -> None:
    runner = Runner(waits=True)
    async with Serving(runner, slots=1, grace=30) as backend:
        await backend.submit_many([job("a"), job("b")])
        while not runner.running:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        assert [each.key for each in backend.take_back()] == ["b"]
        assert not backend.quiet.is_set()
        runner.go.set()
        await backend.quiet.wait()
    assert runner.given == ["a"]


async def test_what_was_cancelled_at_the_stop_can_be_taken_back() -> None:
    # Given a delivery that does not end in its grace, and one behind it
    runner = Runner(waits=True)
    serving = Serving(runner, slots=1)
    backend = await serving.__aenter__()
    await backend.submit_many([job("a"), job("b")])
    while not runner.running:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    # When it is stopped
    serving.stop.set()
    await serving.task
    # Then both are there, as the one may not have been claimed yet
    assert [each.key for each in backend.take_back()] == ["a", "b"]
    await backend.close()


async def test_a_closed_backend_has_nothing_and_is_quiet() -> None:
    backend = AsyncioBackend()
    await backend.open("worker")
    await backend.submit_many([job("a")])
    await backend.close()
    assert backend.take_back() == []
    assert backend.quiet.is_set()


async def test_a_runner_that_fails_costs_its_job_and_no_slot() -> None:
    # Given a runner that breaks its promise once
    class Broken(Runner):
        async def run(self, delivery: Delivery) -> Handled:
            if delivery.job.key == "bad":
                raise RuntimeError("a bug")
            return await super().run(delivery)

    runner = Broken()
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    # When more jobs come
    async with Serving(runner, slots=1) as backend:
        await backend.submit_many([job("bad"), job("a"), job("b")])
        while len(runner.given) < 2:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        await backend.quiet.wait()
    # Then they run, and the loop was told of the failure
    assert runner.given == ["a", "b"]
    assert [str(context["exception"]) for context in told] == ["a bug"]


async def test_it_is_quiet_when_nothing_waits_and_nothing_runs() -> None:
    runner = Runner(waits=True)
    async with Serving(runner, slots=1) as backend:
        assert backend.quiet.is_set()
        await backend.submit_many([job("a"), job("b")])
        assert not backend.quiet.is_set()
        while not runner.given:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        assert not backend.quiet.is_set()
        runner.go.set()
        await backend.quiet.wait()


# --- behind an app --------------------------------------------------------------------------------


async def test_an_app_runs_as_many_bodies_at_once_as_it_has_slots(make_app: Any) -> None:
    # Given three slots
    mf: Mageflow = await make_app(slots=3)
    running = most = 0

    @mf.task
    async def work() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        return 1

    # When there is work for many
    run = await mf.start(swarm([work] * 60, max_concurrency=None))
    # Then three run at once
    assert await run.result(timeout=20) == [1] * 60
    assert most == 3


async def test_a_swarm_keeps_its_own_limit_under_load(make_app: Any) -> None:
    mf: Mageflow = await make_app(slots=50)
    running = most = 0

    @mf.task
    async def work() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(3):
            await asyncio.sleep(0)
        running -= 1
        return 1

    run = await mf.start(swarm([work] * 60, max_concurrency=4))
    assert await run.result(timeout=20) == [1] * 60
    assert most == 4


async def test_priorities_of_tasks_and_signatures_are_kept(make_app: Any) -> None:
    mf: Mageflow = await make_app(slots=1)
    order: list[str] = []
    gate = asyncio.Event()

    @mf.task
    async def hold() -> None:
        await gate.wait()

    @mf.task(priority="low")
    async def work(name: str) -> None:
        order.append(name)

    holding = await mf.start(hold)
    while await holding.status() != "active":  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    runs = [
        await mf.start(work, {"name": "low"}),
        await mf.start(work.sign().options(priority="normal"), {"name": "normal"}),
        await mf.start(work.sign().options(priority="high"), {"name": "high"}),
    ]
    gate.set()
    for run in runs:
        await run.wait(timeout=10)
    assert order == ["high", "normal", "low"]


async def test_a_delivery_that_comes_twice_runs_once(mf: Mageflow) -> None:
    # Given a backend that delivers everything twice, and once more later
    site: Any = mf._site
    submit = site.backends["asyncio"].submit_many
    seen: list[Job] = []

    async def twice(jobs: Any) -> Any:
        seen.extend(jobs)
        await submit(jobs)
        return await submit(jobs)

    site.backends["asyncio"].submit_many = twice
    runs = 0

    @mf.task
    async def work(n: int) -> int:
        nonlocal runs
        runs += 1
        await asyncio.sleep(0)
        return n

    # When a flow runs
    run = await mf.start(swarm([work.sign(n=n) for n in range(10)]))
    assert await run.result(timeout=10) == list(range(10))
    await submit(list(seen))
    await site.backends["asyncio"].quiet.wait()
    # Then each body ran once
    assert runs == 10


async def test_a_task_registered_while_the_app_is_open_runs(mf: Mageflow) -> None:
    @mf.task
    async def early() -> str:
        return "early"

    assert await early.run() == "early"

    @mf.task
    async def late() -> str:
        return "late"

    assert await late.run() == "late"


def test_what_it_can_do_is_data() -> None:
    caps = AsyncioBackend.caps
    assert caps.embedded
    assert caps.late_registration
    assert caps.loses_jobs_at_exit
