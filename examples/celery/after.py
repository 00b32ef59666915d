"""The same with MageFlow: the tasks stay what they are."""

from datetime import UTC, datetime

from shop.celery import app
from shop.tasks import Order, charge, price, receipt, report, sales

from mageflow import ErrorValue, Mageflow, Run, chain, sign, swarm

mf = Mageflow(app)


@mf.task(name="shop.complain")
def complain(error: ErrorValue, number: int) -> None:
    print(f"order {number} has failed in {error.task}: {error.message}")


purchase = chain(price, charge, receipt, name="purchase").on_error(complain)


def buy(order: Order) -> Run[str]:
    return mf.start_sync(purchase, order.model_dump(), key=f"order-{order.number}")


day = chain(
    swarm([sign(sales, region=region) for region in ("north", "south")], stop_after_n_failures=1),
    report,
    name="nightly",
)


@app.task(name="shop.nightly")  # beat calls it, as ever
def nightly() -> None:
    mf.start_sync(day, key=f"nightly-{datetime.now(UTC):%F}")


if __name__ == "__main__":
    with mf:
        run = buy(Order(number=7, to="ada", items={"lamp": 80, "desk": 120}))
        print(run.result_sync(timeout=60))
