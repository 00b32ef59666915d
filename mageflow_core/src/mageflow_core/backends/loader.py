"""Backends by name."""

from __future__ import annotations

from mageflow_core.backends.protocol import TaskManager
from mageflow_core.loading import BACKENDS, load


def load_backend(name: str) -> type[TaskManager]:
    """The class of this backend; raises as `load` does."""
    return load(BACKENDS, name)
