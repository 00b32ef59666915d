"""Bodies whose worker died: stopped for good at their first suspension.

A process that is killed runs no `finally`. So the coroutine is not cancelled but never resumed;
only when the app closes it is cancelled, so that what it holds is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from contextlib import suppress
from types import coroutine
from typing import Any

from mageflow.testing.faults import Died

Body = Coroutine[Any, Any, Any]


class Graves:
    """The frozen bodies of one test app."""

    def __init__(self) -> None:
        self._keepers: set[asyncio.Task[None]] = set()

    def freeze(self, body: Body) -> None:
        """Run a body to its first suspension, or its end, and raise `Died`."""
        try:
            awaited = body.send(None)
        except StopIteration:
            raise Died from None
        # As a task does that takes over what its coroutine waits for.
        if getattr(awaited, "_asyncio_future_blocking", False):
            awaited._asyncio_future_blocking = False  # noqa: SLF001 - as tasks do
        keeper = asyncio.get_running_loop().create_task(_keep(body))
        self._keepers.add(keeper)
        keeper.add_done_callback(self._keepers.discard)
        raise Died

    async def clear(self) -> None:
        """Cancel the frozen bodies, and wait until they have ended."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)


async def _keep(body: Body) -> None:
    try:
        await asyncio.get_running_loop().create_future()  # also ended by the loop's own end
    finally:
        # How a dead body ends is nobody's concern.
        with suppress(asyncio.CancelledError, Exception):
            await _thrown(body, asyncio.CancelledError())


@coroutine
def _thrown(body: Body, error: BaseException) -> Generator[Any, Any, None]:
    """Go on with a body where it was stopped, with an error raised there."""
    try:
        awaited = body.throw(error)
        while True:
            try:
                sent = yield awaited
            except BaseException as raised:  # noqa: BLE001 - handed on, as `yield from` does
                awaited = body.throw(raised)
            else:
                awaited = body.send(sent)
    except StopIteration:
        return
