"""What is due is served: by one worker each, and by others where that one is gone."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from handles import Handle, Stores
from handles.handle import beside, info
from simulation import swarm, task

from mageflow_conformance.waiting import eventually
from mageflow_core.errors import StoreBroken
from mageflow_core.machine import Policy, Verb
from mageflow_core.stores.redis.keys import BUCKETS, bucket_of
from mageflow_core.stores.redis.members import owner
from mageflow_core.stores.redis.upkeep import OTHERS, OWN, Upkeep

ALL = set(range(BUCKETS))


def upkeep_of(handle: Handle) -> Upkeep:
    return handle.store._upkeep


def run_of(worker: str, *others: str) -> str:
    """The id of a run whose bucket is this worker's."""
    names = [worker, *others]
    ids = (f"run-{n}" for n in range(10_000))
    return next(name for name in ids if owner(str(bucket_of(name)), names) == worker)


async def workers(stores: Stores, *names: str, real: bool = False) -> list[Handle]:
    """Each in a process of its own, and all know of all."""
    made = [await (stores.open() if real else stores.open_at()) for _ in names]
    for _ in range(2):
        for handle, name in zip(made, names, strict=True):
            await handle.renew(name)
    return made


async def looks(handle: Handle) -> Counter[int]:
    """How often it has looked at each bucket from now on."""
    seen: Counter[int] = Counter()
    server = handle.store.server
    original = server.on_bucket

    async def on_bucket(name: str, bucket: int, *arguments: Any) -> Any:
        if name == "look":
            seen[bucket] += 1
        return await original(name, bucket, *arguments)

    setattr(server, "on_bucket", on_bucket)  # noqa: B010 - methods are not assigned to
    return seen


# --- whose buckets ------------------------------------------------------------------------------
async def test_every_bucket_is_one_live_workers(stores: Stores) -> None:
    # Given
    names = ["w1", "w2", "w3"]
    handles = await workers(stores, *names)
    # Then
    shares = [set(upkeep_of(handle)._mine) for handle in handles]
    assert set.union(*shares) == ALL
    assert sum(map(len, shares)) == BUCKETS
    assert all(shares)


async def test_a_handle_without_a_worker_takes_itself_for_the_only_one(stores: Stores) -> None:
    handle = await stores.open_at()
    assert upkeep_of(handle)._mine == ALL


@pytest.mark.parametrize("how", ["leaves", "is silent"])
async def test_what_one_had_goes_to_the_others_and_nothing_else_moves(
    stores: Stores, how: str
) -> None:
    # Given
    one, two, gone = await workers(stores, "w1", "w2", "w3")
    before = [set(upkeep_of(handle)._mine) for handle in (one, two, gone)]
    # When
    if how == "leaves":
        await gone.store.leave("w3", crashed=False)
    else:
        stores.advance(20)
        await one.renew("w1")
        await two.renew("w2")
        stores.advance(20)
    await one.renew("w1")
    await two.renew("w2")
    # Then
    after = [set(upkeep_of(handle)._mine) for handle in (one, two)]
    assert after[0] | after[1] == ALL
    assert after[0] & after[1] == set()
    assert before[0] <= after[0]
    assert before[1] <= after[1]


async def test_the_buckets_of_one_who_is_gone_are_looked_at_at_once(stores: Stores) -> None:
    # Given
    one, gone = await workers(stores, "w1", "w2")
    await one.store.work()
    seen = await looks(one)
    # When
    await gone.store.leave("w2", crashed=False)
    await one.renew("w1")
    assert one.ear.dues
    await one.store.work()
    # Then
    assert set(seen) == ALL


# --- when they are looked at --------------------------------------------------------------------
async def test_its_own_buckets_are_looked_at_often_and_those_of_others_now_and_then(
    stores: Stores,
) -> None:
    # Given
    one, _ = await workers(stores, "w1", "w2")
    mine = set(upkeep_of(one)._mine)
    await one.store.work()
    seen = await looks(one)
    # When
    for _ in range(30):
        stores.advance(1)
        await one.store.work()
    # Then
    assert {seen[bucket] for bucket in mine} == {30 / OWN}
    assert {seen[bucket] for bucket in ALL - mine} == {30 / OTHERS}


