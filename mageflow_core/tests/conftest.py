"""The real embedded app, a clock that is moved by hand, and waiting without sleeping.

Makes importable what tests share (`simulation`, `strategies`, …): the tests are no packages, and
pytest imports them by path.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from mageflow_core import Mageflow, Node

HERE = Path(__file__).parent
for folder in ("machine", "signatures", "stores/redis"):
    if str(HERE / folder) not in sys.path:
        sys.path.insert(0, str(HERE / folder))


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self._now = now
        self._waiting: set[asyncio.Event] = set()

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        self._now += seconds
        for wake in self._waiting:
            wake.set()  # whoever waits looks at the time again

    async def wait(self, until: float | None, wake: asyncio.Event) -> None:
        if until is not None and until <= self._now:
            return
        self._waiting.add(wake)
        try:
            await wake.wait()
        finally:
            self._waiting.discard(wake)


class MakeApp(Protocol):
    async def __call__(self, **settings: Any) -> Mageflow: ...


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def make_app() -> AsyncIterator[MakeApp]:
    """Makes apps that are open until the test ends."""
    async with AsyncExitStack() as stack:

        async def make(**settings: Any) -> Mageflow:
            return await stack.enter_async_context(Mageflow(**settings))

        yield make


@pytest.fixture
async def mf(make_app: MakeApp) -> Mageflow:
    return await make_app()


async def _until(condition: Callable[[], Any | Awaitable[Any]], within: float = 10) -> None:
    async with asyncio.timeout(within):
        while True:
            found = condition()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0)


@pytest.fixture
def until() -> Callable[..., Awaitable[None]]:
    """Lets the loop turn until a condition holds, for what nobody tells of."""
    return _until


@pytest.fixture
def has_status() -> Callable[..., Awaitable[None]]:
    """Lets the loop turn until a node has a status."""

    async def has(node: Node[Any], status: str) -> None:
        async def look() -> bool:
            return await node.status() == status

        try:
            await _until(look)
        except TimeoutError:
            raise AssertionError(f"{node.key} is {await node.status()}, not {status}") from None

    return has
