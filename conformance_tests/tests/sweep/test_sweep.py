"""Cases are shared out over lanes."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from mageflow_conformance.sweep import Case, Lane, Sweep

CASES = [Case("chain", "stay", f"point.{number}") for number in range(10)]
EXPECTED: Any = "as it was"


class FakeLane:
    """Finds what it is told to; takes a turn of the loop for each case."""

    def __init__(self, wrong: dict[str, list[str] | Exception] | None = None) -> None:
        self.seen: list[Case] = []
        self.now = 0
        self._wrong = wrong or {}

    async def die(self, case: Case, expected: object) -> list[str]:
        assert expected is EXPECTED
        self.now += 1
        assert self.now == 1, "two at once on one lane"
        await asyncio.sleep(0)
        self.now -= 1
        self.seen.append(case)
        found = self._wrong.get(case.point, [])
        if isinstance(found, Exception):
            raise found
        return found


def sweep(*lanes: FakeLane) -> Sweep:
    return Sweep([cast("Lane", lane) for lane in lanes])


async def test_each_case_is_run_once_on_some_lane() -> None:
    lanes = [FakeLane() for _ in range(3)]
    assert await sweep(*lanes).run(CASES, EXPECTED) == {}
    assert sorted(str(case) for lane in lanes for case in lane.seen) == sorted(map(str, CASES))
    assert all(lane.seen for lane in lanes)


async def test_what_was_wrong_is_told_of_all_cases_and_the_others_are_run() -> None:
    lane = FakeLane(
        {
            "point.1": ["G2 r: ran again", "G4 r: too early"],
            "point.3": AssertionError("it has not ended"),
            "point.5": TimeoutError("too late"),
        }
    )
    wrong = await sweep(lane).run(CASES, EXPECTED)
    assert {case.point: found for case, found in wrong.items()} == {
        "point.1": ["G2 r: ran again", "G4 r: too early"],
        "point.3": ["AssertionError: it has not ended"],
        "point.5": ["TimeoutError: too late"],
    }
    assert len(lane.seen) == len(CASES)
