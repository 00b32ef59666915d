"""The same project with MageFlow: its tasks say what they do, and a flow what follows."""

import os

from taskiq import TaskiqDepends

from mageflow import Mageflow, Signature, chain, sign
from mageflow_taskiq import StreamBroker

broker = StreamBroker(os.environ.get("REDIS_URL", "redis://localhost:6379/0"))
mf = Mageflow(broker)


class Bank:
    async def pay(self, amount: int) -> str:
        return f"receipt for {amount}"


def bank() -> Bank:
    return Bank()


@broker.task
def send_receipt(receipt: str, to: str) -> str:
    return f"{to}: {receipt}"


@broker.task
async def charge(amount: int, bank: Bank = TaskiqDepends(bank)) -> str:
    return await bank.pay(amount)


def sale(to: str) -> Signature[str]:
    return chain("shop.charge", sign("shop.send_receipt", to=to), name="sale")
