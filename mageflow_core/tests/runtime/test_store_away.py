"""A store that does not answer for a while: nothing is lost, and all goes on when it is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_core import Mageflow, chain, swarm
from mageflow_core.errors import StoreUnavailable
from mageflow_core.machine import Verdict
from mageflow_core.runtime import insisting, reconciler, renewal, runner
from mageflow_core.stores.protocol import LEASE_LOST, Claimed

Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses take one turn of the loop."""
    monkeypatch.setattr(insisting, "PAUSE", 0)
    monkeypatch.setattr(reconciler, "PAUSE", 0)
    monkeypatch.setattr(runner, "PAUSE", 0)


class Away:
    """Makes a method of an open app's store fail for some calls.

    before: whether the call itself is not made; else only its answer is lost.
    """

    def __init__(self, mf: Mageflow, name: str, times: int, *, before: bool) -> None:
        store: Any = mf._site.store  # type: ignore[union-attr]
        whole = getattr(store, name)
        self.left = times
        self.came_back = asyncio.Event()

        async def method(*args: Any, **kwargs: Any) -> Any:
            if self.left == 0:
                self.came_back.set()
                return await whole(*args, **kwargs)
            self.left -= 1
            if not before:
                await whole(*args, **kwargs)
            raise StoreUnavailable

        setattr(store, name, method)


@pytest.mark.parametrize("before", [True, False], ids=["call lost", "answer lost"])
@pytest.mark.parametrize("method", ["claim", "report"])
async def test_a_claim_or_report_is_asked_again_until_it_is_answered(
    mf: Mageflow, method: str, before: bool
) -> None:
    # Given a store that is away for three calls
    runs = 0

    @mf.task
    async def work(n: int = 0) -> int:
        nonlocal runs
        runs += 1
        return n + 1

    Away(mf, method, 3, before=before)
    # When a flow runs
    run = await mf.start(chain(work, work), {"n": 0})
    # Then it comes to its end, and each body ran once
    assert await run.result(timeout=10) == 2
    assert runs == 2


async def test_jobs_whose_sending_is_not_confirmed_are_harmless(
    make_app: Any, clock: Any, until: Until
) -> None:
    # Given a store that does not hear that jobs were sent
    mf: Mageflow = await make_app(clock=clock)
    runs = 0

    @mf.task
    async def work() -> int:
        nonlocal runs
        runs += 1
        return 1

    away = Away(mf, "sent", 2, before=True)
    run = await mf.start(swarm([work] * 3))
    assert await run.result(timeout=10) == [1, 1, 1]
    # When the time to send again has come
    clock.advance(11)
    # Then the dispatcher still works, and nothing has run twice
    assert await (await work.start()).result(timeout=10) == 1
    assert runs == 4
    assert away.left <= 1


async def test_retries_go_on_when_the_store_is_back(
    make_app: Any, clock: Any, has_status: Until
) -> None:
    # Given an attempt that is due again later
    from mageflow_core import Retry

    mf: Mageflow = await make_app(clock=clock)
    attempts = 0

    @mf.task(retry=Retry(retries=1, delay=30, jitter=0))
    async def work() -> int:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise ValueError
        return attempts

    run = await mf.start(work)
    await has_status(run, "retrying")
    # When the store is away at that time
    away = Away(mf, "work", 5, before=True)
    clock.advance(30)
    # Then it runs as soon as the store is back
    assert await run.result(timeout=10) == 2
    assert away.came_back.is_set()


