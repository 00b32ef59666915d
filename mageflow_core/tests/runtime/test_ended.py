"""What a backend, and threads, are told as soon as a body has ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from mageflow_core import Mageflow
from mageflow_core.backends import Delivery, Disposal, Handled
from mageflow_core.machine import Job


class Told:
    """Has all deliveries of an open app tell when their bodies have ended, and holds back what
    they tell the store until `free` is set."""

    def __init__(self, mf: Mageflow) -> None:
        site: Any = mf._site
        self.all: list[tuple[str, Disposal]] = []
        self.returned: list[Handled] = []
        self.free = asyncio.Event()
        self.came = asyncio.Event()
        whole, report = site.runner.run, site.store.report

        async def run(delivery: Delivery) -> Handled:
            def ended(handled: Handled) -> None:
                self.all.append((delivery.job.task, handled.disposal))
                self.came.set()

            handled: Handled = await whole(delivery._replace(ended=ended))
            self.returned.append(handled)
            return handled

        async def reported(*args: Any, **kwargs: Any) -> Any:
            await self.free.wait()
            return await report(*args, **kwargs)

        site.runner.run, site.store.report = run, reported


def add_async(mf: Mageflow, function: Callable[[], Any]) -> None:
    @mf.task(name="work")
    async def work() -> Any:
        return function()


def add_sync(mf: Mageflow, function: Callable[[], Any]) -> None:
    mf.task(name="work")(function)


def succeed() -> str:
    return "done"


def fail() -> None:
    raise ValueError("swordfish")


@pytest.mark.parametrize("add", [add_async, add_sync])
@pytest.mark.parametrize(
    ("function", "disposal"), [(succeed, Disposal.DONE), (fail, Disposal.FAILED)]
)
async def test_a_body_has_ended_before_the_store_knows(
    mf: Mageflow, add: Any, function: Any, disposal: Disposal
) -> None:
    add(mf, function)
    told = Told(mf)
    # When its body has ended
    run = await mf.start("work")
    await asyncio.wait_for(told.came.wait(), 10)
    # Then the backend knows with what, and the store does not yet
    assert told.all == [("work", disposal)]
    assert await run.status() == "active"
    assert told.returned == []
    # And the same is returned when it does
    told.free.set()
    view = await run.wait(timeout=10)
    assert (view.error is None) == (disposal is Disposal.DONE)
    await mf.close()
    assert [each.disposal for each in told.returned] == [disposal]
    assert told.all == [("work", disposal)]


async def test_a_thread_is_free_before_the_store_knows(make_app: Any) -> None:
    # Given one thread, and a body that has left it, which the store is not told yet
    mf: Mageflow = await make_app(threads=1)
    told = Told(mf)
    second = threading.Event()
    mf.task(name="first")(succeed)
    mf.task(name="second")(second.set)
    run = await mf.start("first")
    await asyncio.wait_for(told.came.wait(), 10)
    # When another is due
    await mf.start("second")
    # Then it runs
    assert await asyncio.to_thread(second.wait, 10)
    assert await run.status() == "active"
    told.free.set()
    assert await run.result(timeout=10) == "done"


async def test_a_body_that_does_not_return_in_time_has_not_ended(make_app: Any) -> None:
    # Given a thread that cannot be stopped
    mf: Mageflow = await make_app(threads=1)
    told = Told(mf)
    told.free.set()
    go_on = threading.Event()

    @mf.task(timeout=0.01)
    def work() -> None:
        go_on.wait(10)

    # When its time is over
    run = await mf.start("work")
    view = await run.wait(timeout=10)
    assert view.error is not None
    assert view.error.type == "TimeoutError"
    # Then it is not told of: it keeps its place
    go_on.set()
    await mf.close()
    assert told.all == []
    assert [each.disposal for each in told.returned] == [Disposal.FAILED]


async def test_what_never_ran_has_not_ended(mf: Mageflow) -> None:
    add_async(mf, succeed)
    told = Told(mf)
    told.free.set()
    run = await mf.start("work")
    assert await run.result(timeout=10) == "done"
    told.all.clear()
    # When the job of a run comes again that is over
    site: Any = mf._site
    again = Job(run.key, 1, 2, "work", "", None, None)
    handled = await site.runner.run(Delivery(job=again))
    assert handled.disposal is Disposal.SKIPPED
    assert told.all == []
