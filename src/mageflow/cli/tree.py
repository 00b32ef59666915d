"""What is below a node, read in as few turns as it has levels."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from mageflow_core import Status, Tree
from mageflow_core.stores.protocol import NodeView, Store

AT_ONCE = 32  # calls of the store


async def read(store: Store, key: str, *, depth: int, width: int) -> Tree:
    """The node, and up to `width` children of each, with their continuations and callbacks, in
    `depth` levels. Each node is as it was at some moment, not all at the same."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def below(node: NodeView, levels: int) -> Tree:
        if levels <= 1:
            return Tree(node, (), node.children)
        async with gate:
            views = list(await store.children(node.key, 0, width))
            if len(views) == width:  # what follows the children has a place behind the last one
                views += await store.children(node.key, max(width, node.children), width)
        children = await asyncio.gather(*(below(view, levels - 1) for view in views))
        return Tree(node, tuple(children), max(0, node.children - width))

    return await below(await store.node(key), depth)


async def results(store: Store, tree: Tree) -> dict[str, str]:
    """JSON texts of what tasks have given, by their keys; not of what a task went on as."""
    done = [
        each.node.key
        for each in walk(tree)
        if each.node.kind == "task"
        and each.node.status is Status.DONE
        and not any(child.node.role == "continuation" for child in each.children)
    ]
    gate = asyncio.Semaphore(AT_ONCE)

    async def value(key: str) -> str | None:
        async with gate:
            return await store.value(key)

    texts = await asyncio.gather(*map(value, done))
    return {key: text for key, text in zip(done, texts, strict=True) if text is not None}


def walk(tree: Tree) -> Iterator[Tree]:
    """The tree and all below it, depth first."""
    waiting = [tree]
    while waiting:
        tree = waiting.pop()
        yield tree
        waiting += reversed(tree.children)
