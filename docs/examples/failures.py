"""What happens on success and on failure."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from mageflow import Context, ErrorValue, Mageflow, Retry, ReturnValue, SwarmReport, chain, swarm
from mageflow.errors import SwarmFailed, TaskFailed

mf = Mageflow()


class Busy(Exception):
    pass


# Five attempts in all, the first retry after 0.01 s, each later one after twice the time; only
# what may be better next time is tried again.
@mf.task(retries=Retry(retries=4, delay=0.01, factor=2, max_delay=60, on=(Busy, OSError)))
async def flaky(number: int, ctx: Context) -> int:
    if ctx.attempt < 3:
        raise Busy
    return number * 2


async def trying_again() -> None:
    run = await flaky.start({"number": 4})
    assert await run.result(timeout=10) == 8
    assert (await run.view()).attempt == 3


@mf.task
async def reserve(seat: str) -> str:
    if seat == "13":
        raise LookupError("there is no seat 13")
    return f"seat {seat}"


@mf.task
async def confirm(reservation: ReturnValue[str]) -> str:
    return f"you have {reservation}"


@mf.task
async def apologize(error: ErrorValue, seat: str) -> str:
    return f"seat {seat}: {error.message} (in {error.task}, attempt {error.attempts})"


async def callbacks() -> None:
    flow = reserve.sign().on_success(confirm).on_error(apologize)
    good, bad = await flow.start({"seat": "1"}), await flow.start({"seat": "13"})
    for run in (good, bad):
        await run.settled()  # the run has ended, and its callbacks too
    assert await good["!success-0"].result() == "you have seat 1"
    apology = "seat 13: there is no seat 13 (in reserve, attempt 1)"
    assert await bad["!error-0"].result() == apology


async def what_went_wrong() -> None:
    run = await chain(reserve, confirm).start({"seat": "13"})
    try:
        await run.result(timeout=10)
    except TaskFailed as failed:
        error = failed.error
        assert error is not None
        print(error.traceback)
        assert (error.task, error.type) == ("reserve", "LookupError")
        assert error.key == f"{run.id}/0"


@mf.task
async def summarize(seats: SwarmReport) -> str:
    failed = [failure.index for failure in seats.failures]
    return f"{seats.counts.succeeded} of {seats.counts.total}, not {failed}"


async def tolerated() -> None:
    # Without a limit a swarm tolerates failures, as long as one item has succeeded.
    seats = swarm([reserve.sign(seat=seat) for seat in ("1", "13", "2")])
    assert await seats.run() == ["seat 1", None, "seat 2"]
    assert await chain(seats, summarize).run() == "2 of 3, not [1]"


async def not_tolerated() -> None:
    items = [reserve.sign(seat=seat) for seat in ("13", "1", "2")]
    strict = swarm(items, max_concurrency=1, stop_after_n_failures=1)
    try:
        await strict.run()
    except SwarmFailed as failed:
        assert failed.error is not None
        assert failed.error.failures[0].message == "there is no seat 13"


@mf.task
def take(seat: str, office: Path) -> str:
    if not office.exists():
        raise LookupError("nobody is in the office")
    return f"seat {seat}"


async def repaired(office: Path) -> None:
    run = await chain(take.sign(office=office), announce).start({"seat": "7"})
    await run.wait()
    # Somebody looks at it, removes the cause, and lets the rest of the flow run.
    office.touch()
    await run.retry()
    assert await run.result(timeout=10) == "SEAT 7"


@mf.task
async def announce(text: str) -> str:
    return text.upper()


async def main() -> None:
    async with mf:
        await trying_again()
        await callbacks()
        await what_went_wrong()
        await tolerated()
        await not_tolerated()
        with TemporaryDirectory() as folder:
            await repaired(Path(folder, "office"))


if __name__ == "__main__":
    asyncio.run(main())
