"""Watching what runs, and holding, resuming or ending it."""

import asyncio

from mageflow import Context, Mageflow, Status, chain, swarm
from mageflow.errors import RunCanceled, WaitTimeout

mf = Mageflow()
gate = asyncio.Event()
begun = asyncio.Event()


@mf.task
async def wait_for_gate(number: int = 0) -> int:
    begun.set()
    await gate.wait()
    return number


@mf.task
async def double(number: int) -> int:
    return number * 2


async def holding() -> None:
    gate.clear()
    run = await chain(wait_for_gate, double).start({"number": 4})
    await begun.wait()
    await run.suspend()  # what runs goes on; nothing below begins
    gate.set()
    await run[0].wait()
    assert await run.status() == Status.SUSPENDED
    assert await run[1].status() == Status.SUSPENDED
    await run.resume()
    assert await run.result(timeout=10) == 8


async def stopping() -> None:
    gate.clear()
    begun.clear()
    run = await wait_for_gate.start({"number": 4})
    await begun.wait()
    await run.interrupt()  # the body sees CancelledError, and runs again after resume()
    assert await run.status() == Status.INTERRUPTED
    gate.set()
    await run.resume()
    assert await run.result(timeout=10) == 4


async def ending() -> None:
    gate.clear()
    run = await chain(wait_for_gate, double).start({"number": 4})
    assert await run.cancel() is True
    try:
        await run.result(timeout=10)
    except RunCanceled:
        assert await run.status() == Status.CANCELED
    assert await run.cancel() is False  # it had ended


@mf.task(interrupt="raise")
def crunch(ctx: Context, rounds: int) -> int:
    for done in range(rounds):
        if ctx.cancelled():  # asks nobody, and costs nothing
            return done
    return rounds


async def stopping_threads() -> None:
    assert await crunch.run({"rounds": 1000}) == 1000


async def finding() -> None:
    flow = double.sign(number=1).label(customer="acme")
    run = await flow.start()
    await run.settled()
    found = await mf.find(labels={"customer": "acme"}, status=Status.DONE)
    assert run.id in [each.id for each in found]
    same = await mf.load(run.id)
    assert await same.result() == 2


async def looking() -> None:
    run = await chain(swarm([double.sign(number=n) for n in range(3)]), double_all).start()
    await run.settled()
    tree = await run.tree()
    numbers = tree.children[0].node
    assert (numbers.kind, numbers.done, numbers.children) == ("swarm", 3, 3)
    assert (await run.history())[0].what == "started"


@mf.task
async def double_all(numbers: list[int]) -> list[int]:
    return [number * 2 for number in numbers]


async def not_for_ever() -> None:
    gate.clear()
    run = await wait_for_gate.start({"number": 4})
    try:
        await run.result(timeout=0.01)
    except WaitTimeout:
        gate.set()  # only the waiting has ended; the run goes on
    assert await run.result(timeout=10) == 4


async def growing() -> None:
    crawl = await swarm(double.sign(number=1), open=True).start()
    first, second = await crawl.add(double.sign(number=2), double.sign(number=3))
    assert await second.result(timeout=10) == 6
    await crawl.close()  # or max_tasks=, or idle_timeout=
    assert await crawl.result(timeout=10) == [2, 4, 6]
    assert first.key == f"{crawl.id}/1"


async def main() -> None:
    async with mf:
        await holding()
        await stopping()
        await ending()
        await stopping_threads()
        await finding()
        await looking()
        await not_for_ever()
        await growing()


if __name__ == "__main__":
    asyncio.run(main())
