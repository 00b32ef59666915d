"""The memory store: waiting, finding, removing, and what its reconciler is told."""

from __future__ import annotations

import asyncio

import pytest
from simulation import World, chain, graph, run_now, swarm, task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Policy, Status
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.memory.waiters import Waiters
from mageflow_core.stores.protocol import NewRun, Page, Query


# --- creating ---------------------------------------------------------------------------------
def test_a_run_that_is_there_already_is_not_made_again_and_a_conflict_is_told() -> None:
    # Given
    world = World()
    new = NewRun(id="r", signature=task("ok-a"), message="1", content="hash-1")
    other = NewRun(id="r", signature=task("ok-b"), message="1", content="hash-2")
    # When
    first = run_now(world.store.create(new))
    again = run_now(world.store.create(new))
    conflict = run_now(world.store.create(other))
    # Then
    assert (first.fresh, first.conflict) == (True, False)
    assert (again.fresh, again.conflict) == (False, False)
    assert (conflict.fresh, conflict.conflict) == (False, True)
    assert len(world.jobs) == 1


@pytest.mark.parametrize(
    "key", ["nobody", "nobody/3", "r/7", "r/00", "r/!error-0", "r~1", "r/x", "r/0/0"]
)
def test_a_key_that_names_nothing_raises_run_not_found(key: str) -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a")))
    # Then
    with pytest.raises(RunNotFound):
        run_now(world.store.node(key))


def test_steering_what_does_not_exist_raises_run_not_found() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    # Then
    with pytest.raises(RunNotFound):
        world.suspend("/5")


def test_work_for_a_run_that_is_gone_is_skipped_or_refused() -> None:
    # Given
    world = World(policy=Policy(result_ttl=10.0))
    world.start(swarm(task("ok-a"), task("ok-b")))
    job = world.jobs[1]
    zombie = world.begin("/0")
    world.cancel()
    world.advance(100)
    assert world.store.runs == {}
    # Then
    assert world.deliver(job).work is None
    assert zombie.done() == "no such run"
    run_now(world.store.unknown("r/0"))
    assert not run_now(world.store.holds("r/0", zombie.work.claim))


# --- waiting ----------------------------------------------------------------------------------
async def waiting(world: World, key: str, until: str = "ended") -> asyncio.Task[object]:
    waiter: asyncio.Task[object] = asyncio.create_task(
        world.store.wait(key, until)  # type: ignore[arg-type]
    )
    await asyncio.sleep(0)
    return waiter


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_waiter_returns_at_once_for_what_has_ended() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    world.begin().done(1)
    # When
    view = await world.store.wait("r", "ended")
    # Then
    assert view.status is Status.DONE
    assert len(world.store.waiters) == 0


async def test_a_waiter_is_woken_by_the_end_of_its_own_node() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    waiter = await waiting(world, "r/0")
    # When
    world.begin("/0").done(1)
    await turn()
    # Then
    assert waiter.done()
    assert len(world.store.waiters) == 0


async def test_a_waiter_for_a_step_is_woken_by_the_end_of_its_chain() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    waiter = await waiting(world, "r/1")
    # When
    world.begin("/0").fails()
    await turn()
    # Then
    assert waiter.done()
    view = waiter.result()
    assert getattr(view, "status", None) is Status.SKIPPED


async def test_a_waiter_for_a_node_that_is_skipped_is_woken_though_its_graph_goes_on() -> None:
    # Given
    world = World()
    nodes = {"a": task("bad-a"), "b": chain(task("ok-b")), "c": task("ok-c")}
    world.start(graph(nodes, {"b": ("a",)}, on_failure="continue"))
    world.begin("/c")
    waiter = await waiting(world, "r/b")
    # When
    world.begin("/a").fails()
    await turn()
    # Then
    assert world.status() is Status.ACTIVE
    assert waiter.done()


async def test_a_waiter_for_what_a_cancel_leaves_unbegun_does_not_wait_for_the_bodies() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), task("ok-b")))
    world.begin("/0")
    waiter, other = await waiting(world, "r/1"), await waiting(world, "r/0")
    # When
    world.cancel()
    await turn()
    # Then
    assert waiter.done()
    assert not other.done(), "its body runs"


async def test_a_waiter_for_a_settled_run_waits_for_its_callbacks_too() -> None:
    # Given
    world = World()
    world.start(task("ok-a", ok=[task("ok-tidy")]))
    waiter = await waiting(world, "r", "settled")
    # When
    world.begin().done(1)
    await turn()
    assert not waiter.done()
    world.begin("/!success-0").done()
    await turn()
    # Then
    assert waiter.done()


async def test_a_waiter_is_woken_by_the_removal_of_its_run() -> None:
    # Given
    world = World(policy=Policy(pending_ttl=10.0))
    world.create(task("ok-a"))
    waiter = await waiting(world, "r")
    # When
    world.advance(11)
    await turn()
    # Then
    assert waiter.done()
    assert isinstance(waiter.exception(), RunNotFound)


