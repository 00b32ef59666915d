"""A project on Taskiq: what follows a payment is called from the payment."""

import os

from taskiq import TaskiqDepends
from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))


class Bank:
    async def pay(self, amount: int) -> str:
        return f"receipt for {amount}"


def bank() -> Bank:
    return Bank()


@broker.task
def send_receipt(receipt: str, to: str) -> str:
    return f"{to}: {receipt}"


@broker.task
async def charge(amount: int, to: str, bank: Bank = TaskiqDepends(bank)) -> None:
    receipt = await bank.pay(amount)
    await send_receipt.kiq(receipt, to)
