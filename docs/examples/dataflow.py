"""How a task's parameters are filled."""

import asyncio

from pydantic import BaseModel

from mageflow import Exactly, Mageflow, ReturnValue, SwarmReport, chain, graph, swarm

mf = Mageflow()


class Address(BaseModel):
    street: str
    city: str = "Prague"


@mf.task
async def label(name: str, address: Address) -> str:
    return f"{name}, {address.street}, {address.city}"


async def by_name() -> None:
    message = {"name": "Ann", "address": {"street": "Long", "city": "Brno"}, "unknown": 1}
    assert await label.run(message) == "Ann, Long, Brno"


async def bound_over_message() -> None:
    # Plain mappings are merged; a model, a list or Exactly(...) replaces what was there.
    message = {"name": "Ann", "address": {"street": "Long", "city": "Brno"}}
    merged = label.sign(address={"street": "Short"})
    assert await merged.run(message) == "Ann, Short, Brno"
    replaced = label.sign(address=Address(street="Short"))
    assert await replaced.run(message) == "Ann, Short, Prague"
    exact = label.sign(address=Exactly({"street": "Short"}))
    assert await exact.run(message) == "Ann, Short, Prague"


async def bound_on_containers() -> None:
    # For all below; each takes what it knows, and what is bound closer wins.
    both = swarm(label, label.sign(name="Eve"), name="labels", address={"street": "Long"})
    assert await both.bind(name="Ann").run() == ["Ann, Long, Prague", "Eve, Long, Prague"]


@mf.task
async def parse(text: str) -> Address:
    return Address(street=text)


@mf.task
async def city_of(address: Address) -> str:
    return address.city


@mf.task
async def shout(text: str, mark: str = "!") -> str:
    return text.upper() + mark


async def from_step_to_step() -> None:
    # A mapping or model is the next message; anything else goes to the one parameter for it.
    assert await chain(parse, city_of, shout).run({"text": "Long"}) == "PRAGUE!"


@mf.task
async def remember(text: str) -> None:
    print(f"seen: {text}")


@mf.task
async def join(word: ReturnValue[str], text: str) -> str:
    return f"{text} {word}"


async def beside_the_message() -> None:
    # `-> None` passes its message on. With a ReturnValue the chain's own message stays.
    assert await chain(remember, shout).run({"text": "long"}) == "LONG!"
    assert await chain(shout, join).run({"text": "long"}) == "long LONG!"


@mf.task
async def ship(weigh: int, pack: str) -> str:
    return f"{pack}, {weigh} kg"


@mf.task
async def weigh(item: str) -> int:
    return len(item)


@mf.task
async def pack(item: str) -> str:
    return f"a box of {item}"


async def in_graphs() -> None:
    flow = graph({"weigh": weigh, "pack": pack, "ship": ship}, {"ship": ["weigh", "pack"]})
    assert await flow.run({"item": "lamps"}) == {"ship": "a box of lamps, 5 kg"}


@mf.task
async def heaviest(weights: ReturnValue[list[int]], report: SwarmReport) -> str:
    return f"{max(weights)} kg, of {report.counts.total}"


async def after_swarms() -> None:
    items = swarm([weigh.sign(item=item) for item in ("lamps", "a", "chairs")])
    assert await chain(items, heaviest).run() == "6 kg, of 3"


async def main() -> None:
    async with mf:
        await by_name()
        await bound_over_message()
        await bound_on_containers()
        await from_step_to_step()
        await beside_the_message()
        await in_graphs()
        await after_swarms()


if __name__ == "__main__":
    asyncio.run(main())