async def test_what_is_due_is_served_by_its_owner_at_its_time(stores: Stores) -> None:
    # Given
    one, two = await workers(stores, "w1", "w2")
    run = run_of("w1", "w2")
    await one.create(task("ok-a", delay=3.0), run=run)
    due = stores.clock.time + 3
    # When
    times = [await handle.store.work() for handle in (one, two)]
    # Then
    assert times[0] == pytest.approx(due)
    assert times[1] is not None
    assert times[1] > due
    # When
    stores.advance(3)
    await two.store.work()
    assert two.ear.jobs == []
    await one.store.work()
    # Then
    assert one.ear.keys == [run]


async def test_where_the_owner_is_dead_another_serves_it_a_little_later(stores: Stores) -> None:
    # Given
    one, _dead = await workers(stores, "w1", "w2")
    await one.store.work()
    run = run_of("w2", "w1")
    await one.create(task("ok-a", delay=3.0), run=run)
    one.ear.take()
    # When
    for _ in range(int(OTHERS) - 1):
        stores.advance(1)
        await one.store.work()
        assert one.ear.jobs == []
    stores.advance(1)
    await one.store.work()
    # Then
    assert one.ear.keys == [run]


async def test_a_step_that_makes_something_due_wakes_the_owner_alone(stores: Stores) -> None:
    # Given
    one, two = await workers(stores, "w1", "w2", real=True)
    client = await stores.open()
    for handle in (one, two):
        await handle.store.work()
    # When
    await client.create(task("ok-a", delay=2.0), run=run_of("w1", "w2"))
    # Then
    await eventually(lambda: one.ear.dues)
    (due,) = one.ear.dues
    assert 1.5 < due - one.store._options.clock.now() < 2.5
    await two.store.server.publish("ns:due", "63 0")  # had there been one for it, it came before
    await two.store.server.publish("ns:control", '["signal", "x", "", "cancel"]')
    await eventually(lambda: two.ear.signals)
    assert due not in two.ear.dues
    # When
    time = await one.store.work()
    # Then
    assert time == pytest.approx(due, abs=0.5)


async def test_what_is_due_much_later_wakes_nobody_and_is_served_all_the_same(
    stores: Stores,
) -> None:
    # Given
    (one,) = await workers(stores, "w1")
    await one.store.work()
    before = len(await one.ask("LRANGE", "told", 0, -1))
    await one.create(task("ok-a", delay=20.0))
    assert len(await one.ask("LRANGE", "told", 0, -1)) == before
    # When
    for _ in range(20):
        stores.advance(1)
        assert one.ear.jobs == []
        await one.store.work()
    # Then
    assert one.ear.keys == ["r"]


async def test_a_delay_never_ends_early(stores: Stores) -> None:
    (one,) = await workers(stores, "w1")
    await one.create(task("ok-a", delay=3.0))
    stores.advance(2.999)
    assert await one.look() == []
    stores.advance(0.001)
    assert [job.key for job in await one.look()] == ["r"]


async def test_an_eta_that_is_over_is_no_delay(stores: Stores) -> None:
    (one,) = await workers(stores, "w1")
    await one.create(task("ok-a", eta=datetime(2020, 1, 1, tzinfo=UTC)))
    assert one.ear.keys == ["r"]


# --- entries ------------------------------------------------------------------------------------
async def test_who_dies_between_looking_and_serving_leaves_all_to_others(stores: Stores) -> None:
    # Given
    one, two = await workers(stores, "w1", "w2")
    await one.create(swarm(*[task("ok-a", delay=3.0)] * 5))
    stores.advance(3)
    # When
    _, due, *_ = await one.store.server.on_bucket("look", bucket_of("r"), 100)
    # Then
    assert sorted(due) == [f"due r/{n}" for n in range(5)]
    assert sorted(job.key for job in await two.look()) == [f"r/{n}" for n in range(5)]


