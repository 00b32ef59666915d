"""Claims that the server keeps and that nobody runs: as after a failover that has lost outcomes."""

from __future__ import annotations

import asyncio
import logging

import pytest
from handles import Handle, Stores
from handles.handle import beside
from simulation import swarm, task
from simulation.bodies import failure_of

from mageflow_conformance.waiting import eventually
from mageflow_core.errors import StoreBroken
from mageflow_core.machine import ClaimRequest, Failed, Returned, Status
from mageflow_core.stores.protocol import Work

LEASE = 30.0


@pytest.fixture
async def mine(stores: Stores) -> Handle:
    return await stores.open_at(lease=LEASE)


async def begun(store: Handle, key: str = "r") -> Work:
    """A body that runs, of a new run."""
    await store.create(task("ok-a"), run=key)
    return await store.begin(key)


def forget(store: Handle, work: Work) -> None:
    """As where its outcome was told, and the server has lost it since."""
    store.store._leases.over(work.claim)


async def status(store: Handle, key: str = "r") -> Status:
    return (await store.store.node(key)).status


async def test_what_is_claimed_and_runs_nowhere_runs_again_after_two_renewals(
    mine: Handle, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a claim, and its body is over
    work = await begun(mine)
    forget(mine, work)
    mine.ear.take()
    # When its worker renews its lease once, then it may be on its way still
    assert await mine.renew()
    assert (await status(mine), mine.ear.take()) == (Status.ACTIVE, [])
    # When it does so again, then it runs again, at once, and that is no crash
    with caplog.at_level(logging.WARNING):
        assert await mine.renew()
    assert [job.key for job in mine.ear.take()] == ["r"]
    again = await mine.begin()
    assert again.fence == work.fence + 1
    assert (await mine.store.node("r")).crashes == 0
    assert "1 nodes are claimed by w1, which does not run them" in caplog.text
    # And what the first one says is refused
    assert await mine.done(work) == "the claim is lost"
    assert await mine.done(again) is None


async def test_what_runs_keeps_its_claim_however_often_the_lease_is_renewed(mine: Handle) -> None:
    # Given bodies that run, beside one that was forgotten
    await mine.create(swarm(*[task("ok-a")] * 5, max_concurrency=None))
    works = [await mine.begin(f"r/{position}") for position in range(5)]
    forget(mine, works[2])
    # When
    for _ in range(4):
        assert await mine.renew()
    # Then
    assert await status(mine, "r/2") is Status.QUEUED
    for position in (0, 1, 3, 4):
        assert await mine.done(works[position]) is None


async def test_a_claim_whose_reply_has_not_come_is_left_alone(
    mine: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given claims that are granted, and whose replies are long in coming
    await mine.create(swarm(*[task("ok-a")] * 2, max_concurrency=None))
    first = await mine.begin("r/0")
    step, come = mine.store.server.step, asyncio.Event()

    async def late(name: str, run_id: str, *arguments: str | float) -> object:
        reply = await step(name, run_id, *arguments)
        if name == "claim":
            await come.wait()
        return reply

    monkeypatch.setattr(mine.store.server, "step", late)
    claiming = asyncio.create_task(mine.begin("r/1"))

    async def granted() -> bool:
        return await status(mine, "r/1") is Status.ACTIVE

    await eventually(granted)
    # When the lease is renewed meanwhile, then nothing happens to them
    for _ in range(4):
        assert await mine.renew()
    come.set()
    for work in (first, await claiming):
        assert await mine.done(work) is None


async def test_a_claim_whose_caller_was_stopped_is_let_go(
    mine: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a claim that is granted when whoever asked for it has gone
    await mine.create(task("ok-a"))
    step, granted = mine.store.server.step, asyncio.Event()

    async def slow(name: str, run_id: str, *arguments: str | float) -> object:
        reply = await step(name, run_id, *arguments)
        granted.set()
        await asyncio.Event().wait()
        return reply

    monkeypatch.setattr(mine.store.server, "step", slow)
    claiming = asyncio.create_task(mine.claim())
    await granted.wait()
    claiming.cancel()
    await asyncio.wait([claiming])
    monkeypatch.setattr(mine.store.server, "step", step)
    assert await status(mine) is Status.ACTIVE
    # When its bucket is one of those whose leases are renewed
    await mine.create(task("ok-a"), run=beside("r"))
    await mine.begin(beside("r"))
    for _ in range(2):
        assert await mine.renew()
    # Then it runs again
    assert await status(mine) is Status.QUEUED


async def test_a_thread_that_runs_on_after_its_timeout_keeps_its_claim(mine: Handle) -> None:
    # Given an attempt that is over, and whose thread is not
    work = await begun(mine)
    late = Failed(failure=failure_of(work), retry_in=0.0, held=True)
    assert await mine.report(work, late) is None
    # When the lease is renewed, then the next attempt waits for it
    for _ in range(3):
        assert await mine.renew()
    assert await status(mine) is Status.RETRYING
    assert mine.ear.take()[1:] == []
    # When it has returned
    assert await mine.report(work, Returned()) is None
    await mine.look()
    assert (await mine.begin(attempt=2)).attempt == 2


async def test_a_claim_that_cannot_be_asked_for_is_not_taken_for_one_that_runs(
    mine: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a server that answers what it should not
    await mine.create(task("ok-a"))

    async def broken(*_: object) -> object:
        raise StoreBroken("it has answered what it should not")

    with monkeypatch.context() as patched:
        patched.setattr(mine.store.server, "step", broken)
        with pytest.raises(StoreBroken):
            await mine.store.claim("r", ClaimRequest("", 1, "c", "w1"))
    # Then nothing is kept of the claim
    tenure = mine.store._leases.of("w1")
    assert tenure is not None
    assert (tenure.asked, tenure.granted) == ({}, {})
