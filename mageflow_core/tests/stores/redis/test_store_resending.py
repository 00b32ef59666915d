"""Jobs are confirmed, sent again where nobody has them, and passed on to those who can send."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from handles import Handle, Stores
from handles.handle import info
from simulation import chain, swarm, task

from mageflow_conformance.waiting import eventually
from mageflow_core.errors import StoreUnavailable
from mageflow_core.machine import Job, Verb
from mageflow_core.stores.redis import confirming
from mageflow_core.stores.redis.members import owner

WAITING, CLAIMED = 1e13, 1e14


async def flushed(handle: Handle) -> None:
    """What it has said was sent is confirmed."""
    flushing = handle.store._confirmations._flushing
    if flushing is not None:
        await flushing


async def confirm(handle: Handle, jobs: Sequence[Job] | None = None) -> None:
    await handle.store.sent(handle.ear.take() if jobs is None else jobs)
    await flushed(handle)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "WITHIN", 0.0)


# --- confirming ---------------------------------------------------------------------------------
async def test_a_job_that_nobody_says_was_sent_is_sent_again_after_10_seconds(
    stores: Stores,
) -> None:
    # Given
    one = await stores.open_at()
    await one.create(task("ok-a"))
    stores.advance(9.999)
    assert await one.look() == []
    # When
    stores.advance(0.001)
    (job,) = await one.look()
    # Then
    assert (job.key, job.attempt, job.send) == ("r", 1, 2)


@pytest.mark.usefixtures("at_once")
async def test_a_job_that_was_sent_waits(stores: Stores) -> None:
    # Given
    one = await stores.open_at()
    await one.create(task("ok-a"))
    sent_at = round(stores.clock.time * 1000)
    # When
    await confirm(one)
    # Then
    assert await one.scores("r", "jobs") == {"r": WAITING + sent_at + 60_000}
    stores.advance(5_000)
    assert await one.look() == []


async def test_jobs_are_confirmed_together_a_second_later(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    one = await stores.open_at()
    await one.create(swarm(*[task("ok-a")] * 5))
    monkeypatch.setattr("mageflow_core.stores.redis.confirming.asyncio.sleep", sleep)
    # When
    for job in one.ear.take():
        await one.store.sent([job])
    await flushed(one)
    # Then
    assert waited == [1.0]
    scores = await one.scores("r", "jobs")
    assert len(scores) == 5
    assert all(WAITING < score < CLAIMED for score in scores.values())


async def test_what_is_claimed_by_then_is_not_confirmed(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    over = asyncio.Event()

    async def sleep(seconds: float) -> None:
        await over.wait()

    monkeypatch.setattr("mageflow_core.stores.redis.confirming.asyncio.sleep", sleep)
    one = await stores.open_at()
    await one.create(swarm(task("ok-a"), task("ok-b")))
    asked: list[Any] = []
    original = one.store.server.step

    async def step(name: str, *arguments: Any) -> Any:
        asked.append((name, *arguments[:2]))
        return await original(name, *arguments)

    # When
    await one.store.sent(one.ear.take())
    await one.begin("r/0")
    setattr(one.store.server, "step", step)  # noqa: B010 - methods are not assigned to
    over.set()
    await flushed(one)
    # Then
    assert asked == [("confirm", "r", "/1")]


async def test_what_was_sent_by_a_client_that_leaves_at_once_is_confirmed(stores: Stores) -> None:
    # Given a client that has started and sent what nobody has claimed
    one, other = await stores.open_at(), await stores.open_at()
    await one.create(swarm(*[task("ok-a")] * 5))
    await one.store.sent(one.ear.take())
    # When it is closed before it would confirm that
    await one.store.close()
    # Then it is all confirmed, and not sent again
    scores = await other.scores("r", "jobs")
    assert len(scores) == 5
    assert all(WAITING < score < CLAIMED for score in scores.values())
    stores.advance(15)
    assert await other.look() == []


async def test_who_leaves_while_the_store_is_away_does_not_wait_for_it(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "AT_THE_END", 0.01)
    one = await stores.open_at()
    await one.create(task("ok-a"))
    await one.store.sent(one.ear.take())

    async def step(name: str, *arguments: Any) -> Any:
        await asyncio.Event().wait()

    setattr(one.store.server, "step", step)  # noqa: B010 - methods are not assigned to
    await asyncio.wait_for(one.store.close(), 10)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("meanwhile", ["claimed", "sent again", "done", "parked", "gone"])
async def test_a_confirmation_that_comes_late_changes_nothing(
    stores: Stores, meanwhile: str
) -> None:
    # Given
    one, other = await stores.open_at(), await stores.open_at()
    await one.create(chain(task("ok-a")))
    (job,) = one.ear.take()
    if meanwhile in ("claimed", "done"):
        work = await other.begin("r/0")
        if meanwhile == "done":
            await other.done(work)
    elif meanwhile == "sent again":
        stores.advance(10)
        await other.look()
    elif meanwhile == "parked":
        await other.steer("r", Verb.SUSPEND)
        await other.claim("r/0")
    else:
        await other.ask("DEL", one.store.server.keys.run("r"))
    before = await one.scores("r", "jobs")
    # When
    await confirm(one, [job])
    # Then
    assert await one.scores("r", "jobs") == before


async def test_confirmations_that_fail_are_left_and_the_next_are_made(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    monkeypatch.setattr(confirming, "WITHIN", 0.0)
    one = await stores.open_at()
    await one.create(swarm(task("ok-a"), task("ok-b")))
    first, second = one.ear.take()
    original = one.store.server.step

    async def away(*arguments: Any) -> Any:
        raise StoreUnavailable("it is away")

    setattr(one.store.server, "step", away)  # noqa: B010 - methods are not assigned to
    await confirm(one, [first])
    assert "1 sent jobs are not confirmed and are sent again: it is away" in caplog.text
    # When
    setattr(one.store.server, "step", original)  # noqa: B010
    await confirm(one, [second])
    # Then
    scores = await one.scores("r", "jobs")
    assert (scores["r/0"] < WAITING, scores["r/1"] > WAITING) == (True, True)


# --- sending again ------------------------------------------------------------------------------
async def test_two_that_find_the_same_unsent_jobs_send_each_once(stores: Stores) -> None:
    # Given
    one, two = await stores.open_at(), await stores.open_at()
    await one.create(swarm(*[task("ok-a")] * 30))
    stores.advance(10)
    # When
    found = await asyncio.gather(one.look(), two.look())
    # Then
    jobs = [job for each in found for job in each]
    assert sorted(job.key for job in jobs) == sorted(f"r/{n}" for n in range(30))
    assert {job.send for job in jobs} == {2}


@pytest.mark.usefixtures("at_once")
async def test_two_that_find_the_same_overdue_jobs_send_each_once(stores: Stores) -> None:
    # Given
    one, two = await stores.open_at(), await stores.open_at()
    await one.create(swarm(*[task("ok-a")] * 30))
    await confirm(one)
    start = stores.clock.time
    stores.advance(60)
    # When
    await asyncio.gather(one.store.idle(start), two.store.idle(start))
    # Then
    assert sorted(one.ear.keys + two.ear.keys) == sorted(f"r/{n}" for n in range(30))


@pytest.mark.usefixtures("at_once")
async def test_only_a_worker_that_had_nothing_for_a_minute_sends_what_waits(
    stores: Stores,
) -> None:
    # Given
    one = await stores.open_at()
    await one.create(task("ok-a"))
    await confirm(one)
    stores.advance(100)
    # When
    await one.store.idle(stores.clock.time - 59)
    assert one.ear.jobs == []
    await one.store.idle(stores.clock.time - 60)
    # Then
    assert [(job.key, job.send) for job in one.ear.jobs] == [("r", 2)]


@pytest.mark.usefixtures("at_once")
async def test_each_time_a_job_waits_twice_as_long_up_to_an_hour(stores: Stores) -> None:
    # Given
    one = await stores.open_at()
    await one.create(task("ok-a"))
    waits = []
    # When
    for _ in range(9):
        await confirm(one)
        (score,) = (await one.scores("r", "jobs")).values()
        wait = (score - WAITING) / 1000 - stores.clock.time
        waits.append(round(wait))
        stores.advance(wait - 0.001)
        await one.store.idle(0)
        assert one.ear.jobs == []
        stores.advance(0.001)
        await one.store.idle(0)
        assert one.ear.keys == ["r"]
    # Then
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


@pytest.mark.usefixtures("at_once")
async def test_a_new_attempt_waits_from_the_beginning_again(stores: Stores) -> None:
    # Given
    one = await stores.open_at()
    await one.create(task("ok-a"))
    await confirm(one)
    stores.advance(60)
    await one.store.idle(0)
    await one.fails(await one.begin(), retry_in=1.0)
    stores.advance(1)
    await one.look()
    # When
    await confirm(one, [Job("r", 2, 3, "ok-a", "", None, None)])
    # Then
    (score,) = (await one.scores("r", "jobs")).values()
    assert score == WAITING + (stores.clock.time + 60) * 1000


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("twin", [False, True], ids=["one handle", "renewed by a twin"])
async def test_who_is_given_what_was_sent_much_later_sends_what_waits(
    stores: Stores, twin: bool
) -> None:
    # Given
    one = await stores.open_at()
    renewing = await stores.twin(one) if twin else one
    await renewing.renew()
    await one.create(task("ok-a"), run="early")
    await confirm(one)
    stores.advance(59.999)
    await one.create(task("ok-a"), run="soon")
    stores.advance(0.001)
    await one.create(task("ok-a"), run="late")
    one.ear.take()
    # When
    await one.begin("soon")
    await renewing.renew()
    assert renewing.ear.jobs == []
    await one.begin("late")
    await renewing.renew()
    # Then
    assert renewing.ear.keys == ["early"]
    # When
    renewing.ear.take()
    await renewing.renew()
    assert renewing.ear.jobs == [], "it says so once"


async def test_a_job_of_what_has_ended_is_not_sent_again(stores: Stores) -> None:
    one = await stores.open_at()
    await one.create(swarm(task("ok-a"), task("ok-b")))
    await one.run("r/0")
    stores.advance(10)
    assert [job.key for job in await one.look()] == ["r/1"]


async def test_a_job_below_what_was_canceled_is_over_once_somebody_asks_for_it(
    stores: Stores,
) -> None:
    # Given: a cancel writes nothing below
    one = await stores.open_at()
    await one.create(swarm(task("ok-a")))
    await one.steer("r", Verb.CANCEL)
    stores.advance(10)
    assert [job.key for job in await one.look()] == ["r/0"]
    # When
    assert (await one.claim("r/0"))[:2] == ("skip", "canceled")
    # Then
    assert await one.scores("r", "jobs") == {}


# --- asked again --------------------------------------------------------------------------------
async def test_what_a_lost_answer_had_made_due_is_sent_at_once_when_it_is_asked_again(
    stores: Stores,
) -> None:
    # Given
    one = await stores.open()
    await one.create(chain(task("ok-a"), task("ok-b")))
    work = await one.begin("r/0")
    await one.done(work, "1")
    one.ear.take()
    # When
    assert await one.done(work, "1") is None
    # Then
    assert one.ear.keys == ["r/1"]


async def test_what_was_claimed_meanwhile_is_not_sent_again_then(stores: Stores) -> None:
    # Given
    one = await stores.open()
    await one.create(chain(task("ok-a"), task("ok-b")))
    work = await one.begin("r/0")
    await one.done(work, "1")
    await one.begin("r/1")
    one.ear.take()
    # When
    assert await one.done(work, "1") is None
    # Then
    assert one.ear.jobs == []


# --- passing on ---------------------------------------------------------------------------------
async def able(stores: Stores, said: dict[str, list[str]]) -> dict[str, Handle]:
    """Workers by name, each in a process of its own, that have opened these backends."""
    made = {name: await stores.open() for name in said}
    for _ in range(2):
        for name, backends in said.items():
            await made[name].store.renew(info(name, tasks=["ok-a"], backends=backends))
    return made


async def test_exactly_one_worker_that_can_sends_what_another_cannot(stores: Stores) -> None:
    # Given
    workers = await able(stores, {"w1": ["x"], "w2": ["x", "y"], "w3": ["y"], "w4": []})
    client = await stores.open()
    runs = [f"run-{n}" for n in range(20)]
    for run in runs:
        await client.create(task("ok-a", backend="x"), run=run)
    jobs = client.ear.take()
    # When
    await client.store.pass_on(jobs)
    # Then
    heard = [*workers.values(), client]
    await eventually(lambda: sum(len(each.ear.jobs) for each in heard) >= len(runs))
    for name in ("w1", "w2"):
        mine = [run for run in runs if owner(run, ["w1", "w2"]) == name]
        assert sorted(workers[name].ear.keys) == sorted(mine)
        assert {job.send for job in workers[name].ear.jobs} == {2}
    for each in (workers["w3"], workers["w4"], client):
        assert each.ear.jobs == []


async def test_who_passes_on_is_not_asked_itself(stores: Stores) -> None:
    # Given: it has closed that backend, and the others have not heard of it
    workers = await able(stores, {"w1": ["x"], "w2": ["x"]})
    run = next(f"run-{n}" for n in range(99) if owner(f"run-{n}", ["w1", "w2"]) == "w1")
    giving = workers["w1"]
    giving.store._leases.begin("w1")
    await giving.create(task("ok-a", backend="x"), run=run)
    # When
    await giving.store.pass_on(giving.ear.take())
    # Then
    await eventually(lambda: workers["w2"].ear.jobs)
    assert giving.ear.jobs == []


async def test_what_nobody_can_send_is_sent_in_its_time(stores: Stores) -> None:
    # Given
    one = await stores.open_at()
    await one.renew("w1", backends=["y"])
    await one.create(task("ok-a", backend="x"))
    # When
    await one.store.pass_on(one.ear.take())
    stores.advance(10)
    # Then
    assert [job.backend for job in await one.look()] == ["x"]


async def test_many_jobs_are_passed_on_in_messages_of_a_bearable_size(stores: Stores) -> None:
    # Given
    workers = await able(stores, {"w1": ["x"], "w2": ["x"]})
    client = await stores.open()
    await client.create(swarm(*[task("ok-a", backend="x")] * 350, max_concurrency=None))
    await client.forget_counts()
    # When
    await client.store.pass_on(client.ear.take())
    # Then
    assert await client.count("publish") == 4
    await eventually(lambda: sum(len(each.ear.jobs) for each in workers.values()) == 350)
