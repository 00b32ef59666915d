"""What flows cost, counted by the server itself; times are for `benchmarks/redis.py`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core import Mageflow, Run, Task, chain, swarm
from mageflow_core.machine import Status
from mageflow_core.stores.redis.several import MOST


@dataclass
class Count:
    """by_command: calls, those from within scripts too. bytes: what is left in memory."""

    by_command: dict[str, int] = field(default_factory=dict)
    bytes: int = 0

    @property
    def scripts(self) -> int:
        return self.by_command.get("evalsha", 0)

    @property
    def commands(self) -> int:
        return sum(self.by_command.values())


def used_memory(server: RedisServer) -> int:
    return int(server.info("memory")["used_memory"])


@contextmanager
def counted(server: RedisServer) -> Iterator[Count]:
    count = Count()
    memory = used_memory(server)
    server.call("CONFIG", "RESETSTAT")
    yield count
    for name, said in server.info("commandstats").items():
        command = name.removeprefix("cmdstat_")
        if command.partition("|")[0] not in ("info", "config"):
            calls = dict(pair.split("=") for pair in said.split(","))["calls"]
            count.by_command[command] = int(calls)
    count.bytes = used_memory(server) - memory


@pytest.fixture
async def mf(server: RedisServer) -> AsyncIterator[Mageflow]:
    async with Mageflow(store=server.url, namespace="costs", slots=100) as app:
        yield app


@pytest.fixture
async def noop(mf: Mageflow) -> Any:
    @mf.task
    async def noop() -> None: ...

    # What is loaded and cached at first use.
    await chain(noop, noop).run(timeout=10)
    await swarm([noop]).run(timeout=10)
    return noop


async def ended(run: Run[Any]) -> None:
    assert (await run.wait(timeout=60)).status is Status.DONE


async def test_a_task_of_a_chain_costs_two_calls_and_fourteen_commands(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    steps = 40
    with counted(server) as count:
        await ended(await chain(*[noop.sign()] * steps).start())
    # One to start it, a look at what is due or two.
    assert 2 * steps < count.scripts <= 2 * steps + 4
    assert count.commands <= 14 * steps


async def test_a_task_whose_result_is_waited_for_costs_three_calls_and_no_look(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    tasks = 20
    with counted(server) as count:
        for _ in range(tasks):
            assert await (await noop.start()).result(timeout=10) is None
    looks = 2 * 64  # at what is due, in every bucket
    assert 3 * tasks <= count.scripts <= 3 * tasks + looks
    in_scripts = 2 + 2  # of a claim and of a report
    assert count.by_command["hmget"] <= in_scripts * tasks
    assert not {"subscribe", "unsubscribe"} & count.by_command.keys()
    assert count.by_command["publish"] == 2 * tasks


async def test_items_of_a_swarm_share_calls_and_cost_ten_commands_each(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    items = 1_000
    with counted(server) as count:
        await ended(await swarm([noop.sign()] * items, max_concurrency=50).start())
    looks = 2 * 64  # at every bucket, by time
    assert 2 * items / MOST <= count.scripts <= items / 4 + looks
    assert count.commands <= 10 * items


async def test_tasks_of_runs_that_go_on_side_by_side_share_calls(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    runs = 100
    with counted(server) as count:
        started = await asyncio.gather(*(chain(noop, noop, noop).start() for _ in range(runs)))
        await asyncio.gather(*(ended(run) for run in started))
    looks = 2 * 64
    # A start, three claims and three reports of each.
    assert 7 * runs / MOST <= count.scripts <= 7 * runs / 2 + looks
    # With what those who wait ask for, who look again whenever they are told.
    assert count.commands <= 18 * 3 * runs


async def test_a_finished_item_of_a_swarm_takes_400_bytes_at_most(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    with counted(server) as count:
        await ended(await swarm([noop.sign()] * 5_000, max_concurrency=100).start())
    assert 0 < count.bytes / 5_000 <= 400


async def commands_of_suspending(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any], items: int
) -> dict[str, int]:
    run = await swarm([noop.sign().options(delay=3_600)] * items).start()
    with counted(server) as count:
        assert await run.suspend()
    await run.cancel()
    return {name: calls for name, calls in count.by_command.items() if name != "ping"}


async def test_suspending_a_swarm_costs_the_same_whatever_its_size(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    small = await commands_of_suspending(server, mf, noop, 10)
    large = await commands_of_suspending(server, mf, noop, 10_000)
    assert sum(large.values()) <= sum(small.values()) <= 10


async def test_a_thousand_nodes_are_started_in_a_round_trip(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    @mf.task
    async def later(n: int) -> int:
        return n

    flow = swarm([later.sign(n=n).options(delay=3_600) for n in range(5_000)])
    with counted(server) as count:
        run = await flow.start()
    # The last call, and the first look at what it has made due.
    assert count.scripts <= 5 + 2
    assert (await run.view()).children == 5_000
    await run.cancel()


async def test_waiting_costs_nothing(
    server: RedisServer, mf: Mageflow, noop: Task[..., Any, Any]
) -> None:
    @mf.task
    async def held() -> str:
        await released.wait()
        return "done"

    released = asyncio.Event()
    runs = [await held.start() for _ in range(50)]
    waiting = [asyncio.create_task(run.result(timeout=60)) for run in runs]
    await eventually(lambda: len(mf.unfinished()) == len(runs), within=10)
    with counted(server) as count:
        over, _ = await asyncio.wait(waiting, timeout=0.5)
    assert not over
    released.set()
    assert await asyncio.gather(*waiting) == ["done"] * len(runs)
    # Each may have taken its first look in that time, and none has taken another.
    assert count.by_command.get("hmget", 0) <= len(runs)