async def test_two_that_serve_the_same_entries_serve_each_once(stores: Stores) -> None:
    # Given
    one, two = await workers(stores, "w1", "w2")
    await one.create(swarm(*[task("ok-a", delay=3.0)] * 50, max_concurrency=None))
    stores.advance(3)
    # When
    jobs = await asyncio.gather(one.look(), two.look())
    # Then
    keys = [job.key for found in jobs for job in found]
    assert sorted(keys) == sorted(f"r/{n}" for n in range(50))


async def test_a_hundred_entries_are_served_at_once_and_then_more(stores: Stores) -> None:
    # Given
    (one,) = await workers(stores, "w1")
    await one.create(swarm(*[task("ok-a", delay=3.0)] * 250, max_concurrency=None))
    stores.advance(3)
    served: list[int] = []
    # When
    while len(served) < 4:
        time = await one.store.work()
        served.append(len(one.ear.take()))
        assert time is not None
        assert (time <= stores.clock.time) == (len(served) < 4), "it wants to come again at once"
    # Then
    assert served == [100, 100, 50, 0]


async def test_a_run_that_is_broken_keeps_no_other_from_being_served(stores: Stores) -> None:
    # Given: all in one bucket
    (one,) = await workers(stores, "w1")
    names = [beside("r", number) for number in range(20)]
    for name in ["r", *names]:
        await one.create(task("ok-a", delay=3.0), run=name)
    await one.ask("HSET", one.store.server.keys.run("r"), "n", "\xc1")
    stores.advance(3)
    one.ear.take()
    # When
    with pytest.raises(StoreBroken):
        await one.store.work()
    # Then
    assert sorted(one.ear.keys) == sorted(names)
    with pytest.raises(StoreBroken):
        await one.store.work()


async def test_an_entry_of_a_run_that_is_gone_goes_too(stores: Stores) -> None:
    (one,) = await workers(stores, "w1")
    await one.create(task("ok-a", delay=3.0))
    await one.ask("DEL", one.store.server.keys.run("r"))
    stores.advance(20)
    assert await one.look() == []
    assert await one.scores("r", "due") == {}
    assert await one.scores("r", "jobs") == {}


# --- time ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("wrong", [-40.0, 40.0])
async def test_what_a_process_knows_of_the_servers_time_is_corrected(
    stores: Stores, wrong: float
) -> None:
    # Given
    (one,) = await workers(stores, "w1", real=True)
    await one.store.work()
    truth = one.store.now()
    # When: the server's clock was set meanwhile
    one.store.server._ahead += wrong
    await one.renew("w1")
    # Then
    assert abs(one.store.now() - truth) < 5
    assert set(upkeep_of(one)._next.values()) == {0.0}, "it looks at everything again"


async def test_the_time_is_the_servers_whatever_the_clock_of_the_process_says(
    stores: Stores,
) -> None:
    # Given
    stores.clock.time = 1_000.0
    one = await stores.open(clock=stores.clock)
    seconds, _ = await one.ask("TIME")
    # Then
    assert abs(one.store.now() - int(seconds)) < 5
    await one.create(task("ok-a", delay=60.0))
    time = await one.store.work()
    assert time is not None
    assert 0 < time - stores.clock.time <= OWN, "but it is told by that clock when to come again"


# --- unknown tasks ------------------------------------------------------------------------------
async def test_a_task_that_no_live_worker_knows_fails_in_time(stores: Stores) -> None:
    # Given
    one = await stores.open_at(policy=Policy(unknown_task_timeout=50.0))
    await one.store.renew(info("w1", tasks=["other"]))
    await one.create(task("ok-a"))
    await one.store.unknown("r")
    stores.advance(30)
    await one.store.unknown("r")  # asking again does not prolong it
    stores.advance(19)
    await one.look()
    assert (await one.store.node("r")).status == "queued"
    # When
    stores.advance(1)
    await one.look()
    # Then
    view = await one.store.node("r")
    assert view.status == "failed"
    assert view.error is not None
    assert view.error.type == "mageflow.UnknownTask"
    assert "ok-a" in view.error.message


