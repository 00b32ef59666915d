"""What a flow on Hatchet costs the store, counted by its server."""

from __future__ import annotations

import pytest
from hatchet_bench import HatchetBench
from redis import Redis

from mageflow_conformance.servers import RedisServer
from mageflow_core import TaskSignature, chain, swarm

pytestmark = pytest.mark.timeout(120)

BESIDES = 10  # calls: to start, to wait, and what the worker asks as time goes by


def calls(redis: RedisServer) -> int:
    """Scripts that were asked for since this was called before: what a round trip is made for."""
    client: Redis = Redis.from_url(redis.url, decode_responses=True)
    with client:
        found = client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"]
        client.config_resetstat()
    return int(found)


async def test_a_task_costs_two_round_trips_to_the_store(
    bench: HatchetBench, redis: RedisServer
) -> None:
    # Given a worker whose scripts are known to the server
    app = bench.app()

    @app.task
    async def step(n: int) -> int:
        return n + 1

    client = await bench.client()
    await bench.worker(app)
    one: TaskSignature[int] = TaskSignature(task="step")
    await (await client.start(one, {"n": 0})).result(timeout=20)
    # When steps run one after the other
    calls(redis)
    run = await client.start(chain(*[one] * 20), {"n": 0})
    assert await run.result(timeout=60) == 20
    # Then each is claimed and reported, and nothing else
    assert calls(redis) <= 2 * 20 + BESIDES
    # And what runs side by side shares what it asks
    wide = await client.start(swarm([TaskSignature(task="step", args={"n": 1})] * 100))
    assert await wide.result(timeout=60) == [2] * 100
    assert calls(redis) <= 2 * 100
