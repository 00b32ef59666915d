"""What follows is worked out at run time: by a branch, or by a task that returns a signature."""

import asyncio
from typing import Any

from mageflow import Mageflow, Signature, branch, chain, graph, swarm

mf = Mageflow()


@mf.task
async def classify(amount: int) -> str:
    return "large" if amount > 1000 else "small"


@mf.task
async def approve(amount: int) -> str:
    return f"{amount} approved by two people"


@mf.task
async def book(amount: int) -> str:
    return f"{amount} booked"


async def by_branch() -> None:
    flow = branch(classify, {"large": approve, "small": book})
    assert await flow.run({"amount": 5000}) == "5000 approved by two people"
    assert await flow.run({"amount": 10}) == "10 booked"


@mf.task
async def is_even(number: int) -> bool:
    return number % 2 == 0


@mf.task
async def halve(number: int) -> int:
    return number // 2


@mf.task
async def increment(number: int) -> int:
    return number + 1


async def passing_through() -> None:
    # Without a case for an odd number, it goes on to the next step unchanged.
    flow = chain(branch(is_even, then=halve), increment)
    assert await flow.run(10) == 6
    assert await flow.run(7) == 8


@mf.task
async def pages_of(site: str) -> dict[str, list[str]]:
    return {"pages": [f"{site}/{page}" for page in range(3)]}


@mf.task
async def crawl(pages: list[str]) -> Signature[list[int]]:
    # As wide as the list turns out to be.
    return swarm([measure.sign(page=page) for page in pages])


@mf.task
async def measure(page: str) -> int:
    return len(page)


async def as_many_as_there_are() -> None:
    flow = chain(pages_of, crawl, total)
    assert await flow.run({"site": "docs"}) == 18


@mf.task
async def total(numbers: list[int]) -> int:
    return sum(numbers)


@mf.task
async def countdown(number: int) -> Any:
    # A loop: it is replaced by itself, and does not nest.
    return number if number == 0 else countdown.sign(number=number - 1)


async def in_a_loop() -> None:
    assert await countdown.run({"number": 20}) == 0


async def with_dependencies() -> None:
    flow = graph(
        {"double": increment.sign(number=1), "sum": total_of, "even": is_even},
        depends_on={"sum": ["double"], "even": ["double"]},
    )
    assert await flow.run({"number": 4}) == {"sum": 102, "even": True}


@mf.task
async def total_of(double: int) -> int:
    return double + 100


async def main() -> None:
    async with mf:
        await by_branch()
        await passing_through()
        await as_many_as_there_are()
        await in_a_loop()
        await with_dependencies()


if __name__ == "__main__":
    asyncio.run(main())
