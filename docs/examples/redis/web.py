"""What a web process does with runs: it starts them and looks at them. Workers run their tasks."""

import asyncio

from reports import mf, report

from mageflow import Status


async def post_report(year: int) -> str:
    # Who asks again for the same report, or has not heard the answer, gets the same run.
    run = await mf.start(report(year), key=f"report-{year}", labels={"year": str(year)})
    return run.id


async def get_report(run_id: str) -> dict[str, str | None]:
    run = await mf.load(run_id)
    status = await run.status()
    return {"status": status, "text": await run.result() if status == Status.DONE else None}


async def main() -> None:
    async with mf:  # from the start of the web server to its end
        run_id = await post_report(2026)
        assert await post_report(2026) == run_id
        await (await mf.load(run_id)).settled(timeout=30)
        assert await get_report(run_id) == {"status": "done", "text": "2026: 390"}


asyncio.run(main())
