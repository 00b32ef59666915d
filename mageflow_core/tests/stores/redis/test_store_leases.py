"""Leases: what a worker holds as long as it says that it lives."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from handles import Handle, Stores
from handles.handle import beside, info
from simulation import swarm, task
from simulation.bodies import failure_of

from mageflow_core.client.loopthread import LoopThread
from mageflow_core.machine import Failed, Policy, Returned
from mageflow_core.stores.protocol import LEASE_LOST, Work
from mageflow_core.stores.redis import upkeep
from mageflow_core.stores.redis.keys import bucket_of
from mageflow_core.stores.redis.leases import NUMBERS, Leases, Tenure

LEASE = 30.0


async def lease_of(store: Handle, run: str = "r") -> float | None:
    """Seconds that the one lease of a bucket holds from now on."""
    found = await store.scores(run, "leases")
    assert len(found) <= 1
    for until in found.values():
        return until / 1000 - store.store.now()
    return None


@pytest.fixture
async def mine(stores: Stores) -> Handle:
    return await stores.open_at(lease=LEASE)


@pytest.fixture
async def other(stores: Stores) -> Handle:
    """Another process."""
    return await stores.open_at(lease=LEASE)


# --- of this process ----------------------------------------------------------------------------
def test_a_worker_has_one_tenure_until_that_ends() -> None:
    # Given
    leases = Leases()
    first = leases.begin("w")
    # Then
    assert leases.begin("w") is first is leases.of("w")
    assert leases.workers == ["w"]
    assert leases.end("w") is first
    assert leases.of("w") is leases.end("w") is None
    assert leases.begin("w").number != first.number


def test_numbers_are_drawn_by_lot_and_fit_into_a_score() -> None:
    leases = Leases()
    numbers = {leases.new_number() for _ in range(100)}
    assert len(numbers) == 100
    assert all(0 <= number < NUMBERS for number in numbers)
    assert all(float(10**14 + number) == 10**14 + number for number in [*numbers, NUMBERS])


def test_a_lease_is_under_a_workers_number_and_name() -> None:
    assert Tenure("host 1", 7).member == "7 host 1"


async def test_a_twin_has_the_same_leases(stores: Stores, mine: Handle) -> None:
    # Given
    twin = await stores.twin(mine)
    await mine.create(task("ok-a"))
    await mine.begin()
    stores.advance(20)
    # When
    assert await twin.renew()
    # Then
    assert await lease_of(mine) == LEASE


async def test_a_twin_renews_on_another_thread_while_claims_are_made(
    stores: Stores, mine: Handle
) -> None:
    # Given
    await mine.create(swarm(*[task("ok-a")] * 200, max_concurrency=None))
    thread = LoopThread()
    stop = threading.Event()

    async def renew_all_the_time() -> list[bool]:
        twin = await stores.twin(mine)
        held = []
        while not stop.is_set():
            held.append(await twin.renew())
        await twin.store.close()
        stores.opened.remove(twin.store)
        return held

    try:
        renewing = asyncio.create_task(asyncio.to_thread(thread.run, renew_all_the_time()))
        # When
        for number in range(200):
            await mine.run(f"r/{number}")
        stop.set()
        # Then
        held = await renewing
        assert len(held) > 10
        assert all(held)
    finally:
        stop.set()
        await asyncio.to_thread(thread.close)
    assert (await mine.store.node("r")).status == "done"


# --- claiming -----------------------------------------------------------------------------------
async def test_the_first_claim_in_a_bucket_begins_a_lease_there(mine: Handle) -> None:
    await mine.create(task("ok-a"))
    assert await lease_of(mine) is None
    await mine.begin()
    assert await lease_of(mine) == LEASE


async def test_while_most_of_a_lease_is_left_claims_do_not_prolong_it(
    stores: Stores, mine: Handle
) -> None:
    # Given
    await mine.create(swarm(*[task("ok-a")] * 3))
    await mine.begin("r/0")
    # When
    stores.advance(14)
    await mine.begin("r/1")
    # Then
    assert await lease_of(mine) == LEASE - 14
    # When
    stores.advance(2)
    await mine.begin("r/2")
    # Then
    assert await lease_of(mine) == LEASE


@pytest.mark.parametrize("idle", range(0, 40, 3))
async def test_what_is_claimed_after_a_pause_is_not_lost_before_the_next_renewal(
    stores: Stores, mine: Handle, other: Handle, idle: int
) -> None:
    # Given: a lease that was not renewed, as nothing was claimed under it
    await mine.create(task("ok-a"))
    await mine.run()
    for second in range(1, idle + 1):
        stores.advance(1)
        if second % 5 == 0:
            assert await mine.renew()
    name = beside("r")
    await mine.create(task("ok-a"), run=name)
    # When
    work = await mine.begin(name)
    stores.advance(4.9)
    assert await other.look() == []
    stores.advance(0.1)
    # Then
    assert await mine.renew()
    assert await mine.done(work) is None


# --- renewing -----------------------------------------------------------------------------------
async def test_a_lease_under_which_something_is_claimed_is_renewed(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given
    await mine.create(task("ok-a"))
    work = await mine.begin()
    # When
    for _ in range(20):
        stores.advance(5)
        assert await mine.renew()
        assert await other.look() == []
    # Then
    assert await lease_of(mine) == LEASE
    assert await mine.done(work) is None


async def test_a_lease_under_which_nothing_is_claimed_is_left_to_end(
    stores: Stores, mine: Handle
) -> None:
    # Given
    await mine.create(task("ok-a"))
    await mine.run()
    # When
    stores.advance(20)
    await mine.renew()
    assert await lease_of(mine) == LEASE - 20
    stores.advance(10)
    await mine.renew()
    # Then
    assert await lease_of(mine) is None
    tenure = mine.store._leases.of("w1")
    assert tenure is not None
    assert tenure.until == {}


async def test_a_renewal_costs_a_call_for_each_bucket_with_work(mine: Handle) -> None:
    # Given
    for run in ("r", beside("r"), "s"):
        await mine.create(task("ok-a"), run=run)
        await mine.begin(run)
    assert bucket_of("r") != bucket_of("s")
    await mine.renew()
    await mine.forget_counts()
    # When
    await mine.renew()
    # Then
    assert await mine.count("evalsha") == 1 + 2  # that it lives, and the two buckets


async def test_a_renewal_is_answered_with_what_holds(stores: Stores, mine: Handle) -> None:
    async def renewed(member: str) -> list[int]:
        answer: list[int] = await mine.store.server.on_bucket(
            "renew", bucket_of("r"), member, int(LEASE * 1000)
        )
        return answer

    # Given
    await mine.create(swarm(task("ok-a"), task("ok-b")))
    work = await mine.begin("r/0")
    tenure = mine.store._leases.of("w1")
    assert tenure is not None
    now = round(stores.clock.time * 1000)
    # Then
    assert await renewed("7 nobody") == [1, 0]
    stores.advance(1)
    assert await renewed(tenure.member) == [now + 31_000, 1]
    await mine.done(work)
    stores.advance(1)
    assert await renewed(tenure.member) == [now + 31_000, 0]
    await mine.begin("r/1")
    stores.advance(31)
    now = round(stores.clock.time * 1000)
    assert await renewed(tenure.member) == [now + 30_000, 1]
    await mine.store.server.on_bucket("leave", bucket_of("r"), tenure.member, 100)
    assert await renewed(tenure.member) == [0, 0]


# --- lost ---------------------------------------------------------------------------------------
async def test_a_lease_is_lost_when_its_time_is_over_and_not_before(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given
    await mine.create(task("ok-a"))
    zombie = await mine.begin()
    stores.advance(LEASE - 0.001)
    assert await other.look() == []
    # When
    stores.advance(0.001)
    (job,) = await other.look()
    # Then
    assert (job.key, job.attempt, job.send) == ("r", 1, 2)
    view = await other.store.node("r")
    assert (view.status, view.crashes) == ("queued", 1)
    assert await mine.done(zombie) == "the claim is lost"
    again = await other.begin(worker="w2")
    assert again.fence == zombie.fence + 1
    assert await other.done(again) is None


async def test_a_lease_that_has_ended_goes_on_if_nobody_has_taken_anything_over(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given a lease that nobody could renew in time, as when the server was away
    await mine.create(swarm(task("ok-a"), task("ok-b")))
    work = await mine.begin("r/0")
    stores.advance(LEASE + 5)
    # Then: what it claims now would be lost with the rest
    claimed = await mine.claim("r/1")
    assert (claimed.verdict, claimed.why) == ("release", LEASE_LOST)
    assert claimed.too_early
    # When
    assert await mine.renew()
    # Then
    assert await lease_of(mine) == LEASE
    await mine.begin("r/1")
    assert await other.look() == []
    assert await mine.done(work) is None
    assert (await mine.store.node("r/0")).crashes == 0


async def test_who_finds_its_lease_lost_begins_anew_and_that_is_no_crash(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given a lease that has ended, and of which somebody has taken a part over
    await mine.create(swarm(task("ok-a"), task("ok-b"), task("ok-c")))
    zombie = await mine.begin("r/0")
    await mine.begin("r/1")
    before = mine.store._leases.of("w1")
    assert before is not None
    stores.advance(LEASE)
    await other.store._upkeep._lose(["r/1"], before.member, crashed=True)
    # Then: what it claims now would be lost with the rest
    assert (await mine.claim("r/2")).too_early
    # When
    assert not await mine.renew()
    # Then
    assert (await mine.store.node("r/0")).crashes == 0
    assert mine.ear.keys[-1] == "r/0"
    assert await mine.done(zombie) == "the claim is lost"
    assert await mine.renew()
    await mine.begin("r/0")
    await mine.begin("r/2")
    after = mine.store._leases.of("w1")
    assert after is not before
    assert await other.look() == []


async def test_after_a_silence_workers_get_the_time_to_renew_their_leases(
    stores: Stores, mine: Handle, other: Handle, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a reconciler that had no answer for so long that leases have ended meanwhile
    passed = 0.0
    real_time = time.monotonic
    monkeypatch.setattr(upkeep, "monotonic", lambda: real_time() + passed)
    await mine.create(swarm(task("ok-a"), task("ok-b")))
    work = await mine.begin("r/0")
    await other.begin("r/1", worker="dead")
    assert await other.look() == []
    passed += LEASE
    stores.advance(LEASE)
    # When it looks, then it does not take their workers for dead
    assert await other.look() == []
    assert await mine.renew()
    # When they had the time to say that they live, then it does
    passed += LEASE / 3
    stores.advance(LEASE / 3)
    assert [job.key for job in await other.look()] == ["r/1"]
    assert await mine.done(work) is None


async def test_what_others_have_taken_over_is_told_by_the_next_renewal(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given
    await mine.create(task("ok-a"))
    await mine.begin()
    stores.advance(LEASE)
    await other.look()
    await other.done(await other.begin(worker="w2"))
    # Then
    assert not await mine.renew()
    assert await mine.renew()


async def test_a_claim_is_not_lost_while_its_lease_holds(mine: Handle) -> None:
    # Given
    await mine.create(task("ok-a"))
    work = await mine.begin()
    tenure = mine.store._leases.of("w1")
    assert tenure is not None
    # When
    answer = await mine.store.server.step("lose", "r", "", tenure.number, "w1", 1, 0, 0, 0)
    # Then
    assert answer == ["the lease holds", []]
    assert await mine.done(work) is None


async def test_only_what_is_claimed_under_that_number_is_lost(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given
    await mine.create(swarm(task("ok-a"), task("ok-b"), task("ok-c")))
    await mine.begin("r/0")
    await mine.begin("r/1", worker="w2")
    stores.advance(20)
    assert await mine.renew("w2")
    await other.begin("r/2", worker="w1")  # of the same name, in another process
    stores.advance(10)
    # When
    jobs = await other.look()
    # Then
    assert [job.key for job in jobs] == ["r/0"]


async def test_more_than_fits_into_one_look_is_lost_by_and_by(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given
    await mine.create(swarm(*[task("ok-a")] * 250, max_concurrency=None))
    await asyncio.gather(*(mine.begin(f"r/{n}") for n in range(250)))
    stores.advance(LEASE)
    # When
    lost = [await other.look() for _ in range(3)]
    # Then
    assert [len(jobs) for jobs in lost] == [100, 100, 50]
    assert await other.look() == []


async def test_a_lease_with_nothing_under_it_is_forgotten(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    await mine.create(task("ok-a"))
    await mine.run()
    stores.advance(LEASE)
    assert await lease_of(mine) is not None
    assert await other.look() == []
    assert await lease_of(mine) is None


async def test_a_task_that_kills_its_workers_waits_longer_and_longer_and_fails(
    stores: Stores, mine: Handle
) -> None:
    # Given
    await mine.create(task("ok-a"))
    waits = []
    # When
    for number in range(4):
        await mine.begin(worker=f"victim-{number}")
        stores.advance(LEASE)
        await mine.look()
        view = await mine.store.node("r")
        waits.append(view.due_at and view.due_at - stores.clock.time)
        stores.advance(500)
        await mine.look()
    # Then
    first, second, third, fourth = waits
    assert first is fourth is None
    assert second is not None
    assert third is not None
    assert 15 <= second <= 45
    assert 150 <= third <= 450
    assert view.status == "failed"
    assert view.error is not None
    assert view.error.type == "mageflow.WorkerLost"


async def test_a_thread_that_never_returns_holds_its_node_until_its_lease_is_lost(
    stores: Stores, mine: Handle, other: Handle
) -> None:
    # Given
    async def times_out(work: Work) -> None:
        failed = Failed(failure=failure_of(work), retry_in=1.0, held=True)
        assert await mine.report(work, failed) is None

    await mine.create(swarm(task("ok-a"), task("ok-b")))
    for key in ("r/0", "r/1"):
        await times_out(work := await mine.begin(key))
    stores.advance(5)
    assert await other.look() == []
    # When
    assert await mine.report(work, Returned()) is None
    # Then
    assert [job.key for job in await other.look()] == ["r/1"]
    # When
    stores.advance(LEASE)
    jobs = [*await other.look(), *await other.look()]
    # Then
    assert "r/0" in [job.key for job in jobs]
    assert (await other.store.node("r/0")).crashes == 0


# --- claims that nobody knows of ----------------------------------------------------------------
async def claimed_in_vain(store: Handle, key: str) -> None:
    """The server grants it, and whoever has asked is gone by then."""
    original = store.store.server.step
    granted = asyncio.Event()

    async def step(*arguments: Any) -> Any:
        answer = await original(*arguments)
        granted.set()
        await asyncio.Event().wait()
        return answer

    setattr(store.store.server, "step", step)  # noqa: B010 - methods are not assigned to
    claiming = asyncio.create_task(store.claim(key))
    await granted.wait()
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    setattr(store.store.server, "step", original)  # noqa: B010


async def test_what_was_claimed_for_nobody_runs_again_though_its_worker_lives(
    stores: Stores, mine: Handle
) -> None:
    # Given
    await mine.create(swarm(task("ok-a"), task("ok-b")))
    work = await mine.begin("r/1")
    await claimed_in_vain(mine, "r/0")
    mine.ear.take()
    # When
    for _ in range(3):
        stores.advance(5)
        assert await mine.renew()
    # Then
    assert mine.ear.keys == ["r/0"]
    view = await mine.store.node("r/0")
    assert (view.status, view.crashes) == ("queued", 0)
    assert await mine.done(work) is None


async def test_what_a_body_runs_is_never_taken_for_that(stores: Stores, mine: Handle) -> None:
    # Given
    await mine.create(swarm(*[task("ok-a")] * 5))
    works = [await mine.begin(f"r/{n}") for n in range(5)]
    mine.ear.take()
    held = Failed(failure=failure_of(works[0]), retry_in=1.0, held=True)
    assert await mine.report(works[0], held) is None
    # When
    for _ in range(10):
        stores.advance(5)
        assert await mine.renew()
    # Then
    assert mine.ear.jobs == []
    assert [await mine.done(work) for work in works[1:]] == [None] * 4
    assert await mine.report(works[0], Returned()) is None


async def test_nothing_is_kept_of_claims_that_are_over(mine: Handle) -> None:
    # Given
    await mine.create(swarm(*[task("ok-a")] * 4))
    await mine.run("r/0")
    await mine.releases(await mine.begin("r/1"))
    assert (await mine.claim("r/0")).work is None
    assert (await mine.claim("nothing")).work is None
    # Then
    tenure = mine.store._leases.of("w1")
    assert tenure is not None
    assert (tenure.asked, tenure.granted) == ({}, {})
    assert mine.store._containers == {}


# --- leaving ------------------------------------------------------------------------------------
@pytest.mark.parametrize(("crashed", "crashes"), [(False, 0), (True, 1)])
async def test_what_a_worker_had_runs_again_at_once_when_it_leaves(
    mine: Handle, crashed: bool, crashes: int
) -> None:
    # Given
    await mine.create(task("ok-a"))
    work = await mine.begin()
    mine.ear.take()
    # When
    await mine.store.leave("w1", crashed=crashed)
    # Then
    assert mine.ear.keys == ["r"]
    assert (await mine.store.node("r")).crashes == crashes
    assert await mine.done(work) == "the claim is lost"
    assert await lease_of(mine) is None


async def test_one_of_two_workers_of_a_process_leaves(mine: Handle) -> None:
    # Given
    await mine.create(swarm(task("ok-a"), task("ok-b")))
    await mine.renew("w1")
    await mine.renew("w2")
    left, kept = await mine.begin("r/0", worker="w1"), await mine.begin("r/1", worker="w2")
    # When
    await mine.store.leave("w1", crashed=False)
    # Then
    assert await mine.done(left) == "the claim is lost"
    assert await mine.renew("w2")
    assert await mine.done(kept) is None
    assert [worker.id for worker in await mine.store.workers()] == ["w2"]


async def test_who_had_nothing_leaves_nothing(mine: Handle) -> None:
    await mine.renew("w1")
    await mine.store.leave("w1", crashed=False)
    await mine.store.leave("never-here", crashed=False)
    assert await mine.store.workers() == []


async def test_a_worker_leaves_with_more_than_fits_into_one_call(mine: Handle) -> None:
    # Given
    await mine.create(swarm(*[task("ok-a")] * 230, max_concurrency=None))
    await asyncio.gather(*(mine.begin(f"r/{n}") for n in range(230)))
    mine.ear.take()
    # When
    await mine.store.leave("w1", crashed=False)
    # Then
    assert sorted(mine.ear.keys) == sorted(f"r/{n}" for n in range(230))


async def test_a_worker_that_comes_back_has_another_number(mine: Handle) -> None:
    # Given
    await mine.create(swarm(task("ok-a"), task("ok-b")))
    await mine.begin("r/0")
    before = mine.store._leases.of("w1")
    await mine.store.leave("w1", crashed=False)
    # When
    await mine.begin("r/1")
    # Then
    after = mine.store._leases.of("w1")
    assert before is not None
    assert after is not None
    assert after.number != before.number


# --- who lives ----------------------------------------------------------------------------------
async def test_workers_are_seen_by_all_with_what_they_say_of_themselves(
    mine: Handle, other: Handle, stores: Stores
) -> None:
    # Given
    said = info("w2", tasks=["a", "b"], backends=["x"])
    await mine.store.renew(info("w1"))
    stores.advance(1)
    # When
    await mine.store.renew(said)
    # Then
    one, two = await other.store.workers()
    assert (one.id, one.seen_at) == ("w1", stores.clock.time - 1)
    assert (two.id, two.tasks, two.backends) == ("w2", said.tasks, said.backends)
    assert two.seen_at == stores.clock.time


async def test_a_worker_that_says_nothing_for_a_lease_is_forgotten(
    mine: Handle, other: Handle, stores: Stores
) -> None:
    # Given
    await mine.renew("w1")
    stores.advance(LEASE - 1)
    await other.renew("w2")
    assert len(await other.store.workers()) == 2
    # When
    stores.advance(1)
    # Then
    assert [worker.id for worker in await other.store.workers()] == ["w2"]
    assert sorted(await mine.ask("HKEYS", mine.store.server.keys.workers)) == ["w2", "w2 seen"]


async def test_to_ask_who_lives_keeps_nobody_alive(mine: Handle, stores: Stores) -> None:
    await mine.renew("w1")
    for _ in range(3):
        stores.advance(LEASE / 2)
        await mine.store.workers()
    assert await mine.store.workers() == []


async def test_what_a_policy_allows_decides_how_often_a_worker_may_be_lost(
    stores: Stores,
) -> None:
    # Given
    store = await stores.open_at(policy=Policy(max_crashes=0))
    await store.create(task("ok-a"))
    await store.begin()
    # When
    await store.store.leave("w1", crashed=True)
    # Then
    assert (await store.store.node("r")).status == "failed"
