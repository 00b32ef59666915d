"""Waiting for what nobody tells of, without guessing how long it takes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

FIRST_PAUSE = 0.001  # seconds between two looks; each next pause is longer
LONGEST_PAUSE = 0.05


def scaled(seconds: float) -> float:
    """`seconds`, or more of them where `MAGEFLOW_TEST_PATIENCE` says that the machine is slow."""
    return seconds * float(os.environ.get("MAGEFLOW_TEST_PATIENCE", "1"))


async def eventually(
    predicate: Callable[[], Any | Awaitable[Any]], *, within: float = 5.0, about: str = ""
) -> Any:
    """What the predicate gives, plain or awaited, once that is true.

    Looks at least twice, however little time there is. Raises `AssertionError` when `within`
    seconds are over, with `about` and what was seen last.
    """
    end = time.monotonic() + scaled(within)
    pause, over = 0.0, False
    while True:
        found = predicate()
        if isinstance(found, Awaitable):
            found = await found
        if found:
            return found
        if over:
            raise AssertionError(say(about, within, found))
        await asyncio.sleep(pause)
        over = time.monotonic() > end
        pause = min(LONGEST_PAUSE, pause * 1.5 or FIRST_PAUSE)


def eventually_sync(predicate: Callable[[], Any], *, within: float = 5.0, about: str = "") -> Any:
    """`eventually` where there is no event loop; it blocks this thread."""
    end = time.monotonic() + scaled(within)
    pause, over = FIRST_PAUSE, False
    while True:
        found = predicate()
        if found:
            return found
        if over:
            raise AssertionError(say(about, within, found))
        time.sleep(pause)
        over = time.monotonic() > end
        pause = min(LONGEST_PAUSE, pause * 1.5)


async def stays(predicate: Callable[[], Any], *, seconds: float, about: str = "") -> None:
    """Look for so long, and raise `AssertionError` when the predicate is not true any more."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert predicate(), f"{about or 'what was to stay so'}: not for {seconds:g} s"
        await asyncio.sleep(LONGEST_PAUSE)


def say(about: str, within: float, found: object) -> str:
    what = about or "what was waited for"
    return f"{what}: not within {within:g} s; seen last: {found!r}"
