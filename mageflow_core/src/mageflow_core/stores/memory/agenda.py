"""What becomes due when: a heap whose entries can be moved and removed."""

from __future__ import annotations

import heapq
from itertools import count

from mageflow_core.machine import Timer

Entry = tuple[str, Timer]  # run id, timer


SMALL = 1_000  # entries that are not worth a rebuild


class Agenda:
    """One time per entry. A moved or removed entry stays in the heap until it comes up; the heap
    is rebuilt when most of it is such."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Entry]] = []
        self._current: dict[str, dict[Timer, int]] = {}  # by run, so that a run can be forgotten
        self._size = 0
        self._numbers = count()

    def __len__(self) -> int:
        return self._size

    def set(self, entry: Entry, time: float | None) -> None:
        self._drop(entry)
        if time is not None:
            run_id, timer = entry
            number = next(self._numbers)
            self._current.setdefault(run_id, {})[timer] = number
            self._size += 1
            heapq.heappush(self._heap, (time, number, entry))
        self._tidy()

    def has(self, entry: Entry) -> bool:
        return entry[1] in self._current.get(entry[0], ())

    def forget(self, run_id: str) -> None:
        """The run is gone, and all its entries with it."""
        self._size -= len(self._current.pop(run_id, ()))
        self._tidy()

    def _drop(self, entry: Entry) -> None:
        run_id, timer = entry
        timers = self._current.get(run_id)
        if timers is not None and timers.pop(timer, None) is not None:
            self._size -= 1
            if not timers:
                del self._current[run_id]

    def _is_current(self, number: int, entry: Entry) -> bool:
        run_id, timer = entry
        timers = self._current.get(run_id)
        return timers is not None and timers.get(timer) == number

    def _tidy(self) -> None:
        if len(self._heap) > max(SMALL, 4 * self._size):
            self._heap = [h for h in self._heap if self._is_current(h[1], h[2])]
            heapq.heapify(self._heap)

    def next_time(self) -> float | None:
        while self._heap:
            time, number, entry = self._heap[0]
            if self._is_current(number, entry):
                return time
            heapq.heappop(self._heap)
        return None

    def take(self, now: float, limit: int) -> list[Entry]:
        """Entries that are due, in the order of their times. They are gone from the agenda."""
        taken: list[Entry] = []
        while len(taken) < limit:
            time = self.next_time()
            if time is None or time > now:
                break
            _, _, entry = heapq.heappop(self._heap)
            self._drop(entry)
            taken.append(entry)
        return taken
