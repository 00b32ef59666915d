"""The bench on which requirements are tried."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from mageflow_conformance.stores import Bench, MemoryHarness
from mageflow_conformance.stores.backend import Backend
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_core.machine import Job, Status


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench(MemoryHarness("memory://"))
    await made.open()
    yield made
    await made.close()


def job(key: str, send: int = 1) -> Job:
    return Job(key, 1, send, "work", "", None, None)


def test_the_backend_keeps_jobs_until_they_are_taken_and_knows_them_afterwards() -> None:
    # Given
    backend = Backend()
    backend.take_in([job("r/0"), job("r/1"), job("other"), job("r/0", send=2)])
    # When
    taken = backend.take("r", "/0")
    # Then
    assert taken == job("r/0", send=2), "the latest"
    assert backend.waiting("r") == ["/1"]
    assert backend.take("r", "/0") is None
    assert backend.of("r", "/0") == [job("r/0"), job("r/0", send=2)]
    assert len(backend.of("r")) == 3
    assert len(backend.jobs) == 4
    backend.forget()
    assert backend.waiting("other") == []


async def test_a_run_is_played_to_its_end_by_hand(bench: Bench) -> None:
    # Given
    flow = await bench.start(chain(task(), swarm(*tasks(2))), "hello")
    # When
    body = await flow.begin("/0")
    assert body.work.input.message == '"hello"'
    await body.done("A")
    await flow.sends("/1/0", "/1/1")
    count = await flow.serve("B")
    # Then
    assert count == 2
    assert await flow.value() == ["B", "B"]
    assert await flow.has_settled()
    assert bench.calls > 5


async def test_a_job_that_is_not_sent_in_time_is_missed(bench: Bench) -> None:
    # Given
    flow = await bench.start(chain(task(), task()))
    # Then
    with pytest.raises(AssertionError, match="jobs of 2 nodes"):
        await flow.sends("/0", "/1")
    with pytest.raises(AssertionError, match="/1 to be sent"):
        await flow.begin("/1")


async def test_a_job_too_many_is_noticed(bench: Bench) -> None:
    # Given
    flow = await bench.start(swarm(*tasks(3)))
    # Then
    with pytest.raises(AssertionError, match="there are those of"):
        await flow.sends("/0", "/1")


async def test_time_is_skipped_where_the_store_goes_by_the_clock(bench: Bench) -> None:
    # Given
    before = bench.store.now()
    flow = await bench.start(task(delay=500.0))
    assert await flow.due() == []
    # When
    await bench.passes(501.0)
    # Then
    assert 501.0 <= bench.store.now() - before < 510.0
    assert flow.waiting() == [""]


async def test_the_clock_can_stand_still(bench: Bench) -> None:
    with bench.clock.standing_still():
        assert len({bench.clock.now() for _ in range(100)}) == 1
    assert bench.clock.now() > 1e9


async def test_what_does_not_happen_is_not_waited_for_for_ever(bench: Bench) -> None:
    with pytest.raises(AssertionError, match="pigs: not within 3 s; seen last: 0"):
        await bench.eventually(lambda: 0, within=3.0, about="pigs")


async def test_a_worker_that_fell_silent_does_nothing_until_it_renews(bench: Bench) -> None:
    # Given
    other = await bench.another()
    other.falls_silent()
    silent = (other.lives, other.silent)
    # When
    await other.renew()
    # Then
    assert (silent, other.lives, other.silent) == ((False, True), True, False)
    assert len(await bench.store.workers()) == 2


async def test_what_is_refused_to_a_client_is_an_assertion_of_the_flow(bench: Bench) -> None:
    # Given
    flow = await bench.start(task())
    await (await flow.begin()).done(1)
    # Then
    with pytest.raises(AssertionError, match="suspend of '' is refused: it has ended"):
        await flow.suspend()
    with pytest.raises(AssertionError, match="has no error"):
        await flow.error()


async def test_all_that_a_body_can_say_is_said(bench: Bench) -> None:
    # Given
    flow = await bench.start(task())
    await (await flow.begin()).released()
    await (await flow.begin()).fails(retry_in=1.0, held=True)
    # When
    body = flow.jobs()[-1]
    assert (body.attempt, await flow.status()) == (1, Status.RETRYING)
    held = await bench.store.view(flow.id)
    # Then
    assert held.root.attempt == 2
    with pytest.raises(AssertionError, match="to be sent"):
        await flow.begin()


async def test_two_benches_share_nothing(bench: Bench) -> None:
    # Given
    other = await bench.elsewhere()
    # Then
    assert other.namespace != bench.namespace
    assert other.first.worker != bench.first.worker
    assert other.backend is not bench.backend