async def test_a_waiter_that_gives_up_leaves_nothing_behind() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    waiter = await waiting(world, "r")
    assert len(world.store.waiters) == 1
    # When
    waiter.cancel()
    await turn()
    # Then
    assert waiter.cancelled()
    assert world.store.waiters._by_run == {}


async def test_only_waiters_at_below_or_beside_what_ended_are_woken() -> None:
    # Given
    waiters = Waiters()
    tasks = {
        path: asyncio.create_task(waiters.wait("r", path))
        for path in ("", "/1", "/1/0", "/1/0/4", "/1/1", "/10", "/2")
    }
    await asyncio.sleep(0)
    # When
    waiters.wake("r", ["/1/0"], settled=False)
    waiters.wake("other", [""], settled=True)
    await turn()
    # Then
    assert [path for path, t in tasks.items() if t.done()] == ["/1/0", "/1/0/4", "/1/1"]
    waiters.wake("r", [], settled=True)
    await turn()
    assert all(t.done() for t in tasks.values())
    assert len(waiters) == 0


# --- finding ----------------------------------------------------------------------------------
def find(world: World, **query: object) -> Page:
    return run_now(world.store.find(Query(**query)))  # type: ignore[arg-type]


def ids(page: Page) -> list[str]:
    return [run.id for run in page.runs]


def test_runs_are_found_newest_first_page_by_page() -> None:
    # Given
    world = World()
    for i in range(5):
        world.start(task("ok-a"), run=f"r{i}")
        world.clock.time += 1
    # When
    first = find(world, limit=2)
    second = find(world, limit=2, after=first.next)
    third = find(world, limit=2, after=second.next)
    # Then
    assert [ids(first), ids(second), ids(third)] == [["r4", "r3"], ["r2", "r1"], ["r0"]]
    assert third.next is None


def test_a_page_after_which_no_run_matches_is_the_last() -> None:
    # Given
    world = World()
    for name in ("ok-old", "ok-a", "ok-a"):
        world.start(task(name), run=f"{name}{world.clock.time:g}")
        world.clock.time += 1
    # When
    page = find(world, task="ok-a", limit=2)
    # Then
    assert ids(page) == ["ok-a1002", "ok-a1001"]
    assert page.next is None


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_runs_of_one_moment_are_all_found_in_whatever_order_they_came(order: str) -> None:
    # Given
    world = World()
    for run in order:
        world.start(task("ok-a"), run=run)
    # When
    found: list[str] = []
    page = find(world, limit=1)
    while True:
        found += ids(page)
        if page.next is None:
            break
        page = find(world, limit=1, after=page.next)
    # Then
    assert found == ["c", "b", "a"]


def test_a_page_goes_on_where_it_was_though_runs_were_added_and_removed_meanwhile() -> None:
    # Given
    world = World()
    for i in range(4):
        world.start(task("ok-a"), run=f"r{i}", ttl=100.0 if i == 2 else 1_000.0)
        world.clock.time += 1
    page = find(world, limit=2)
    assert ids(page) == ["r3", "r2"]
    # When
    world.begin(run="r2").done()
    world.advance(101)
    assert "r2" not in world.store.runs
    world.start(task("ok-a"), run="newer")
    # Then
    assert ids(find(world, limit=2, after=page.next)) == ["r1", "r0"]


def test_runs_are_found_by_status_task_name_labels_and_time() -> None:
    # Given
    world = World()
    world.start(task("ok-a").label(team="red", env="test"), run="a")
    world.clock.time += 10
    world.start(chain(task("ok-b")).named("nightly").label(team="red"), run="b")
    world.clock.time += 10
    world.start(task("ok-a"), run="c")
    world.begin(run="c").done()
    # Then
    assert ids(find(world, task="ok-a")) == ["c", "a"]
    assert ids(find(world, name="nightly")) == ["b"]
    assert ids(find(world, labels={"team": "red"})) == ["b", "a"]
    assert ids(find(world, labels={"team": "red", "env": "test"})) == ["a"]
    assert ids(find(world, status=Status.DONE)) == ["c"]
    assert ids(find(world, since=1_010.0)) == ["c", "b"]
    assert ids(find(world, until=1_010.0)) == ["a"]
    assert ids(find(world, status=Status.QUEUED, task="ok-a")) == ["a"]


def test_what_is_suspended_is_found_as_such() -> None:
    # Given
    world = World()
    world.start(task("ok-a"), run="r")
    world.suspend()
    # Then
    assert ids(find(world, status=Status.SUSPENDED)) == ["r"]
    assert ids(find(world, status=Status.QUEUED)) == []


# --- reading ----------------------------------------------------------------------------------
def test_children_are_paged_by_position_with_continuations_and_callbacks_after_them() -> None:
    # Given
    world = World()
    world.start(swarm(*[task("ok-a")] * 5, ok=[task("ok-x"), task("ok-y")]))
    world.finish()
    # When
    pages = [run_now(world.store.children("r", first, 3)) for first in (0, 3, 6, 9)]
    # Then
    assert [[view.key for view in page] for page in pages] == [
        ["r/0", "r/1", "r/2"],
        ["r/3", "r/4", "r/!success-0"],
        ["r/!success-1"],
        [],
    ]


