"""Random trees, with more in them than a state machine looks at."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

Sig = Signature[Any]
LABELS: tuple[dict[str, str], ...] = (
    {},
    {},
    {"team": "a"},
    {"team": "b", "Größe": 'sehr "groß"\n'},
)
NAMES = ("", "", "n", "a.b-c_", "0.")


def varied(signature: Sig, seed: int, now: float) -> Sig:
    """The same tree with bound arguments, names, labels, options, times that are given, nodes of
    graphs that are called like places, and equal neighbours."""
    return _varied(signature, random.Random(seed), now)


def _varied(signature: Sig, chance: random.Random, now: float) -> Sig:
    def each(inside: Sequence[Sig]) -> tuple[Sig, ...]:
        return tuple(_varied(one, chance, now) for one in inside)

    changes: dict[str, Any] = {
        "success_callbacks": each(signature.success_callbacks),
        "error_callbacks": each(signature.error_callbacks),
        "labels": chance.choice(LABELS),
        "name": chance.choice([None, None, "first", "zweiter\u2028"]),
    }
    if chance.random() < 0.3:
        changes["args"] = {"limit": chance.choice([2**53 + 1, [], {"a": None}, "é\0"])}
    if isinstance(signature, ChainSignature):
        changes["steps"] = _repeated(each(signature.steps), chance)
    elif isinstance(signature, SwarmSignature):
        items = _repeated(each(signature.items), chance)
        changes["items"] = items
        if signature.max_tasks is not None:
            changes["max_tasks"] = len(items) + chance.randrange(3) or None
    elif isinstance(signature, GraphSignature):
        called = {name: f"{chance.choice(NAMES)}{n}" for n, name in enumerate(signature.nodes)}
        changes["nodes"] = dict(zip(called.values(), each(signature.children), strict=True))
        changes["depends_on"] = {
            called[name]: tuple(called[other] for other in others)
            for name, others in signature.depends_on.items()
        }
    elif isinstance(signature, TaskSignature) and chance.random() < 0.3:
        eta = datetime.fromtimestamp(now + chance.choice([-5, 0, 20]), UTC)
        changes["opts"] = (
            chance.choice(
                [
                    signature.options(priority="high", queue="q1").opts,
                    signature.options(backend="other", retries=2).opts,
                    signature.options(eta=eta).opts if signature.opts.delay is None else None,
                ]
            )
            or signature.opts
        )
    return replace(signature, **changes)


def _repeated(parts: tuple[Sig, ...], chance: random.Random) -> tuple[Sig, ...]:
    if chance.random() < 0.6:
        return parts
    return tuple(part for part in parts for _ in range(chance.randrange(1, 4)))