async def test_the_reconciler_outlives_an_error_that_nobody_expected(
    make_app: Any, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    mf: Mageflow = await make_app(clock=clock)
    site: Any = mf._site
    store = site.store
    whole = store.work
    broken = True

    async def work() -> Any:
        nonlocal broken
        if broken:
            broken = False
            raise RuntimeError("a bug")
        return await whole()

    @mf.task
    async def later() -> str:
        return "ran"

    run = await mf.start(later.sign().options(delay=5))
    store.work = work
    with caplog.at_level(logging.ERROR, "mageflow.reconciler"):
        clock.advance(5)
        assert await run.result(timeout=10) == "ran"
    assert "could not be moved on" in caplog.text
    assert "a bug" in caplog.text


async def test_a_delay_ends_at_its_time_by_the_apps_clock(make_app: Any, clock: Any) -> None:
    # Given a delayed task and a clock that stands still
    mf: Mageflow = await make_app(clock=clock)

    @mf.task
    async def later() -> float:
        return float(clock.now())

    run = await mf.start(later.sign().options(delay=60))
    # When not enough time goes by, then it waits
    clock.advance(59.9)
    for _ in range(50):
        await asyncio.sleep(0)
    assert await run.status() == "queued"
    # When it has gone by, then it runs
    clock.advance(0.2)
    assert await run.result(timeout=10) == clock.now()


async def test_what_becomes_due_earlier_wakes_the_reconciler(make_app: Any, clock: Any) -> None:
    mf: Mageflow = await make_app(clock=clock)

    @mf.task
    async def later() -> str:
        return "ran"

    late = await mf.start(later.sign().options(delay=100))
    soon = await mf.start(later.sign().options(delay=3))
    clock.advance(3)
    assert await soon.result(timeout=10) == "ran"
    assert not (await late.view()).status.ended
    await late.cancel()


async def test_a_report_that_cannot_be_read_puts_the_node_back(mf: Mageflow) -> None:
    # Given a step that gets a swarm's report, and a store that is away when it is read
    from mageflow_core import SwarmReport

    @mf.task
    async def work() -> int:
        return 1

    @mf.task
    async def count(report: SwarmReport) -> int:
        return report.counts.succeeded

    away = Away(mf, "node", 2, before=True)
    run = await mf.start(chain(swarm(work, work), count))
    # Then it runs when the store is back, in its first attempt
    assert await run.result(timeout=10) == 2
    assert away.left == 0
    assert (await run[1].view()).attempt == 1


async def test_a_body_that_meets_the_outage_itself_fails_as_any_other(mf: Mageflow) -> None:
    from mageflow_core import Context, Retry

    @mf.task(retry=Retry(retries=1, delay=0))
    async def ask(ctx: Context) -> int:
        await ctx.alive()
        return ctx.attempt

    Away(mf, "holds", 1, before=True)
    assert await (await ask.start()).result(timeout=10) == 2


@pytest.mark.parametrize("method", ["unknown", "pass_on"])
async def test_a_job_of_an_unknown_task_is_passed_on_when_the_store_is_back(
    mf: Mageflow, method: str
) -> None:
    from mageflow_core.backends import Delivery, Disposal
    from mageflow_core.machine import Job

    # Given a store that is away when a worker finds that it does not know a task
    site: Any = mf._site
    passed: list[str] = []

    async def pass_on(jobs: Any) -> None:
        passed.extend(job.key for job in jobs)

    site.store.pass_on = pass_on
    away = Away(mf, method, 2, before=True)
    # When it is back, then others are told of the job, which nobody may send again before long
    handled = await site.runner.run(Delivery(job=Job("x", 1, 1, "unheard", "", None, None)))
    assert handled.disposal is Disposal.RELEASE
    assert away.came_back.is_set()
    assert passed == ["x"]
    assert site.runner.bodies == {}


async def test_a_job_that_its_backend_gives_to_others_is_not_sent_by_them_as_well(
    mf: Mageflow,
) -> None:
    from mageflow_core.backends import Delivery, Disposal
    from mageflow_core.machine import Job

    # Given a backend that has another worker get what this one releases
    site: Any = mf._site
    site.runner._gives_back = frozenset({"asyncio"})
    said: list[str] = []

    async def unknown(key: str) -> None:
        said.append(key)

    site.store.unknown, site.store.pass_on = unknown, None
    # When a job comes whose task is not known here
    handled = await site.runner.run(Delivery(job=Job("x", 1, 1, "unheard", "", None, None)))
    # Then it is released, and nobody is asked to send it once more
    assert handled.disposal is Disposal.RELEASE
    assert said == ["x"]


def leases_lost(mf: Mageflow) -> Callable[[], None]:
    """Lets nothing be claimed in an open app, until the returned function is called."""
    store: Any = mf._site.store  # type: ignore[union-attr]
    whole = store.claim

    async def claim(*_: Any) -> Claimed:
        return Claimed(Verdict.RELEASE, LEASE_LOST)

    def renewed() -> None:
        store.claim = whole

    store.claim = claim
    return renewed


async def test_jobs_that_come_before_lost_leases_are_renewed_run_when_they_are(
    mf: Mageflow,
) -> None:
    # Given a worker whose leases were lost
    @mf.task
    async def work() -> int:
        return 1

    renewed = leases_lost(mf)
    run = await mf.start(swarm([work] * 3))
    for _ in range(20):
        await asyncio.sleep(0)
    assert await run[0].status() == "queued"
    # When it has renewed them
    renewed()
    # Then the jobs that it was given run at once, and were not let go
    assert await run.result(timeout=10) == [1, 1, 1]


async def test_who_stops_does_not_wait_for_lost_leases(mf: Mageflow) -> None:
    from mageflow_core.backends import Delivery, Disposal
    from mageflow_core.machine import Job

    # Given a job that cannot be claimed yet
    @mf.task(name="work")
    async def work() -> int:
        return 1

    site: Any = mf._site
    leases_lost(mf)
    job = Job("x", 1, 1, "work", "", None, None)
    running = asyncio.create_task(site.runner.run(Delivery(job=job)))
    await asyncio.sleep(0)
    # When its worker stops
    site.runner.stop_all()
    # Then it is let go
    assert (await asyncio.wait_for(running, 10)).disposal is Disposal.RELEASE


async def test_closing_while_the_store_is_away_closes(caplog: pytest.LogCaptureFixture) -> None:
    async with Mageflow() as mf:
        Away(mf, "leave", 1, before=True)
        with caplog.at_level(logging.WARNING, "mageflow.worker"):
            await mf.close()
    assert "runs on when its lease ends" in caplog.text


@pytest.mark.parametrize("error", [StoreUnavailable(), RuntimeError("a bug")])
async def test_leases_are_renewed_again_after_a_failure(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(renewal, "RENEWAL", 0)
    async with Mageflow() as mf:
        store: Any = mf._site.store  # type: ignore[union-attr]
        renewed = asyncio.Event()
        failed = False

        async def renew(_info: Any) -> bool:
            nonlocal failed
            if not failed:
                failed = True
                raise error
            renewed.set()
            return True

        store.renew = renew
        await asyncio.wait_for(renewed.wait(), 10)


# --- a store with a bug ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "told"), [("claim", "could not be claimed"), ("report", "stays claimed")]
)
async def test_what_a_store_should_not_raise_is_told_of_once_with_the_key(
    mf: Mageflow, caplog: pytest.LogCaptureFixture, until: Until, method: str, told: str
) -> None:
    # Given a store that raises what no store should, once
    site: Any = mf._site
    whole = getattr(site.store, method)
    handled: list[Any] = []
    run_body = site.runner.run

    async def broken(*_: Any) -> Any:
        setattr(site.store, method, whole)
        raise KeyError("a bug")

    async def observed(delivery: Any) -> Any:
        handled.append(await run_body(delivery))
        return handled[-1]

    setattr(site.store, method, broken)
    site.runner.run = observed
    failures: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))

    @mf.task
    async def work() -> int:
        return 1

    # When a body runs
    with caplog.at_level(logging.ERROR, "mageflow.runner"):
        run = await mf.start(work)
        await until(lambda: handled)
    # Then the log tells of it, once, and the backend is told that it failed
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{run.key} {told}")
    assert record.exc_info is not None
    assert handled[0].disposal == "failed"
    assert isinstance(handled[0].error, KeyError)
    assert failures == []
    assert await run.status() == ("queued" if method == "claim" else "active")
    # Then all else goes on
    assert await work.run() == 1
    assert site.runner.bodies == {}


async def test_a_node_that_stayed_claimed_runs_again_when_its_worker_has_left(
    make_process: Any, until: Until
) -> None:
    # Given a process that could not report
    first = await make_process()
    second = await make_process()
    runs: list[str] = []

    def work_in(name: str) -> Any:
        async def work() -> str:
            runs.append(name)
            return name

        return work

    for name, app in (("first", first), ("second", second)):
        app.task(name="work")(work_in(name))
    store: Any = first._site.store

    def broken(handle: Any) -> None:
        if handle is store:
            del store.world.before["report"]
            raise KeyError("a bug")

    store.world.before["report"] = broken
    run = await first.start("work")
    await until(lambda: "report" not in store.world.before)
    assert await run.status() == "active"
    # When it closes
    await first.close()
    # Then another one runs it
    assert await (await second.load(run.key)).result(timeout=5) == "second"
    assert runs == ["first", "second"]
