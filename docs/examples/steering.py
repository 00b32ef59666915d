"""Watching what runs, and holding, resuming or ending it."""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

from mageflow import Context, Mageflow, Node, Status, chain, swarm
from mageflow.errors import RunCanceled, WaitTimeout

mf = Mageflow()


@mf.task
async def wait_for(gate: Path, number: int = 0) -> int:
    while not await asyncio.to_thread(gate.exists):
        await asyncio.sleep(0.01)
    return number


async def begun(node: Node[int]) -> None:
    while await node.status() != Status.ACTIVE:
        await asyncio.sleep(0.01)


@mf.task
async def double(number: int) -> int:
    return number * 2


async def holding(gate: Path) -> None:
    run = await chain(wait_for.sign(gate=gate), double).start({"number": 4})
    await begun(run[0])
    await run.suspend()  # what runs goes on; nothing below begins
    gate.touch()
    await run[0].wait()
    assert await run.status() == Status.SUSPENDED
    assert await run[1].status() == Status.SUSPENDED
    await run.resume()
    assert await run.result(timeout=10) == 8


async def stopping(gate: Path) -> None:
    run = await wait_for.sign(gate=gate).start({"number": 4})
    await begun(run)
    await run.interrupt()  # the body sees CancelledError, and runs again after resume()
    assert await run.status() == Status.INTERRUPTED
    gate.touch()
    await run.resume()
    assert await run.result(timeout=10) == 4


async def ending(gate: Path) -> None:
    run = await chain(wait_for.sign(gate=gate), double).start({"number": 4})
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


async def not_for_ever(gate: Path) -> None:
    run = await wait_for.sign(gate=gate).start({"number": 4})
    try:
        await run.result(timeout=0.01)
    except WaitTimeout:
        gate.touch()  # only the waiting has ended; the run goes on
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
        with TemporaryDirectory() as folder:
            await holding(Path(folder, "first"))
            await stopping(Path(folder, "second"))
            await ending(Path(folder, "third"))
            await not_for_ever(Path(folder, "fourth"))
        await stopping_threads()
        await finding()
        await looking()
        await growing()


if __name__ == "__main__":
    asyncio.run(main())
