"""The quickstart: pages are fetched side by side, and what is in them is added up."""

import asyncio

from mageflow import Mageflow, chain, swarm

PAGES = {"one": "a mage, a staff", "two": "two mages", "three": "nobody"}

mf = Mageflow()


@mf.task(retries=3, timeout=30)
async def fetch(url: str) -> str:
    return PAGES[url]


@mf.task
def count(page: str, word: str) -> int:
    return page.count(word)


@mf.task
def add_up(counts: list[int]) -> int:
    return sum(counts)


async def one_page() -> None:
    async with mf:
        run = await chain(fetch.sign(url="one"), count.sign(word="mage")).start()
        print(await run.result(timeout=60))  # 1
        assert await run.result() == 1


async def all_pages() -> None:
    async with mf:
        pages = [chain(fetch.sign(url=url), count) for url in PAGES]
        flow = chain(swarm(pages, max_concurrency=10), add_up, word="mage")
        print(await flow.run(timeout=60))  # 2
        assert await flow.run() == 2


async def looked_at() -> None:
    async with mf:
        run = await chain(fetch, count, word="mage").start({"url": "two"})
        await run.settled(timeout=60)
        tree = await run.tree()
        for step in tree.children:
            print(step.node.task, step.node.status, step.node.attempt)
        assert [step.node.status for step in tree.children] == ["done", "done"]


if __name__ == "__main__":
    for example in (one_page, all_pages, looked_at):
        asyncio.run(example())
