"""The live workers of a namespace, and how buckets are shared out among them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from hashlib import blake2b

from mageflow_core.stores.protocol import WorkerInfo

SAID = {field.name for field in fields(WorkerInfo)} - {"id", "seen_at"}


def described(worker: WorkerInfo) -> str:
    said = {name: value for name, value in asdict(worker).items() if name in SAID}
    said["tasks"], said["backends"] = sorted(worker.tasks), sorted(worker.backends)
    return json.dumps(said, separators=(",", ":"))


def members_of(flat: Sequence[str]) -> list[WorkerInfo]:
    """From what `register.lua` gives. What newer workers say besides is left out."""
    told = dict(zip(flat[::2], flat[1::2], strict=True))
    found = []
    for name in sorted(told):
        if not name.endswith(" seen"):
            said = {n: value for n, value in json.loads(told[name]).items() if n in SAID}
            said["tasks"], said["backends"] = frozenset(said["tasks"]), frozenset(said["backends"])
            seen = int(told.get(f"{name} seen", 0)) / 1000
            found.append(WorkerInfo(id=name, seen_at=seen, **said))
    return found


def owner(thing: str, workers: Iterable[str]) -> str | None:
    """The one worker that all agree on to see to a thing, as long as they know of the same
    workers. Where one goes, only what it had goes to others."""
    return max(workers, key=lambda worker: _weight(worker, thing), default=None)


def _weight(worker: str, thing: str) -> bytes:
    return blake2b(f"{worker}\n{thing}".encode(), digest_size=8).digest()
