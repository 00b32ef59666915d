"""Tasks that many tests of the client run."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mageflow_core import Mageflow


@pytest.fixture
def add(mf: Mageflow) -> Any:
    @mf.task
    async def add(a: int, b: int = 1) -> int:
        return a + b

    return add


@pytest.fixture
def hold(mf: Mageflow) -> Any:
    """A task that runs until it is stopped."""

    @mf.task
    async def hold() -> None:
        await asyncio.Event().wait()

    return hold
