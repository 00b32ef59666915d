"""Signatures are values: built, compared, changed and kept without any I/O."""

import asyncio

from mageflow import (
    Mageflow,
    branch,
    chain,
    graph,
    sign,
    signature_dumps,
    signature_loads,
    swarm,
)

mf = Mageflow()


@mf.task
async def fetch(url: str, depth: int = 1) -> str:
    return f"{url} to {depth}"


@mf.task
async def check(text: str) -> bool:
    return "to" in text


@mf.task
async def note(text: str) -> str:
    return text


def values() -> None:
    one = fetch.sign(url="docs")
    assert one == sign(fetch, url="docs") == sign(task_name="fetch", url="docs")
    deeper = one.bind(depth=2)  # a new one; the first has not changed
    assert one != deeper
    assert deeper.bind(depth=1).args == {"url": "docs", "depth": 1}


def containers() -> None:
    in_order = chain(fetch, note, name="in-order")
    at_once = swarm([fetch.sign(url=url) for url in "abc"], max_concurrency=2)
    named = graph({"fetch": fetch, "check": check}, depends_on={"check": ["fetch"]})
    chosen = branch(check, then=note)
    nested = chain(in_order, at_once, named, chosen)
    assert nested.steps[1].children[0] == fetch.sign(url="a")


def dressed() -> None:
    flow = (
        chain(fetch, note)
        .bind(depth=3)
        .named("nightly")
        .label(team="docs")
        .options(deadline=3600, ttl=86_400)
        .on_success(note)
        .on_error(note.sign(text="it failed"))
    )
    assert (flow.name, flow.labels) == ("nightly", {"team": "docs"})
    assert flow.opts.deadline == 3600


def kept() -> None:
    flow = chain(fetch.sign(url="docs"), note).options(deadline=3600)
    text = signature_dumps(flow)
    assert signature_loads(text) == flow


async def stored() -> None:
    run = await chain(fetch, note)  # stored, not started; another await stores another run
    await run.start({"url": "docs"})
    assert await run.result(timeout=10) == "docs to 1"


async def main() -> None:
    values()
    containers()
    dressed()
    kept()
    async with mf:
        await stored()


if __name__ == "__main__":
    asyncio.run(main())
