"""A store that several apps of one process share, as processes share a server.

It is the memory store behind a lock, with handles on it that may live on different event loops,
and with leases that end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mageflow_core import loading
from mageflow_core.stores import loader
from sharing.looking import site_of, upkeep_threads, world_of
from sharing.store import SharedStore
from sharing.world import World

__all__ = ["SCHEME", "SharedStore", "World", "install", "site_of", "upkeep_threads", "world_of"]

SCHEME = "shared"


def install(patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Have `shared://name` URLs lead here."""

    def load(group: str, name: str) -> Any:
        return SharedStore if name == SCHEME else loading.load(group, name)

    patch(loader, "load", load)
