"""Makes `sharing` importable, and gives apps that have a store in common."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from mageflow_core import Mageflow

DOUBLES = str(Path(__file__).parent.parent / "doubles")
if DOUBLES not in sys.path:
    sys.path.insert(0, DOUBLES)

from sharing import SCHEME, World, install, upkeep_threads  # noqa: E402 - from the folder that was just added


@pytest.fixture
def shared_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a store that apps of this test share, as processes would. At the end nothing of
    it may be open, and no thread may be left."""
    install(monkeypatch.setattr)
    url = f"{SCHEME}://test"
    yield url
    world = World.all.pop(url, None)
    assert world is None or world.handles == [], "a handle was not closed"
    assert upkeep_threads() == []


@pytest.fixture
async def make_process(shared_url: str) -> AsyncIterator[Any]:
    """Makes apps that share a store, and are open until the test ends."""
    async with AsyncExitStack() as stack:

        async def make(*, opened: bool = True, **settings: Any) -> Mageflow:
            app = Mageflow(store=shared_url, **settings)
            return await stack.enter_async_context(app) if opened else app

        yield make


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Waits until a condition holds that another thread or process brings about."""

    async def holds(condition: Callable[[], Any], within: float = 10) -> None:
        async with asyncio.timeout(within):
            while not condition():  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.002)

    return holds
