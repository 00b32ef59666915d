"""What a store has to raise."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from mageflow_core.errors import RunNotFound


async def raises_not_found(call: Awaitable[Any]) -> None:
    try:
        found = await call
    except RunNotFound:
        return
    raise AssertionError(f"RunNotFound is to be raised here, and {found!r} was answered")