def test_results_of_a_swarm_are_read_in_parts_with_null_where_there_is_none() -> None:
    # Given
    world = World()
    world.start(chain(swarm(*[task("ok-a")] * 4)))
    world.begin("/0/0").done("A")
    world.begin("/0/1").fails()
    # When
    values = run_now(world.store.values("r/0", 0, 3))
    # Then
    assert list(values) == ['"A"', "null", "null"]
    assert list(run_now(world.store.values("r/0", 3, 3))) == ["null"]
    world.finish()
    assert len(run_now(world.store.values("r", 0, 99))) == 4, "of the chain that ends with it"


def test_the_history_tells_what_happened_to_containers_and_tasks_outside_of_swarms() -> None:
    # Given
    world = World()
    world.start(chain(task("ok-a"), swarm(task("ok-b"))))
    world.begin("/0").fails(retry_in=1.0)
    world.advance(2)
    world.begin("/0").done(1)
    world.suspend()
    # When
    events = [(e.what, e.path) for e in run_now(world.store.history("r"))]
    # Then
    assert events == [
        ("started", ""),
        ("begun", ""),
        ("retrying", "/0"),
        ("done", "/0"),
        ("begun", "/1"),
        ("suspend", ""),
    ]


def test_the_history_is_bounded() -> None:
    # Given
    world = World(policy=Policy(history=10), watch=False)
    world.start(task("ok-a"))
    # When
    for _ in range(20):
        world.suspend()
        world.resume()
    # Then
    assert len(run_now(world.store.history("r"))) == 10


# --- removing ---------------------------------------------------------------------------------
def test_the_removal_of_a_run_leaves_nothing_behind() -> None:
    # Given a run with everything: jobs, timers, parked nodes, items, claims, marks, callbacks
    world = World(policy=Policy(result_ttl=50.0))
    nodes = {"a": swarm(task("ok-a"), open=True), "b": task("ok-b", delay=1e6), "c": task("ok-c")}
    world.start(chain(graph(nodes), ok=[task("ok-x")]))
    world.add("/0/a", task("ok-d"))
    world.begin("/0/a/0")
    world.begin("/0/c").fails(retry_in=1e6)
    world.suspend("/0/a")
    world.knock("/0/a/1")
    run_now(world.store.unknown("r/0/a/1"))
    # When
    world.cancel()
    world.advance(61)
    assert world.run_record().settled_at is not None
    world.advance(51)
    # Then
    store = world.store
    assert (store.runs, store.order, store._holder) == ({}, [], {})
    assert (len(store.outbox), len(store.agenda), len(store.waiters)) == (0, 0, 0)
    assert not any(store.claims.values())


def test_a_worker_that_has_left_leaves_nothing_behind() -> None:
    # Given
    world = World()
    world.start(task("ok-a"))
    # When
    for i in range(5):
        world.renew(f"w{i}", "ok-a")
        world.begin(worker=f"w{i}")
        world.die(f"w{i}", crashed=False)
    # Then
    assert dict(world.store.claims) == {}
    assert world.store.live == {}


def test_memory_does_not_grow_with_the_runs_that_were_handled() -> None:
    # Given
    world = World(policy=Policy(result_ttl=5.0), watch=False)
    # When
    for i in range(3_000):
        world.start(task("ok-a", deadline=1e9), run=f"r{i}")
        world.inbox.clear()
        world.knock_run(f"r{i}")
        world.advance(1)
    # Then
    assert len(world.store.runs) <= 6
    assert len(world.store.agenda) <= 6
    assert len(world.store.agenda._heap) <= 1_000
    assert len(world.store.outbox) == 0


# --- time -------------------------------------------------------------------------------------
def test_the_reconciler_is_woken_for_what_is_due_earlier_than_it_was_told() -> None:
    # Given
    world = World()
    world.start(task("ok-a", delay=100.0))
    again = world.work()
    assert again == 1_100.0
    world.wakes.clear()
    # When
    world.start(task("ok-b", delay=200.0), run="later")
    assert world.wakes == []
    world.start(task("ok-c", delay=50.0), run="sooner")
    # Then
    assert world.wakes == [1_050.0]


def test_a_clock_that_begins_at_zero_is_as_good_as_any_other() -> None:
    # Given
    world = World(start_time=-10.0)
    world.start(task("ok-a", delay=10.0))
    # Then
    assert world.work() == 0.0
    world.advance(10.0)
    world.settle_timers()
    assert world.due_jobs() == [""]


def test_one_call_of_work_moves_on_a_bounded_amount() -> None:
    # Given
    world = World(watch=False)
    for i in range(250):
        world.start(task("ok-a", delay=10.0), run=f"r{i}")
    world.clock.time += 10
    # When
    again = world.work()
    # Then
    assert len(world.inbox) == 100
    assert again == world.clock.time
    world.settle_timers()
    assert len(world.inbox) == 250


def test_what_the_store_guarantees_is_said_on_its_class() -> None:
    assert MemoryStore.durable == "until this process ends"
    assert MemoryStore.shared is False
