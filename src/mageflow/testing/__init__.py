"""Testing flows: an app of its own for each test, with a virtual clock, records and faults.

The pytest plugin is loaded with pytest, so nothing else is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mageflow.testing.app import TestApp, embedded
    from mageflow.testing.clock import VirtualClock
    from mageflow.testing.faults import Fault
    from mageflow.testing.matching import Like, like
    from mageflow.testing.records import Attempt, Dispatch
    from mageflow.testing.replacing import Replacement

_HOMES = {
    "Attempt": "records",
    "Dispatch": "records",
    "Fault": "faults",
    "Like": "matching",
    "Replacement": "replacing",
    "TestApp": "app",
    "VirtualClock": "clock",
    "embedded": "app",
    "like": "matching",
}

__all__ = [
    "Attempt",
    "Dispatch",
    "Fault",
    "Like",
    "Replacement",
    "TestApp",
    "VirtualClock",
    "embedded",
    "like",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"mageflow.testing.{_HOMES[name]}"), name)
