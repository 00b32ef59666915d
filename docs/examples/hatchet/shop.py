"""A module of a project on Hatchet, and a flow of its tasks.

As a worker: `mageflow worker shop`, or `python shop.py work`, as Hatchet's documentation has it.
"""

import asyncio
import sys

from hatchet_sdk import Context, Hatchet
from pydantic import BaseModel

from mageflow import Mageflow, chain

hatchet = Hatchet()


class Order(BaseModel):
    amount: int


class Receipt(BaseModel):
    text: str


@hatchet.task(name="Charge", input_validator=Order, retries=3)
async def charge(order: Order, context: Context) -> Receipt:
    return Receipt(text=f"paid {order.amount}, attempt {context.attempt_number}")


@hatchet.task(name="Send-Receipt", input_validator=Receipt)
async def send_receipt(receipt: Receipt, _context: Context) -> dict[str, str]:
    return {"sent": receipt.text}


mf = Mageflow(hatchet)


async def sell() -> None:
    async with mf:
        run = await chain(charge, send_receipt).start({"amount": 30})
        print(await run.result(timeout=60))


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        hatchet.worker("shop", workflows=[charge, send_receipt]).start()
    asyncio.run(sell())
