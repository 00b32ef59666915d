"""A flow is run once for each point at which a process can die, with a SIGKILL just there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio

from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.processes import Nursery
from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_conformance.sweep import Case, Lane, Sweep
from mageflow_core.failpoints import NAMES

LANES = 8  # most of the time of a case is waiting for a lease to end
LEASE = 1.5  # seconds

pytestmark = [pytest.mark.timeout(180), pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lanes(
    nursery: Nursery, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[list[Lane]]:
    require_redis()
    folder = tmp_path_factory.mktemp("sweep")
    async with AsyncExitStack() as stack:
        server = stack.enter_context(RedisServer(persistence="aof"))
        stack.enter_context(hastened())
        settings = {"store": server.url, "lease": LEASE, "hastened": True, "shutdown_grace": 0.0}
        made = [Lane(f"lane-{number}", nursery, folder, settings) for number in range(LANES)]
        await asyncio.gather(*(stack.enter_async_context(lane) for lane in made))
        yield made


def said(wrong: dict[Case, list[str]]) -> str:
    return "\n".join(f"{case}\n    " + "\n    ".join(found) for case, found in wrong.items())


@pytest.mark.parametrize("shape", ["chain", "swarm", "graph", "nested"])
async def test_a_flow_ends_the_same_wherever_a_worker_of_it_dies(
    lanes: list[Lane], shape: str
) -> None:
    # Given how it ends, and what points it hits, where nobody dies
    expected, cases = await lanes[0].record(shape, "stay")
    assert {case.point for case in cases} >= {"runner.claimed", "runner.reported"}
    # When a worker dies at each of them, while another one lives
    wrong = await Sweep(lanes).run(cases, expected)
    # Then it ends as it did, with nothing done twice without need
    assert not wrong, said(wrong)


async def test_a_flow_ends_the_same_where_processes_die_that_start_it_or_leave(
    lanes: list[Lane],
) -> None:
    # Given a worker that leaves in the middle, and a process that starts flows and does not work
    expected, working = await lanes[0].record("nested", "stay")
    _, leaving = await lanes[0].record("nested", "leave")
    _, starting = await lanes[0].record("nested", "only_start")
    # Then there is no point that nobody hits
    hit = {case.point for case in working + leaving + starting}
    assert hit == NAMES
    # When they die where none of the workers did that stayed
    known = {case.point for case in working} - {"worker.leaving", "worker.left"}
    cases = [case for case in leaving if case.point not in known] + starting
    wrong = await Sweep(lanes).run(cases, expected)
    # Then it ends as it did
    assert not wrong, said(wrong)


async def test_a_death_that_does_not_happen_is_no_death(lanes: list[Lane]) -> None:
    # Given a point that is hit less often than it would take
    expected, _ = await lanes[0].record("chain", "stay")
    case = Case("chain", "stay", "client.created", nth=2)
    # When a process is to die there, then that is told of
    wrong = await Sweep(lanes[:1]).run([case], expected)
    assert "ended with 0, not -9" in said(wrong)
    # And so is one that ends otherwise than it should
    case = Case("chain", "stay", "client.created")
    wrong = await Sweep(lanes[:1]).run([case], replace(expected, result="null"))
    assert "not as Ended(result='null'" in said(wrong)
