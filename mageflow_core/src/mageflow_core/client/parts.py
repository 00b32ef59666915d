"""Stored runs that stand in a signature: each becomes a node of the run that is made of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from mageflow_core.errors import SignatureError
from mageflow_core.names import callback_path, child_path
from mageflow_core.signatures.signature import GraphSignature, Signature
from mageflow_core.stores.protocol import Store

Part = tuple[str, str]  # the stored run's id, and the path or key of the node that it becomes


def parts_below(signature: Signature[Any], path: str = "") -> Iterator[Part]:
    """The stored runs inside a signature that stands at `path`."""
    names = signature.order if isinstance(signature, GraphSignature) else None
    for position, child in enumerate(signature.children):
        if child.stored is not None or child.children or child.callbacks:
            yield from parts_of(child, child_path(path, names[position] if names else position))
    for event, callbacks in (
        ("success", signature.success_callbacks),
        ("error", signature.error_callbacks),
    ):
        for number, callback in enumerate(callbacks):
            yield from parts_of(callback, callback_path(path, event, number, 1))


def parts_of(signature: Signature[Any], path: str = "") -> Iterator[Part]:
    """The same, and the signature itself."""
    if signature.stored is not None:
        yield signature.stored, path
    yield from parts_below(signature, path)


async def reserve(store: Store, parts: Iterable[Part], run_id: str) -> None:
    """Keep stored runs for the run that they are about to become part of.

    Raises `SignatureError` for one that was started, or that stands elsewhere.
    """
    ids = Counter(part for part, _ in parts)
    for part, times in ids.items():
        if times > 1:
            raise SignatureError(f"stored run {part} stands in two places: a run has but one")
    for part in ids:
        if not await store.reserve(part, run_id):
            raise SignatureError(f"stored run {part} was started, or stands elsewhere already")
