"""A connection that ends after a step was done, and before its caller was told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from mageflow_conformance.flows import SHAPES, call
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.proxy import LostReply, Proxy
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.witness import BEGUN, FAILED
from mageflow_core import Mageflow, Run, chain, swarm
from mageflow_core.stores.redis.steps import Steps

ITEMS = 5
LEASE = 3.0  # seconds; it is renewed six times as often
BY_TIME = ("renew", "register")


@pytest.fixture
async def proxy(server: RedisServer) -> AsyncIterator[Proxy]:
    """A way to the server, which knows all scripts."""
    for script in Steps():  # so that no call is answered by their being unknown
        server.call("SCRIPT", "LOAD", script.text)
    async with Proxy(server.port) as proxy:
        yield proxy


async def do_everything(mf: Mageflow) -> list[Run[Any]]:
    """What clients can change: runs stored, started, added to, closed, steered."""
    stored = await mf.store(chain(call("step"), call("work")).on_success(call("noted")))
    await stored.start({"n": 1})
    growing = await mf.start(swarm([], open=True, max_concurrency=2))
    for i in range(ITEMS):
        await growing.add(call("item", i=i))
    await growing.close()
    held = await mf.start(chain(call("step"), call("work").options(delay=0.2)))
    await held.suspend()
    await held.resume()
    nested = await mf.start(SHAPES["nested"](), {"n": 1})
    return [stored, growing, held, nested]


@pytest.mark.parametrize(
    ("step", "nth"),
    [
        ("create", 1),
        ("start", 1),
        *(("add", n) for n in (1, ITEMS)),
        ("close", 1),
        ("steer", 2),
        *(("claim", n) for n in (1, 8)),
        *(("report", n) for n in (1, 8)),
        ("renew", 1),
        ("register", 2),
        ("fire", 1),
    ],
)
async def test_what_was_done_is_not_done_again_when_its_reply_is_lost(
    make_site: Callable[..., Any],
    proxy: Proxy,
    ledger: Ledger,
    step: str,
    nth: int,
) -> None:
    # Given processes that reach the server by a way on which one reply will get lost
    rule = proxy.rule = LostReply(step, nth)
    site = make_site(proxy.url, lease=LEASE)
    await site.worker()
    mf = await site.watch()
    # When they do all that they can
    runs = await do_everything(mf)
    if step in BY_TIME:
        runs.append(await mf.start(call("sleep", seconds=LEASE / 2)))
    for run in runs:
        await site.kept(run)
    # Then the reply was lost
    assert rule.happened.is_set(), f"only {rule.seen} calls of {step}"
    # And there is nothing that was not asked for, and no body has run twice
    assert sorted(run.id for run in await mf.find()) == sorted(run.id for run in runs)
    assert await runs[1].result() == [i * i for i in range(ITEMS)]
    retried = len(ledger.of(FAILED, task="stumble"))
    assert len(ledger.of(BEGUN)) == len({row.key for row in ledger.of(BEGUN)}) + retried
