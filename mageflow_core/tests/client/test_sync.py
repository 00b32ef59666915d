"""The sync twins: one loop on a thread of its own, for people without one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mageflow_core import Mageflow, Status, chain, swarm
from mageflow_core.client.loopthread import LoopThread
from mageflow_core.errors import CannotRetry, InsideEventLoop, TaskFailed, WaitTimeout


@pytest.fixture
def mf() -> Iterator[Mageflow]:
    with Mageflow() as app:
        yield app


@pytest.fixture
def add(mf: Mageflow) -> Any:
    @mf.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    return add


def test_flows_run_without_a_loop_of_ones_own(mf: Mageflow, add: Any) -> None:
    run = mf.start_sync(chain(add, add), {"a": 1})
    assert run.result_sync(timeout=10) == 3
    assert run.status_sync() is Status.DONE
    assert run.wait_sync().status is Status.DONE
    run.settled_sync(timeout=10)
    assert len(run.tree_sync().children) == 2


def test_tasks_and_signatures_have_sync_twins(add: Any) -> None:
    assert add.run_sync({"a": 1}) == 2
    assert add.run_sync({"a": 1}, b=4) == 5
    assert add.start_sync({"a": 1}).result_sync() == 2
    assert chain(add, add).run_sync({"a": 1}, timeout=10) == 3
    assert swarm(add, add).start_sync({"a": 1}).result_sync(timeout=10) == [2, 2]


def test_a_stored_run_is_started_and_steered(mf: Mageflow, add: Any) -> None:
    run = mf.run_sync(mf.store(add))
    assert run.suspend_sync()
    assert run.interrupt_sync()
    run.start_sync({"a": 1})
    assert run.status_sync() is Status.INTERRUPTED
    assert run.resume_sync()
    assert run.result_sync(timeout=10) == 2
    assert run.cancel_sync() is False
    with pytest.raises(CannotRetry):
        run.retry_sync()


def test_errors_come_as_they_do_from_async_calls(mf: Mageflow) -> None:
    @mf.task
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(TaskFailed, match="ValueError: no"):
        fail.run_sync()


def test_a_wait_that_is_too_long_ends(mf: Mageflow) -> None:
    gate = threading.Event()

    @mf.task
    def hold() -> int:
        gate.wait(30)
        return 1

    run = hold.start_sync()
    with pytest.raises(WaitTimeout):
        run.result_sync(timeout=0.01)
    gate.set()
    assert run.result_sync(timeout=10) == 1


def test_async_bodies_run_on_the_loop_thread(mf: Mageflow) -> None:
    @mf.task
    async def where() -> str:
        return threading.current_thread().name

    assert where.run_sync() == "mageflow-loop"


def test_bodies_may_use_the_sync_twins_too(mf: Mageflow, add: Any) -> None:
    @mf.task
    def begin() -> str:
        return str(add.start_sync({"a": 1}).key)

    run = mf.run_sync(mf.load(begin.run_sync()))
    assert run.result_sync(timeout=10) == 2


def test_many_threads_share_one_app(mf: Mageflow, add: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: add.run_sync({"a": n}), range(40)))
    assert results == list(range(1, 41))
    assert len(mf.run_sync(mf.find())) == 40


async def test_sync_calls_inside_a_running_loop_are_refused() -> None:
    app = Mageflow()

    @app.task
    def work() -> int:
        return 1

    with pytest.raises(InsideEventLoop, match="await its async twin"):
        work.run_sync()
    with pytest.raises(InsideEventLoop), app:
        pass
    assert app._site is None


def test_a_nested_context_closes_with_the_outermost() -> None:
    app = Mageflow()

    @app.task
    def work() -> int:
        return 1

    with app:
        with app:
            assert work.run_sync() == 1
        assert len(app.run_sync(app.find())) == 1
    assert app._site is None


def test_an_app_can_be_opened_again() -> None:
    app = Mageflow()

    @app.task
    def work() -> int:
        return 1

    for _ in range(3):
        with app:
            assert work.run_sync() == 1
    assert not [t for t in threading.enumerate() if t.name == "mageflow-loop"]


def test_without_a_context_it_opens_at_first_use_and_is_closed_by_hand() -> None:
    app = Mageflow()

    @app.task
    def work() -> int:
        return 1

    assert work.run_sync() == 1
    app.close_sync()
    assert app._site is None


# --- the loop thread ------------------------------------------------------------------------------


def test_a_loop_thread_ends_with_its_loop_closed() -> None:
    loops = LoopThread()

    async def loop() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    first = loops.run(loop())
    assert loops.run(loop()) is first
    loops.close()
    loops.close()
    assert first.is_closed()
    second = loops.run(loop())
    assert second is not first
    loops.close()


def test_what_still_runs_when_a_loop_thread_ends_is_cancelled() -> None:
    loops = LoopThread()
    ended: list[type[BaseException]] = []
    tasks: list[asyncio.Task[None]] = []

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        except BaseException as error:
            ended.append(type(error))
            raise

    async def begin() -> None:
        tasks.append(asyncio.create_task(forever()))
        await asyncio.sleep(0)

    loops.run(begin())
    loops.close()
    assert ended == [asyncio.CancelledError]


def test_a_caller_who_gives_up_cancels_what_was_asked_for() -> None:
    # Given a coroutine that somebody waits for in a thread
    loops = LoopThread()

    async def forever() -> None:
        await asyncio.Event().wait()

    class Impatient(BaseException):
        pass

    # When its wait is broken off, as by Ctrl-C
    original = concurrent.futures.Future.result

    def broken(self: Any, timeout: float | None = None) -> Any:
        raise Impatient

    loops.run(asyncio.sleep(0))
    concurrent.futures.Future.result = broken  # type: ignore[method-assign]
    try:
        with pytest.raises(Impatient):
            loops.run(forever())
    finally:
        concurrent.futures.Future.result = original  # type: ignore[method-assign]

    # Then it does not go on unseen
    async def left() -> list[str]:
        for _ in range(5):
            await asyncio.sleep(0)
        names = (getattr(task.get_coro(), "__name__", "") for task in asyncio.all_tasks())
        return [name for name in names if name == "forever"]

    assert loops.run(left()) == []
    loops.close()
