"""Another event loop of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def on_another_loop(coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine gives, run to its end on a loop of its own in a thread."""
    return await asyncio.to_thread(asyncio.run, coroutine)
