"""What tests look at inside of open apps."""

from __future__ import annotations

import threading
from typing import Any

from mageflow_core import Mageflow
from sharing.store import SharedStore
from sharing.world import World


def site_of(app: Mageflow) -> Any:
    return app._site


def world_of(app: Mageflow) -> World:
    store: Any = site_of(app).store
    assert isinstance(store, SharedStore)
    return store.world


def upkeep_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "mageflow-upkeep"]
