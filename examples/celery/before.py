"""What followed what: Celery's canvas."""

from typing import Any

from celery import chain, chord
from shop.celery import app
from shop.tasks import Order, charge, price, receipt, report, sales


@app.task(name="shop.complain")
def complain(_request: Any, error: BaseException, _traceback: Any) -> None:
    print(f"an order has failed: {error}")


def buy(order: Order) -> Any:
    steps = chain(price.s(order.model_dump()), charge.s(), receipt.s())
    return steps.apply_async(link_error=complain.s())


@app.task(name="shop.nightly")
def nightly() -> None:
    chord([sales.s(region) for region in ("north", "south")], report.s()).delay()


if __name__ == "__main__":
    print(buy(Order(number=7, to="ada", items={"lamp": 80, "desk": 120})).get(timeout=60))
