"""The server as the parts of the store use it."""

from __future__ import annotations

import json

import pytest
from handles import Stores
from simulation import task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Policy, Verb
from mageflow_core.stores.redis.server import policy_text


def test_the_policy_is_told_in_milliseconds() -> None:
    policy = Policy(
        max_crashes=1,
        cancel_grace=1.5,
        pending_ttl=2.0,
        unknown_task_timeout=3.0,
        max_continuations=4,
        max_nodes=5,
        history=6,
    )
    assert json.loads(policy_text(policy)) == {
        "max_crashes": 1,
        "cancel_grace": 1500,
        "pending_ttl": 2000,
        "unknown_task_timeout": 3000,
        "max_continuations": 4,
        "max_nodes": 5,
        "history": 6,
    }


async def test_a_step_of_a_run_that_is_not_there_raises(stores: Stores) -> None:
    store = await stores.open()
    for name, arguments in (("start", ("1", "s")), ("close", ("",)), ("alias", ("x",))):
        with pytest.raises(RunNotFound, match="no run 'r' in this store: it may have expired"):
            await store.store.server.step(name, "r", *arguments)


async def test_the_time_is_learned_to_within_what_asking_takes(stores: Stores) -> None:
    # Given
    store = await stores.open()
    server = store.store.server
    # When
    server._ahead -= 100
    change = await server.learn_time()
    # Then
    assert change == pytest.approx(100, abs=1)
    assert abs(await server.learn_time()) < 1
    seconds, micros = await store.ask("TIME")
    assert server.now() == pytest.approx(int(seconds) + int(micros) / 1e6, abs=1)


async def test_times_of_what_is_stored_are_the_servers_to_the_millisecond(stores: Stores) -> None:
    # Given
    stores.clock.time = 1_700_000_000.123
    store = await stores.open_at()
    # When
    await store.create(task("ok-a", delay=0.25))
    stores.advance(0.25)
    await store.look()
    stores.advance(0.001)
    await store.run()
    # Then
    view = await store.store.view("r")
    assert view.created_at == view.started_at == view.root.queued_at == 1_700_000_000.123
    assert view.root.started_at == view.settled_at == 1_700_000_000.374


async def test_steering_names_the_node_that_is_not_there(stores: Stores) -> None:
    store = await stores.open()
    await store.create(task("ok-a"))
    with pytest.raises(RunNotFound, match="run 'r' has no node 'r/3'"):
        await store.steer("r/3", Verb.CANCEL)
