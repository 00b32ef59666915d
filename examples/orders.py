"""Orders are priced, checked side by side, and paid; a big one is looked at by somebody first."""

import asyncio

from mageflow import ErrorValue, Mageflow, branch, chain

mf = Mageflow()


@mf.task
async def price(items: dict[str, int]) -> dict[str, int]:
    return {"total": sum(items.values())}


@mf.task
async def is_big(total: int) -> bool:
    return total > 100


@mf.task
async def ask_somebody(total: int) -> dict[str, int]:
    return {"total": total, "discount": total // 10}


@mf.task(retries=3, timeout=30)
def pay(total: int, discount: int = 0) -> str:  # not async: it runs in a thread
    return f"paid {total - discount}"


@mf.task
async def complain(error: ErrorValue, order: int) -> None:
    print(f"order {order} failed in {error.task}: {error.message}")


fulfil = chain(price, branch(is_big, then=ask_somebody), pay).on_error(complain)


async def main() -> None:
    async with mf:  # the worker lives in this process
        run = await fulfil.start({"order": 7, "items": {"lamp": 80, "desk": 120}})
        paid = await run.result(timeout=10)
        print(paid)  # paid 180
        assert paid == "paid 180"


if __name__ == "__main__":
    asyncio.run(main())
