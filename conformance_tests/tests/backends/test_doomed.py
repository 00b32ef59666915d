"""Workers that die where it was said, which is seen to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mageflow_conformance.backends import Stage
from mageflow_conformance.backends.doomed import doomed
from mageflow_conformance.flows import call, roles
from mageflow_conformance.processes import Died
from mageflow_conformance.processes.process import KILLED
from mageflow_conformance.witness import BEGUN
from mageflow_core import Status

OnStage = Callable[[Callable[[Stage], Awaitable[None]]], Awaitable[None]]


async def test_a_worker_dies_at_its_point_and_the_ledger_has_that(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        # Given a worker that dies when it has claimed for the second time
        victim = doomed(stage, "runner.claimed", nth=2)
        first = await stage.mf.start(call("step"), {"n": 1})
        await first.settled(timeout=20)
        assert victim.process.runs
        # When it does
        second = await stage.mf.start(call("step"), {"n": 1})
        await victim.dies()
        # Then it has died there, and nothing has run of what it had claimed
        assert [row.more["of"] for row in stage.ledger.of(KILLED)] == [victim.process.pid]
        assert victim.hits.names(victim.process.pid).count("runner.claimed") == 2
        assert [row.key for row in stage.ledger.of(BEGUN)] == [first.id]
        assert await second.status() is Status.ACTIVE

    await on_stage(check)


async def test_a_death_elsewhere_is_told(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        victim = doomed(stage, "runner.reported")
        await stage.serving(victim.process)
        await victim.process.kill()
        with pytest.raises(AssertionError, match=r"did not die at runner.reported, but after"):
            await victim.dies()

    await on_stage(check)


async def test_a_worker_that_ends_in_order_has_not_died(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        victim = doomed(stage, "runner.reported")
        await stage.serving(victim.process)
        await victim.process.stop()
        with pytest.raises(Died, match="ended with 0, not -9"):
            await victim.dies()

    await on_stage(check)


async def test_a_point_that_is_none_is_refused(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        with pytest.raises(AssertionError, match=r"runner\.nowhere"):
            doomed(stage, "runner.nowhere")
        await stage.worker()

    await on_stage(check)


async def test_a_stage_beside_has_its_own_namespace_and_the_same_ledger(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        # Given a worker in another namespace
        beside = await stage.beside("lane")
        worker = await beside.worker()
        assert beside.namespace == f"{stage.namespace}-lane"
        assert stage.processes == [worker]
        # When runs are started in both
        here = await stage.mf.start(call("step"), {"n": 1})
        there = await beside.mf.start(call("step"), {"n": 1})
        # Then it runs those of its own
        assert await there.result(timeout=20) == {"n": 2}
        assert await here.status() is Status.QUEUED
        assert [row.key for row in stage.ledger.of(BEGUN)] == [there.id]
        assert {row.pid for row in beside.ledger.of(roles.SERVING)} == {worker.pid}

    await on_stage(check)


async def test_a_store_of_ones_own_can_be_killed_and_has_kept_what_it_acknowledged(
    on_stage: OnStage,
) -> None:
    async def check(stage: Stage) -> None:
        # Given a run in a store of the stage's own
        server = await stage.own_store()
        client = await stage.watch(store=server.url)
        run = await client.start(call("step"), {"n": 1})
        # When that is killed and started again
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        # Then it is there, and a worker of that store runs it
        await stage.worker(store=server.url)
        assert await run.result(timeout=20) == {"n": 2}
        assert await stage.mf.find() == []

    await on_stage(check)
