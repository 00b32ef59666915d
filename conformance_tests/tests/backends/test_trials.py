"""What the outcome of a requirement is, whatever happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from mageflow_conformance.backends import Harness, Instead, Requirement, Stage, Trials
from mageflow_conformance.backends.harnesses import AsyncioHarness
from mageflow_conformance.backends.running import Outcome
from mageflow_conformance.flows import call
from mageflow_conformance.processes import Process
from mageflow_core.errors import MageflowError


def requirement(check: Any, **how: Any) -> Requirement:
    return Requirement(**{"id": "B-TEST-01", "text": "It is tried.", "check": check, **how})


async def works(stage: Stage) -> None:
    await stage.worker()


async def idles(stage: Stage) -> None:
    """Nothing is shown by it."""


def instead(check: Any) -> Instead:
    return Instead(text="It is not.", check=check)


# --- one ------------------------------------------------------------------------------------------
async def test_what_a_worker_process_has_written_is_the_evidence_of_a_pass(trials: Trials) -> None:
    # Given
    async def runs(stage: Stage) -> None:
        await stage.worker()
        run = await stage.mf.start(call("step"), {"n": 1})
        assert await run.result(timeout=20) == {"n": 2}
        stage.measured["took"] = 1.5

    # When
    outcome = await trials.run(requirement(runs))
    # Then
    assert (outcome.id, outcome.level, outcome.state) == ("B-TEST-01", "core", "passed")
    assert (outcome.reason, outcome.details) == ("", "")
    assert outcome.evidence == 3  # that it works, that the body began, that it ended
    assert outcome.seconds > 0
    assert outcome.measured == {"took": 1.5}


async def test_a_check_without_evidence_fails_whatever_it_says(trials: Trials) -> None:
    outcome = await trials.run(requirement(idles))
    assert (outcome.state, outcome.evidence) == ("failed", 0)
    assert outcome.reason == "no worker process has written anything: nothing was shown"


async def test_what_this_process_writes_is_no_evidence(trials: Trials) -> None:
    # Given
    async def writes_itself(stage: Stage) -> None:
        stage.ledger.note("serving")

    # When
    outcome = await trials.run(requirement(writes_itself))
    # Then
    assert (outcome.state, outcome.evidence) == ("failed", 0)


async def test_a_failed_assertion_is_told_with_its_text_and_place(trials: Trials) -> None:
    # Given
    async def fails(stage: Stage) -> None:
        await stage.worker()
        raise AssertionError("one body is missing")

    # When
    outcome = await trials.run(requirement(fails))
    # Then
    assert (outcome.state, outcome.reason) == ("failed", "one body is missing")
    assert "in fails" in outcome.details


async def test_an_assertion_without_text_fails_too(trials: Trials) -> None:
    # Given
    async def fails(stage: Stage) -> None:
        await stage.worker()
        raise AssertionError

    # When
    outcome = await trials.run(requirement(fails))
    # Then
    assert outcome.state == "failed"
    assert outcome.reason == "an assertion of the requirement does not hold"


async def test_whatever_a_check_raises_is_a_failure_with_its_traceback(trials: Trials) -> None:
    # Given
    async def breaks(stage: Stage) -> None:
        await stage.worker()
        raise ZeroDivisionError("of the adapter")

    # When
    outcome = await trials.run(requirement(breaks))
    # Then
    assert (outcome.state, outcome.reason) == ("failed", "ZeroDivisionError: of the adapter")
    assert "in breaks" in outcome.details


async def test_errors_of_a_group_are_told(trials: Trials) -> None:
    # Given
    async def breaks(stage: Stage) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0)).add_done_callback(lambda _: None)
            raise ValueError("in a group")

    # When
    outcome = await trials.run(requirement(breaks))
    # Then
    assert outcome.state == "failed"
    assert "ValueError: in a group" in outcome.details


async def test_a_check_that_does_not_end_fails_when_its_time_is_over(trials: Trials) -> None:
    # Given
    async def hangs(stage: Stage) -> None:
        await asyncio.Event().wait()

    # When
    outcome = await trials.run(requirement(hangs, within=2))
    # Then
    assert (outcome.state, outcome.reason) == ("failed", "it took longer than 2 s")
    assert "in hangs" in outcome.details


async def test_a_stage_that_cannot_be_opened_fails(trials: Trials) -> None:
    outcome = await trials.run(requirement(works, settings={"slots": "many"}))
    assert outcome.state == "failed"
    assert "slots cannot be 'many'" in outcome.reason


async def test_processes_end_with_the_requirement_however_it_ends(trials: Trials) -> None:
    # Given
    started: list[Process] = []

    async def fails(stage: Stage) -> None:
        started.append(await stage.worker())
        raise AssertionError("it fails")

    # When
    await trials.run(requirement(fails))
    # Then
    assert not started[0].runs


async def test_each_has_a_namespace_and_a_ledger_of_its_own(trials: Trials) -> None:
    # Given
    seen: list[tuple[str, str]] = []

    async def looks(stage: Stage) -> None:
        seen.append((stage.namespace, str(stage.ledger.path)))
        assert stage.ledger.rows() == []
        await stage.worker()

    # When
    outcomes = [await trials.run(requirement(looks)) for _ in range(2)]
    # Then
    assert {outcome.state for outcome in outcomes} == {"passed"}
    assert all(first != second for first, second in zip(*seen, strict=True))


# --- declined -------------------------------------------------------------------------------------
async def never(stage: Stage) -> None:
    raise AssertionError("it is tried although it does not apply")


async def test_where_the_claim_is_made_the_requirement_is_tried(trials: Trials) -> None:
    outcome = await trials.run(requirement(works, claim="embedded", instead=instead(never)))
    assert (outcome.level, outcome.state, outcome.reason) == ("extended", "passed", "")


async def test_where_it_is_not_what_holds_instead_is(trials: Trials) -> None:
    outcome = await trials.run(requirement(never, claim="redelivers", instead=instead(works)))
    assert (outcome.level, outcome.state) == ("extended", "declined")
    assert outcome.reason == "the backend does not claim 'redelivers'"
    assert outcome.evidence > 0


async def test_what_holds_instead_must_hold(trials: Trials) -> None:
    outcome = await trials.run(requirement(works, claim="redelivers", instead=instead(never)))
    assert outcome.state == "failed"
    assert outcome.reason.startswith("the backend does not claim 'redelivers': it is tried")


async def test_what_holds_instead_needs_evidence_too(trials: Trials) -> None:
    outcome = await trials.run(requirement(works, claim="redelivers", instead=instead(idles)))
    assert (outcome.state, outcome.evidence) == ("failed", 0)


class Lacking(AsyncioHarness):
    lacks = {"B-TEST-01": "its engine has a bug"}  # noqa: RUF012  # as harnesses write it


async def test_a_harness_declines_with_its_reason(trials: Trials) -> None:
    with own(trials, Lacking()):
        outcome = await trials.run(requirement(never, claim="embedded", instead=instead(works)))
    assert (outcome.state, outcome.reason) == ("declined", "its engine has a bug")


async def test_a_core_requirement_cannot_be_declined(trials: Trials) -> None:
    with own(trials, Lacking()):
        outcome = await trials.run(requirement(works))
        failed = await trials.run(requirement(never))
    assert (outcome.level, outcome.state) == ("core", "passed")
    assert failed.state == "failed"


class own:  # noqa: N801  # a function in all but name
    """For a while these trials are of another harness."""

    def __init__(self, trials: Trials, harness: Harness) -> None:
        self._trials, self._harness = trials, harness

    def __enter__(self) -> None:
        self._trials.harness, self._harness = self._harness, self._trials.harness

    def __exit__(self, *_: object) -> None:
        self._trials.harness, self._harness = self._harness, self._trials.harness


# --- all of them ----------------------------------------------------------------------------------
async def test_some_run_at_once_and_those_that_are_to_be_alone_after_all_others(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    here: set[str] = set()
    together: dict[str, int] = {}

    async def tried(self: Trials, wanted: Requirement) -> Outcome:
        here.add(wanted.id)
        for _ in range(5):
            await asyncio.sleep(0)
            together[wanted.id] = max(together.get(wanted.id, 0), len(here))
        here.discard(wanted.id)
        return Outcome(id=wanted.id, level=wanted.level, state="passed")

    monkeypatch.setattr(Trials, "run", tried)
    wanted = [
        requirement(works, id=f"B-TEST-{number:02}", alone=number in (2, 5)) for number in range(7)
    ]
    # When
    outcomes = [each.id async for each in trials.all(wanted, at_once=2)]
    # Then
    assert outcomes == [f"B-TEST-{number:02}" for number in (0, 1, 3, 4, 6, 2, 5)]
    assert (together["B-TEST-02"], together["B-TEST-05"]) == (1, 1)
    assert max(together.values()) == 2


async def test_outcomes_come_as_soon_as_they_are_there(
    trials: Trials, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    go = asyncio.Event()

    async def tried(self: Trials, wanted: Requirement) -> Outcome:
        if wanted.id == "B-TEST-02":
            await go.wait()
        return Outcome(id=wanted.id, level=wanted.level, state="passed")

    monkeypatch.setattr(Trials, "run", tried)
    wanted = [requirement(works, id=f"B-TEST-{number:02}") for number in (1, 2)]
    # When
    coming: AsyncIterator[Outcome] = trials.all(wanted)
    first = await anext(coming)
    go.set()
    second = await anext(coming)
    # Then
    assert (first.id, second.id) == ("B-TEST-01", "B-TEST-02")
    with pytest.raises(StopAsyncIteration):
        await anext(coming)


# --- the engine -----------------------------------------------------------------------------------
class Unstartable(AsyncioHarness):
    name = "unstartable"

    def __init__(self) -> None:
        super().__init__()
        self.stopped = False

    def start(self) -> None:
        raise MageflowError("its engine is not installed")

    def stop(self) -> None:
        self.stopped = True


def test_an_engine_that_cannot_be_started_is_told_and_stopped() -> None:
    # Given
    harness = Unstartable()
    # When
    with pytest.raises(MageflowError, match="not installed"), Trials(harness):
        raise AssertionError("it has begun")
    # Then
    assert harness.stopped


def test_what_runs_are_kept_in_is_told(trials: Trials) -> None:
    assert trials.store_said.startswith("Redis ")
