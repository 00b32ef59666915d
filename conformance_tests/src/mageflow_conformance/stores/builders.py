"""Signatures for requirements, short to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mageflow_core import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

Sig = Signature[Any]
Callbacks = Sequence[Sig]


def task(name: str = "work", *, ok: Callbacks = (), err: Callbacks = (), **options: Any) -> Sig:
    """`ok` and `err` are its callbacks, all else are options."""
    return _dressed(TaskSignature(task=name), ok, err, options)


def chain(*steps: Sig, ok: Callbacks = (), err: Callbacks = (), **options: Any) -> Sig:
    return _dressed(ChainSignature(steps=steps), ok, err, options)


def swarm(
    *items: Sig,
    ok: Callbacks = (),
    err: Callbacks = (),
    options: Mapping[str, Any] | None = None,
    **how: Any,
) -> Sig:
    return _dressed(SwarmSignature(items=items, **how), ok, err, options or {})


def graph(
    nodes: Mapping[str, Sig],
    depends_on: Mapping[str, tuple[str, ...]] | None = None,
    *,
    ok: Callbacks = (),
    err: Callbacks = (),
    **how: Any,
) -> Sig:
    made: Sig = GraphSignature(nodes=dict(nodes), depends_on=dict(depends_on or {}), **how)
    return _dressed(made, ok, err, {})


def tasks(count: int, name: str = "work") -> list[Sig]:
    return [task(name)] * count


def _dressed(signature: Sig, ok: Callbacks, err: Callbacks, options: Mapping[str, Any]) -> Sig:
    if options:
        signature = signature.options(**options)
    return signature.on_success(*ok).on_error(*err)
