"""The user's own app, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.errors import SettingsError


def find_app(said: Any) -> Mageflow | None:
    """The app itself, or the one that 'module:name' stands for. Raises `SettingsError`; what the
    module raises when it is imported is not caught."""
    if said is None or isinstance(said, Mageflow):
        return said
    if not isinstance(said, str):
        raise SettingsError(f"{said!r} is no app: give a Mageflow, or 'module:name' of one")
    module, colon, name = said.partition(":")
    if not colon or not module or not name:
        raise SettingsError(f"{said!r} does not name an app: say 'module:name'")
    found: Any = import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            raise SettingsError(f"{said!r} names no app: {module} has no {name!r}")
        found = getattr(found, part)
    if not isinstance(found, Mageflow):
        raise SettingsError(f"{said!r} is no Mageflow but of type {type(found).__name__}")
    return found
