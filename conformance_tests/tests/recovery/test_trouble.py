"""A Redis server that has trouble while runs are started and work goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from mageflow_conformance.flows.load import load_on
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes.process import FROZEN, KILLED
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.witness import LOST

TROUBLES = 3  # one after the other
PAUSE = 1.5  # seconds

Trouble = Callable[[RedisServer], None]


def is_killed(server: RedisServer) -> None:
    server.kill()
    server.start()


def is_paused(server: RedisServer) -> None:
    server.call("CLIENT", "PAUSE", int(PAUSE * 1_000), "ALL")
    server.call("PING")  # which is answered when that is over


def drops_connections(server: RedisServer) -> None:
    server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def drops_listeners(server: RedisServer) -> None:
    server.call("CLIENT", "KILL", "TYPE", "pubsub")


@pytest.mark.parametrize(
    "trouble", [is_killed, is_paused, drops_connections, drops_listeners], ids=lambda t: t.__name__
)
async def test_what_was_acknowledged_ends_and_nothing_runs_twice(
    make_site: Callable[..., Any], server: RedisServer, ledger: Ledger, trouble: Trouble
) -> None:
    # Given two processes that work, and leases that outlive any trouble
    site = make_site(server.url)
    await site.worker()
    await site.worker()
    mf = await site.watch()
    # When the server has trouble again and again while flows are started and run
    async with load_on(mf, ledger) as load:
        for _ in range(TROUBLES):
            await load.grows()
            await asyncio.to_thread(trouble, server)
        await load.grows()
    # Then all that was acknowledged ends, as promised
    for _, run in load.started:
        await site.kept(run, within=40)
    # And no process has died or lost a lease, which would explain a body that ran twice
    assert not [row for what in (KILLED, FROZEN, LOST) for row in ledger.of(what)]
