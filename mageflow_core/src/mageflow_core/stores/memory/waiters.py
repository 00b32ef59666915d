"""Those who wait for a node to end or a run to settle."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mageflow_core.names import is_below, parent_of

Waiter = tuple[str, asyncio.Future[None]]  # path, future


class Waiters:
    """Woken by the step that may have changed what they wait for; they look again themselves."""

    def __init__(self) -> None:
        self._by_run: dict[str, set[Waiter]] = {}

    def __len__(self) -> int:
        """Those that nothing has woken yet."""
        return sum(not f.done() for waiters in self._by_run.values() for _, f in waiters)

    async def wait(self, run_id: str, path: str) -> None:
        waiter = (path, asyncio.get_running_loop().create_future())
        self._by_run.setdefault(run_id, set()).add(waiter)
        try:
            await waiter[1]
        finally:
            waiting = self._by_run.get(run_id, set())
            waiting.discard(waiter)
            if not waiting:
                self._by_run.pop(run_id, None)

    def wake(self, run_id: str, ended: Sequence[str], *, settled: bool) -> None:
        """ended: also what is to stop. What is beside it may be skipped now."""
        for path, future in self._by_run.get(run_id, ()):
            concerned = settled or any(_is_concerned(path, top) for top in ended)
            if concerned and not future.done():
                future.set_result(None)

    def close(self, error: Exception) -> None:
        """Nobody will wake them any more."""
        for waiters in self._by_run.values():
            for _, future in waiters:
                if not future.done():
                    future.set_exception(error)


def _is_concerned(path: str, top: str) -> bool:
    above = parent_of(top)
    return is_below(path, top) or (above is not None and path != above and is_below(path, above))
