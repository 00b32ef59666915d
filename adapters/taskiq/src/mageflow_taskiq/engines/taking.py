"""Taking messages so that none is lost where the taker is stopped in between."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

LAST = 5.0  # seconds that a read which was stopped may take to end

Room = Callable[[], int]


def one() -> int:
    """Where nobody says how much can be worked on: what is taken waits for nothing."""
    return 1


async def taken(
    read: Callable[[], Coroutine[Any, Any, list[T]]],
    give_back: Callable[[list[T]], Awaitable[None]],
) -> AsyncGenerator[T, None]:
    """What is read, again and again. What was taken and not passed on is given back in the end: a
    server does not know that a read of which it has sent the answer was broken off."""
    while True:
        reading = asyncio.ensure_future(read())
        try:
            found = await asyncio.shield(reading)
        except asyncio.CancelledError:
            with suppress(Exception):  # then it comes again when its worker counts as lost
                async with asyncio.timeout(LAST):
                    await give_back(await reading)
            raise
        left = deque(found)
        try:
            while left:
                yield left.popleft()
        finally:
            if left:
                await give_back(list(left))
