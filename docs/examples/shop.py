"""An order is paid, then shipped; whoever cannot pay is told."""

import asyncio

from mageflow import Mageflow, Retry, chain

mf = Mageflow()


@mf.task(retry=Retry(retries=3, delay=600, max_delay=3600))
async def charge(order: int, amount: int) -> str:
    return f"receipt of {amount} for order {order}"


@mf.task
async def ship(receipt: str) -> str:
    return f"parcel, with {receipt}"


@mf.task
async def apologize(order: int) -> None:
    print(f"sorry about order {order}")


def fulfil(order: int, amount: int):  # noqa: ANN201 - as people write it
    """The flow of one order, which waits a quarter of an hour for second thoughts."""
    charged = charge.sign(order=order, amount=amount).options(delay=900)
    return chain(charged, ship, name="fulfil").on_error(apologize.sign(order=order))


async def main() -> None:
    async with mf:
        run = await chain(charge, ship).start({"order": 1, "amount": 30})
        print(await run.result(timeout=10))


if __name__ == "__main__":
    asyncio.run(main())
