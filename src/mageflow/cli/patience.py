"""Going on where a store is away for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

from mageflow.cli.output import say
from mageflow_core.errors import StoreUnavailable

T = TypeVar("T")

PAUSE = 1.0  # seconds between calls that had no answer


async def answered(call: Callable[[], Awaitable[T]]) -> T:
    """What the call gives, once the store answers. Says on stderr that it does not, and that it
    does again. For calls that may be asked twice."""
    away = False
    while True:
        try:
            answer = await call()
        except StoreUnavailable as error:
            if not away:
                say(f"{error} (waiting for it)")
            away = True
            await asyncio.sleep(PAUSE)
        else:
            if away:
                say("the store answers again")
            return answer


async def looking(
    over: Callable[[], Coroutine[Any, Any, object]],
    look: Callable[[], Awaitable[object]],
    every: float,
) -> None:
    """Look every so many seconds until `over` returns, and once more then; it is over no later
    because somebody looks."""
    waiting = asyncio.create_task(over())
    try:
        while not waiting.done():
            await answered(look)
            await asyncio.wait([waiting], timeout=every)
        await waiting
    finally:
        waiting.cancel()
    await answered(look)
