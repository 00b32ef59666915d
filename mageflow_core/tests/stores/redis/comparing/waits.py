"""Those who wait in both stores for the same: they are woken by the same steps."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from comparing.answers import answer_of, assert_same

SOON = 3.0  # seconds; a waiter that nobody tells looks again after 5


@dataclass
class Wait:
    what: str
    mine: asyncio.Task[Any]
    other: asyncio.Task[Any]


class Waits:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._open: list[Wait] = []

    def __len__(self) -> int:
        return len(self._open)

    def begin(
        self, what: str, mine: Coroutine[Any, Any, Any], other: Coroutine[Any, Any, Any]
    ) -> None:
        tasks = [self._loop.create_task(each) for each in (mine, other)]
        self._open.append(Wait(what, *tasks))

    def compare(self) -> None:
        """After a step."""
        if not self._open:
            return
        self._loop.run_until_complete(asyncio.sleep(0))
        for wait in [*self._open]:
            if wait.mine.done():
                self._open.remove(wait)
                self._loop.run_until_complete(asyncio.wait([wait.other], timeout=SOON))
                assert wait.other.done(), f"{wait.what}: nobody was told in Redis"
                assert_same(answer_of(wait.other.result), answer_of(wait.mine.result), wait.what)
            else:
                assert not wait.other.done(), f"{wait.what}: over in Redis, not in memory"

    def close(self) -> None:
        for wait in [*self._open]:
            self._end(wait)

    def _end(self, wait: Wait) -> None:
        self._open.remove(wait)
        for task in (wait.mine, wait.other):
            task.cancel()
        self._loop.run_until_complete(asyncio.wait([wait.mine, wait.other]))
