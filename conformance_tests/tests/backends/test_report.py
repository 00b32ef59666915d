"""What a report says of outcomes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mageflow_conformance.backends import SPEC, Harness, Outcome, Report, requirements
from mageflow_conformance.backends.running import State


class Real(Harness):
    name = "real-one"
    backend = "asyncio"

    def versions(self) -> dict[str, str]:
        return {"Engine": "1.2"}


class Emulated(Real):
    name = "emulated-one"
    fidelity = "emulated"


class Unknown(Real):
    """Its backend is in no distribution."""

    backend = "made-up"


def outcomes(**states: State) -> list[Outcome]:
    """Of all requirements: passed, but for these ids."""
    said = {name.replace("_", "-"): state for name, state in states.items()}
    return [
        Outcome(
            id=each.id,
            level=each.level,
            state=said.get(each.id, "passed"),
            reason="so it is" if each.id in said else "",
            evidence=3,
        )
        for each in requirements()
    ]


def report_of(found: Sequence[Outcome], harness: Harness | None = None) -> Report:
    return Report(harness or Real(), found, "Redis 7")


def test_one_that_meets_all_on_a_real_engine_is_conformant() -> None:
    report = report_of(outcomes())
    assert (report.complete, report.met, report.conformant) == (True, True, True)
    assert report.verdict == "conformant"
    assert report.words() == f"real-one: {len(requirements())} passed. conformant."


def test_what_is_declined_and_holds_instead_is_met() -> None:
    report = report_of(outcomes(B_SUBMIT_02="declined"))
    assert report.conformant
    assert report.counts["declined"] == 1
    assert "1 declined" in report.words()


@pytest.mark.parametrize("harness", [Real(), Emulated()], ids=lambda each: each.name)
def test_one_failure_is_too_much(harness: Harness) -> None:
    report = report_of(outcomes(B_SUBMIT_01="failed", B_SUBMIT_02="not run"), harness)
    assert [outcome.id for outcome in report.failed] == ["B-SUBMIT-01"]
    assert not report.conformant
    assert report.verdict == "not conformant"


def test_an_emulated_engine_is_never_conformant() -> None:
    report = report_of(outcomes(), Emulated())
    assert (report.met, report.conformant) == (True, False)
    assert report.verdict == "all met on an emulated engine"
    assert report.data()["conformant"] is False


@pytest.mark.parametrize(
    "found",
    [[], outcomes()[1:], outcomes(B_SUBMIT_01="not run")],
    ids=["nothing", "not all", "not run"],
)
def test_what_was_not_run_is_no_pass(found: list[Outcome]) -> None:
    report = report_of(found)
    assert not report.conformant
    assert report.verdict == "not known to be conformant: not all requirements were run"


def test_one_outcome_too_many_is_as_wrong_as_one_too_few() -> None:
    strange = Outcome(id="B-OLD-01", level="core", state="passed")
    assert not report_of([*outcomes(), strange]).complete


def test_the_data_can_be_written_and_read_and_has_all_there_is_to_know() -> None:
    # When
    data: dict[str, Any] = json.loads(json.dumps(report_of(outcomes(B_SUBMIT_03="failed")).data()))
    # Then
    assert list(data) == [
        "spec",
        "suite",
        "at",
        "python",
        "name",
        "adapter",
        "engine",
        "store",
        "complete",
        "conformant",
        "counts",
        "requirements",
    ]
    assert (data["spec"], data["name"], data["store"]) == (SPEC, "real-one", "Redis 7")
    adapter = data["adapter"]
    assert (adapter["backend"], adapter["distribution"]) == ("asyncio", "mageflow-core")
    assert adapter["version"].startswith("0.")
    assert adapter["capabilities"]["embedded"] is True
    assert data["engine"] == {"fidelity": "real", "versions": {"Engine": "1.2"}}
    assert (data["complete"], data["conformant"]) == (True, False)
    assert data["counts"] == {"passed": len(requirements()) - 1, "failed": 1}
    failed = next(each for each in data["requirements"] if each["id"] == "B-SUBMIT-03")
    assert failed == {
        "id": "B-SUBMIT-03",
        "level": "core",
        "state": "failed",
        "reason": "so it is",
        "evidence": 3,
        "seconds": 0.0,
        "measured": {},
        "details": "",
    }


def test_a_backend_of_no_distribution_has_no_source() -> None:
    assert Unknown().source is None