async def test_a_task_that_some_live_worker_knows_is_sent_again(stores: Stores) -> None:
    # Given
    one = await stores.open_at(policy=Policy(unknown_task_timeout=50.0))
    await one.create(task("ok-a"))
    await one.store.unknown("r")
    stores.advance(50)
    await one.store.renew(info("w1", tasks=["ok-a"]))
    # When
    jobs = await one.look()
    # Then
    assert "r" in [job.key for job in jobs]
    assert (await one.store.node("r")).status == "queued"


async def test_who_sees_to_it_is_told_when_the_time_for_a_task_to_be_known_is_short(
    stores: Stores,
) -> None:
    # Given
    one = await stores.open_at(policy=Policy(unknown_task_timeout=3.0))
    await one.store.renew(info("w1", tasks=["other"]))
    await one.create(task("ok-a"))
    await one.look()
    one.ear.dues.clear()
    # When
    await one.store.unknown("r")
    # Then
    await eventually(lambda: one.ear.dues)
    (due,) = one.ear.dues
    assert due == pytest.approx(stores.clock.time + 3.0, abs=0.1)


async def test_nothing_is_noted_of_what_is_not_there(stores: Stores) -> None:
    one = await stores.open_at()
    await one.store.unknown("nothing/0")
    assert await one.scores("nothing", "due") == {}


async def test_a_run_that_goes_while_its_task_is_asked_for_is_no_trouble(stores: Stores) -> None:
    # Given
    one = await stores.open_at(policy=Policy(unknown_task_timeout=50.0))
    await one.create(task("ok-a"))
    await one.store.unknown("r")
    stores.advance(50)
    wire = one.store.server.wire
    original = wire.command

    async def command(*arguments: Any, key: str) -> Any:
        reply = await original(*arguments, key=key)
        if arguments[0] == "HGET":
            await original("DEL", one.store.server.keys.run("r"), key=key)
        return reply

    setattr(wire, "command", command)  # noqa: B010 - methods are not assigned to
    # When
    await one.look()
    # Then
    assert await one.scores("r", "due") == {}


# --- signals ------------------------------------------------------------------------------------
async def test_signals_reach_every_worker(stores: Stores) -> None:
    # Given
    one, two = await workers(stores, "w1", "w2", real=True)
    await one.create(swarm(task("ok-a")))
    await one.begin("r/0")
    # When
    await two.steer("r", Verb.INTERRUPT)
    # Then
    for handle in (one, two):
        await eventually(lambda handle=handle: handle.ear.signals)  # type: ignore[misc]
        ((run, signal),) = handle.ear.signals
        assert (run, signal.path, signal.mark) == ("r", "", "interrupt")


async def test_a_worker_that_may_have_missed_something_looks_at_everything(
    stores: Stores,
) -> None:
    # Given
    (worker,) = await workers(stores, "w1", real=True)
    await worker.store.work()
    assert min(upkeep_of(worker)._next.values()) > 0
    # When
    assert await worker.ask("CLIENT", "KILL", "TYPE", "pubsub") == 1
    # Then
    await eventually(lambda: worker.ear.silences)
    assert set(upkeep_of(worker)._next.values()) == {0.0}
    assert worker.ear.dues, "its reconciler is woken"


async def test_a_client_hears_no_signals(stores: Stores) -> None:
    client, (worker,) = await stores.open(), await workers(stores, "w1", real=True)
    await worker.create(swarm(task("ok-a")))
    await worker.steer("r", Verb.INTERRUPT)
    await eventually(lambda: worker.ear.signals)
    assert client.ear.signals == []


@pytest.mark.parametrize("text", ['["mood", "good"]', ""])
async def test_what_is_not_known_on_the_control_channel_is_ignored(
    stores: Stores, text: str
) -> None:
    (one,) = await workers(stores, "w1", real=True)
    await one.store.server.publish("ns:control", text)
    await one.store.server.publish("ns:due", "")
    await one.store.server.publish("ns:control", '["signal", "x", "/0", "cancel"]')
    await eventually(lambda: one.ear.signals)
    assert [run for run, _ in one.ear.signals] == ["x"]
