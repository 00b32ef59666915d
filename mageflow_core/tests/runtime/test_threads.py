"""The threads that sync bodies run in."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from mageflow_core.errors import Interrupted
from mageflow_core.runtime.threads import Threads


@pytest.fixture
async def threads() -> AsyncIterator[Threads]:
    made = Threads(2)
    yield made
    assert made.close(10) == []


async def test_a_call_gives_what_the_function_gives(threads: Threads) -> None:
    assert await threads.call(lambda: 7).future == (7, None)


async def test_a_call_gives_what_the_function_raises(threads: Threads) -> None:
    value, error = await threads.call(lambda: 1 // 0).future
    assert value is None
    assert isinstance(error, ZeroDivisionError)


async def test_a_thread_is_used_again(threads: Threads) -> None:
    first = await threads.call(threading.get_ident).future
    assert [await threads.call(threading.get_ident).future for _ in range(20)] == [first] * 20


async def test_there_are_never_more_threads_than_the_limit(threads: Threads) -> None:
    gate = threading.Event()
    calls = [threads.call(gate.wait) for _ in range(6)]
    assert len(threads._threads) == 2
    gate.set()
    await asyncio.gather(*(call.future for call in calls))


async def test_threads_are_daemons_and_have_names_of_ours(threads: Threads) -> None:
    await threads.call(int).future
    assert [(t.name, t.daemon) for t in threads._threads] == [("mageflow-0", True)]


async def test_closing_names_the_threads_that_still_run() -> None:
    # Given a thread that does not end, and one that does
    threads = Threads(2)
    gate = threading.Event()
    where: list[str] = []

    def wait() -> None:
        where.append(threading.current_thread().name)
        gate.wait()

    stuck = threads.call(wait)
    await threads.call(int).future
    # When they are closed
    names = threads.close(0.05)
    # Then only the first is named
    assert names == where
    gate.set()
    await stuck.future
    assert threads.close(10) == []


async def test_an_interrupt_raises_in_the_function(threads: Threads) -> None:
    loop = asyncio.get_running_loop()
    began = asyncio.Event()

    def busy() -> None:
        loop.call_soon_threadsafe(began.set)
        while True:
            pass

    call = threads.call(busy)
    await began.wait()
    call.interrupt()
    assert isinstance((await call.future)[1], Interrupted)


async def test_an_interrupt_before_the_function_runs_reaches_nothing(threads: Threads) -> None:
    gate = threading.Event()
    blockers = [threads.call(gate.wait) for _ in range(2)]
    waiting = threads.call(lambda: "ran")
    waiting.interrupt()
    gate.set()
    assert await waiting.future == ("ran", None)
    await asyncio.gather(*(call.future for call in blockers))


async def test_an_interrupt_after_the_end_reaches_nothing(threads: Threads) -> None:
    call = threads.call(lambda: "over")
    await call.future
    call.interrupt()
    for _ in range(50):
        assert await threads.call(lambda: "next").future == ("next", None)


async def test_interrupts_at_any_time_leave_the_threads_alive(threads: Threads) -> None:
    # Given functions so short that an interrupt may come before, in and after them
    for n in range(3_000):
        call = threads.call(lambda n=n: n)  # type: ignore[misc]
        for _ in range(n % 7):
            await asyncio.sleep(0)
        # When each is interrupted
        call.interrupt()
        value, error = await call.future
        # Then it has ended one way or the other, and hit nobody else
        assert value == n or isinstance(error, Interrupted)
    assert all(thread.is_alive() for thread in threads._threads)


def test_a_function_that_outlives_its_loop_troubles_nobody() -> None:
    gate = threading.Event()
    threads: list[Threads] = []

    async def main() -> None:
        threads.append(Threads(1))
        threads[0].call(gate.wait)

    asyncio.run(main())
    gate.set()
    assert threads[0].close(10) == []
