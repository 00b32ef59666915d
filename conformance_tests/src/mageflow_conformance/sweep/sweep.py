"""Many deaths, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from mageflow_conformance.sweep.case import Case
from mageflow_conformance.sweep.lane import Ended, Lane


class Sweep:
    """On lanes that are open. Each works through the cases that are left, one at a time."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = lanes

    async def run(self, cases: Sequence[Case], expected: Ended) -> dict[Case, list[str]]:
        """All of them; gives what was wrong with those where something was."""
        left = list(reversed(cases))
        wrong: dict[Case, list[str]] = {}

        async def work_through(lane: Lane) -> None:
            while left:
                case = left.pop()
                try:
                    found = await lane.die(case, expected)
                except (AssertionError, TimeoutError) as error:
                    found = [f"{type(error).__name__}: {error}"]
                if found:
                    wrong[case] = found

        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(work_through(lane))
        return wrong
