"""Results that are put together from many nodes, asked for level by level."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TypeVar

from mageflow_core.machine import Draft, Status
from mageflow_core.names import child_path
from mageflow_core.signatures.signature import GraphSignature
from mageflow_core.stores.reading import NULL, child_count
from mageflow_core.stores.redis.snapshot import Missing

P = TypeVar("P")


def text_of(draft: Draft, ref: str) -> str:
    """As `reading.value_text`, of a node that has ended. Raises `Missing` with all that is wanted
    next, however many nodes that is."""
    node = draft.get(ref)
    if node.value is not None:
        return node.value
    signature = node.signature
    if isinstance(signature, GraphSignature):
        ends = [name for name in signature.order if not signature.dependents.get(name)]
        texts = _all_of(ends, lambda name: item_text(draft, child_path(ref, name)))
        named = zip(map(json.dumps, ends), texts, strict=True)
        return "{" + ",".join(f"{name}:{text}" for name, text in named) + "}"
    items = range(child_count(node))
    return "[" + ",".join(_all_of(items, lambda n: item_text(draft, child_path(ref, n)))) + "]"


def item_text(draft: Draft, path: str) -> str:
    """Of a child of a swarm or graph; null where it has no result."""
    node = draft.node(path)
    if node is None or node.status is not Status.DONE or node.result is None:
        return NULL
    return text_of(draft, node.result)


def _all_of(parts: Iterable[P], text: Callable[[P], str]) -> list[str]:
    texts: list[str] = []
    missing: list[str] = []
    for part in parts:
        try:
            texts.append(text(part))
        except Missing as error:
            missing.extend(error.names)
    if missing:
        raise Missing(*missing)
    return texts
