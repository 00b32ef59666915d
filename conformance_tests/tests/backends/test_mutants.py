"""A requirement that no broken backend fails would show nothing."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from mutants import MENDED, MUTANTS, Mutant

from mageflow_conformance.backends import (
    Harness,
    Outcome,
    Trials,
    requirement_of,
    requirements,
)
from mageflow_conformance.backends.harnesses import harness_named, harness_names
from mageflow_conformance.servers import require_redis

HERE = Path(__file__).parent
SHOWN = HERE.parents[1] / "mutants.json"
BROKEN_AT_ONCE = 12  # most of the time one waits here for what never comes
WHOLE_AT_ONCE = 4
PAIRS = [(mutant, each) for mutant in MUTANTS for each in mutant.ids]
MENDED_PAIRS = [(mutant, each) for mutant in MENDED for each in mutant.ids]
WHOLE = sorted({(mutant.harness, each) for mutant, each in PAIRS})
TRACEBACK = re.compile(r"^Traceback.*?\n((?:  .*\n)+)(\w.*)", re.MULTILINE)
FRAME = re.compile(r'^  File "([^"<]+)", line', re.MULTILINE)


class Tried:
    """Outcomes. All that were selected of a harness are tried together, at the first question.

    stumbled: errors that mutants have raised themselves, which is not what they are for.
    """

    def __init__(self, wanted: Sequence[tuple[str, str, str]]) -> None:
        self._wanted = wanted
        self._outcomes: dict[tuple[str, str, str], Outcome] = {}
        self._over: set[str] = set()
        self.stumbled: list[str] = []

    def outcome(self, harness: str, place: str, requirement_id: str) -> Outcome:
        if harness not in self._over:
            self._over.add(harness)
            self._try_all(harness_named(harness))
        return self._outcomes[harness, place, requirement_id]

    def _try_all(self, harness: Harness) -> None:
        require_redis()
        with Trials(harness, path=[str(HERE)]) as trials:
            asyncio.run(self._try(trials))
            for log in trials.logs():
                self.stumbled += stumbles(log.read_text("utf-8", "replace"))

    async def _try(self, trials: Trials) -> None:
        mine = [each for each in self._wanted if each[0] == trials.harness.name]
        broken = {mutant.place for mutant in MUTANTS}
        for at_once, wanted in (
            (BROKEN_AT_ONCE, [each for each in mine if each[1] in broken]),
            (WHOLE_AT_ONCE, [each for each in mine if each[1] not in broken]),
        ):
            alone = [each for each in wanted if requirement_of(each[2]).alone]
            beside = [each for each in wanted if each not in alone]
            await self._try_some(trials, beside, at_once)
            await self._try_some(trials, alone, 1)

    async def _try_some(
        self, trials: Trials, wanted: Sequence[tuple[str, str, str]], at_once: int
    ) -> None:
        room = asyncio.Semaphore(at_once)

        async def attempt(harness: str, place: str, requirement_id: str) -> None:
            async with room:
                outcome = await trials.run(requirement_of(requirement_id), breaks=place)
            self._outcomes[harness, place, requirement_id] = outcome

        await asyncio.gather(*(attempt(*each) for each in wanted))


def stumbles(printed: str) -> list[str]:
    """Errors of which the last frame is in a mutant's module."""
    found = []
    for frames, error in TRACEBACK.findall(printed):
        places = FRAME.findall(frames)
        if places and "/mutants/" in places[-1]:
            found.append(f"{places[-1]}: {error}")
    return found


@pytest.fixture(scope="session")
def tried(request: pytest.FixtureRequest) -> Tried:
    wanted = set()
    for item in request.session.items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if "whole" in params:
            harness, requirement_id = params["whole"]
            wanted.add((harness, "", requirement_id))
        elif "mutant" in params:
            mutant = params["mutant"]
            wanted.add((mutant.harness, mutant.place, params["fails"]))
    return Tried(sorted(wanted))


def of_pair(value: object) -> str:
    return value.name.replace(" ", "-") if isinstance(value, Mutant) else str(value)


def need(harness: str) -> None:
    if harness not in harness_names():
        pytest.skip(f"there is no harness {harness!r}: its adapter is not installed")


@pytest.mark.timeout(1_500)  # the first one of a harness waits for all of them
@pytest.mark.parametrize(("mutant", "fails"), PAIRS, ids=of_pair)
def test_a_broken_backend_fails_what_it_breaks(tried: Tried, mutant: Mutant, fails: str) -> None:
    need(mutant.harness)
    outcome = tried.outcome(mutant.harness, mutant.place, fails)
    assert outcome.state == "failed"
    assert outcome.reason


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize(("mutant", "fails"), MENDED_PAIRS, ids=of_pair)
def test_what_the_core_makes_up_for_fails_nothing(tried: Tried, mutant: Mutant, fails: str) -> None:
    outcome = tried.outcome(mutant.harness, mutant.place, fails)
    assert outcome.state == "passed", outcome.details


@pytest.mark.timeout(1_500)
@pytest.mark.parametrize("whole", WHOLE, ids="-".join)
def test_the_whole_one_meets_it_beside_the_broken_ones(
    tried: Tried, whole: tuple[str, str]
) -> None:
    harness, requirement_id = whole
    need(harness)
    outcome = tried.outcome(harness, "", requirement_id)
    assert outcome.state in ("passed", "declined"), outcome.details


def test_no_mutant_stumbles_itself(tried: Tried) -> None:
    assert tried.stumbled == []


# --- what they are --------------------------------------------------------------------------------
def test_names_of_mutants_are_unique_and_what_they_fail_is_there() -> None:
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))
    assert all(mutant.ids for mutant in MUTANTS)
    assert {each for _, each in PAIRS} <= {each.id for each in requirements()}


def test_what_is_shown_of_mutants_is_current() -> None:
    shown = json.loads(SHOWN.read_text("utf-8"))
    assert shown == {mutant.name: list(mutant.ids) for mutant in MUTANTS}, (
        "run: PYTHONPATH=conformance_tests/tests/backends python -m mutants > "
        "conformance_tests/mutants.json"
    )


def test_most_requirements_are_failed_by_some_mutant() -> None:
    """The page of reports names the others."""
    untested = {each.id for each in requirements()} - {each for _, each in PAIRS}
    assert len(untested) < len(requirements()) / 4, sorted(untested)


def test_an_error_of_a_mutant_is_told_from_one_that_passes_by() -> None:
    mine = 'Traceback (most recent call last):\n  File "/a/core.py", line 1, in x\n    y()\n'
    own = f'{mine}  File "/b/mutants/times.py", line 4, in y\n    z\nNameError: z\n'
    passing = f'{mine}  File "/b/mutants/times.py", line 4, in y\n    z()\n'
    passing += '  File "/a/body.py", line 2, in z\n    raise ValueError\nValueError\n'
    assert stumbles(f"begun\n{own}ended\n{passing}") == ["/b/mutants/times.py: NameError: z"]
