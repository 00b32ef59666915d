"""What a worker that leaves does with what it has, and with what still comes."""

from __future__ import annotations

import asyncio

from mageflow_hatchet.running import JobRunner


def idle_runner() -> JobRunner:
    """Without an engine; it has what a test gives it."""
    runner = JobRunner.__new__(JobRunner)
    runner.tasks = {}
    return runner


async def test_what_was_on_its_way_ends_as_well() -> None:
    runner = idle_runner()
    ended: list[str] = []

    async def late() -> None:
        await asyncio.sleep(0)
        ended.append("late")

    async def early() -> None:
        runner.tasks["late"] = asyncio.create_task(late())  # the engine had assigned it already
        ended.append("early")

    runner.tasks["early"] = asyncio.create_task(early())
    await runner.finish(10)
    assert ended == ["early", "late"]


async def test_what_takes_longer_than_it_may_goes_on_for_now() -> None:
    runner = idle_runner()
    body = runner.tasks["body"] = asyncio.create_task(asyncio.Event().wait())
    await runner.finish(0.01)
    assert not body.done()
    body.cancel()
