"""Its tasks. Nothing in here knows of MageFlow, before or after."""

import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from shop.celery import app

OUTBOX = Path(os.environ.get("SHOP_OUTBOX", "."))


class Order(BaseModel):
    number: int
    to: str
    items: dict[str, int]
    total: int = 0


@app.task(pydantic=True)
def price(order: Order) -> Order:
    return order.model_copy(update={"total": sum(order.items.values())})


@app.task(bind=True, pydantic=True, max_retries=5, default_retry_delay=0.1)
def charge(self: Any, order: Order) -> Order:
    if not order.items:
        raise ValueError("there is nothing to pay for")
    if self.request.retries < 1:
        raise self.retry(exc=ConnectionError("the bank does not answer at first"))
    return order


@app.task(autoretry_for=(OSError,), max_retries=3, default_retry_delay=0.1, pydantic=True)
def receipt(order: Order) -> str:
    text = f"{order.to} has paid {order.total}"
    with (OUTBOX / f"{order.number}.txt").open("x") as letter:
        letter.write(text)
    return text


@app.task
def sales(region: str) -> int:
    return len(region)


@app.task
def report(sums: list[int]) -> str:
    text = f"sales of the day: {sum(sums)}"
    (OUTBOX / "report.txt").write_text(text)
    return text
