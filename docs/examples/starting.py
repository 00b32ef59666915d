"""Starting things once, although calls and tasks may be repeated."""

import asyncio

from mageflow import Context, Mageflow, Retry
from mageflow.errors import StartKeyConflict

mf = Mageflow()
sent: dict[str, str] = {}


@mf.task
async def bill(order: int) -> str:
    return f"bill for {order}"


async def once_by_key() -> None:
    first = await bill.sign().start({"order": 7}, key="order-7")
    # Asked twice: a retry, or somebody who clicks again.
    again = await bill.sign().start({"order": 7}, key="order-7")
    assert first.id == again.id
    try:
        await bill.sign().start({"order": 8}, key="order-7")
    except StartKeyConflict:
        print("this key stands for another order")


@mf.task(retries=Retry(retries=1, delay=0.01))
async def bill_all(orders: list[int], ctx: Context) -> list[str]:
    runs = [await bill.start({"order": order}) for order in orders]
    if ctx.attempt == 1:
        raise ConnectionError("died after it had started them")
    return [run.id for run in runs]


async def once_from_a_task() -> None:
    before = await mf.find(task="bill")
    run = await bill_all.start({"orders": [1, 2]})
    ids = await run.result(timeout=10)
    assert (await run.view()).attempt == 2
    found = await mf.find(task="bill")
    # The second attempt found the runs of the first one again.
    assert {run.id for run in found} - {run.id for run in before} == set(ids)


@mf.task(retries=Retry(retries=1, delay=0.01))
async def send(address: str, ctx: Context) -> int:
    # A service of somebody else's, which takes a key of ours and does the same thing once only.
    sent.setdefault(ctx.idempotency_key, address)
    if ctx.attempt == 1:
        raise ConnectionError("no answer came back")
    return len(sent)


async def once_elsewhere() -> None:
    assert await send.run({"address": "ann@example.org"}) == 1


async def main() -> None:
    async with mf:
        await once_by_key()
        await once_from_a_task()
        await once_elsewhere()


if __name__ == "__main__":
    asyncio.run(main())
