"""Asking a store until it answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mageflow_core.errors import StoreUnavailable

log = logging.getLogger("mageflow.store")
T = TypeVar("T")

PAUSE = 1.0  # seconds between attempts


async def insist(call: Callable[[], Awaitable[T]], what: str) -> T:
    """What the call gives, once the store answers.

    For calls that it answers as before when they are asked again: it may have done them, and
    only the answer was lost. To give up then would leave a node claimed that nobody runs.
    """
    while True:
        try:
            return await call()
        except StoreUnavailable as error:
            log.warning("%s: %s Trying again in %g s.", what, error, PAUSE)
            await asyncio.sleep(PAUSE)
