"""Where it may end: the tasks are MageFlow's, and the settings say what they run on."""

from pydantic import BaseModel

from mageflow import Mageflow, Run, chain

mf = Mageflow()


class Order(BaseModel):
    number: int
    to: str
    items: dict[str, int]
    total: int = 0


@mf.task(name="shop.tasks.price")
async def price(order: Order) -> Order:
    return order.model_copy(update={"total": sum(order.items.values())})


@mf.task(name="shop.tasks.receipt", retries=3)
def receipt(order: Order) -> str:
    return f"{order.to} has paid {order.total}"


def buy(order: Order) -> Run[str]:
    flow = chain(price, receipt, name="purchase")
    return mf.start_sync(flow, order.model_dump(), key=f"order-{order.number}")


if __name__ == "__main__":
    with mf:
        print(buy(Order(number=8, to="ada", items={"lamp": 80})).result_sync(timeout=60))
