"""Starting, finding and steering from a process that has none of the tasks."""

import asyncio

from mageflow import Mageflow, Status, sign

mf = Mageflow(worker=False)


async def starting() -> None:
    run = await mf.start(sign("add_up", month=7), {"year": 2026})
    assert await run.result(timeout=30) == 33


async def finding() -> None:
    tomorrow = sign("add_up", month=8).named("early").options(delay=86_400)
    for year in (2024, 2025, 2026):
        await mf.start(tomorrow, {"year": year}, labels={"for": "audit"})
    for run in await mf.find(name="early", labels={"for": "audit"}, status=Status.QUEUED):
        assert await run.suspend()
    held = await mf.find(name="early", status=Status.SUSPENDED)
    assert len(held) == 3
    for run in held:
        assert await run.cancel()


async def main() -> None:
    async with mf:
        await starting()
        await finding()


asyncio.run(main())
