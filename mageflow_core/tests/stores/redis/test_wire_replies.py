"""Whatever is cancelled, killed and flushed: nobody gets the reply of another."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mageflow_conformance.servers import RedisServer
from mageflow_core.stores.redis import link
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.scripts import Script
from mageflow_core.stores.redis.wire import Wire


@dataclass(frozen=True)
class Make:
    """So many calls in one turn."""

    count: int


@dataclass(frozen=True)
class Cancel:
    """One of those that are not over, by its position."""

    position: int


@dataclass(frozen=True)
class Turn:
    """Let the loop turn so often."""

    times: int


@dataclass(frozen=True)
class Await:
    """Wait until one of those that are not over is, by its position."""

    position: int


@dataclass(frozen=True)
class Do:
    """Something to the server."""

    command: tuple[str, ...]


Move: TypeAlias = Make | Cancel | Turn | Await | Do
COMMANDS = [
    ("CLIENT", "KILL", "TYPE", "normal"),
    ("SCRIPT", "FLUSH"),
    ("CLIENT", "PAUSE", "5", "WRITE"),
]
MOVES: st.SearchStrategy[Move] = st.one_of(
    st.builds(Make, st.integers(1, 5)),
    st.builds(Cancel, st.integers(0, 30)),
    st.builds(Turn, st.integers(0, 5)),
    st.builds(Await, st.integers(0, 30)),
    st.builds(Do, st.sampled_from(COMMANDS)),
)


class Play:
    """A wire that moves are made with."""

    def __init__(self, server: RedisServer, script: Script, replicas: int) -> None:
        self.server = server
        self.script = script
        self.wire = Wire(Address.parse(server.url), patience=20, wait_replicas=replicas)
        self.tasks: dict[str, asyncio.Task[str]] = {}

    async def move(self, move: Move) -> None:
        match move:
            case Make(count):
                for _ in range(count):
                    id_ = f"id{len(self.tasks)}"
                    self.tasks[id_] = asyncio.create_task(self.wire.call(self.script, "k", id_))
            case Cancel(position):
                for task in self.one(position):
                    task.cancel()
            case Turn(times):
                for _ in range(times):
                    await asyncio.sleep(0)
            case Await(position):
                await asyncio.gather(*self.one(position), return_exceptions=True)
            case Do(command):
                self.server.call(*command)

    def one(self, position: int) -> list[asyncio.Task[str]]:
        """A task that is not over, if there is any."""
        left = [task for task in self.tasks.values() if not task.done()]
        return [left[position % len(left)]] if left else []

    async def check(self) -> None:
        cancelled = 0
        orders = []
        for id_, task in self.tasks.items():
            try:
                own, _, order = (await task).partition(":")
            except asyncio.CancelledError:
                cancelled += 1
                continue
            assert own == id_
            orders.append(int(order))
        # Each was done once: no two have one number, and there are no more than calls.
        assert len(set(orders)) == len(orders)
        assert all(1 <= order <= len(orders) + cancelled for order in orders)


async def play(server: RedisServer, script: Script, moves: list[Move], *, replicas: int) -> None:
    play = Play(server, script, replicas)
    await play.wire.open()
    for move in moves:
        await play.move(move)
    await play.check()
    await play.wire.close()
    assert play.wire._calls == {}


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=st.lists(MOVES, min_size=8, max_size=40), replicas=st.integers(0, 1))
def test_each_call_gets_its_own_reply(
    server: RedisServer, once: Script, moves: list[Move], replicas: int
) -> None:
    server.call("FLUSHALL")
    with pytest.MonkeyPatch.context() as patch:  # there is no replica to wait for
        patch.setattr(link, "WAIT", 0.005)
        patch.setattr(link, "WAIT_AGAIN", 0.002)
        asyncio.run(play(server, once, moves, replicas=replicas))
