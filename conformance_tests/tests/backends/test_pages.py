"""Requirements and reports as people read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance import results
from mageflow_conformance.backends import Instead, Requirement, requirements
from mageflow_conformance.backends.manifest import groups
from mageflow_conformance.pages import backends_table, of_backend

HERE = Path(__file__).parents[2]
REFERENCE = HERE.parent / "docs" / "reference"
PAGE = REFERENCE / "conformance-backends.md"
FIRST, SECOND = (each.id for each in requirements()[:2])


async def tried(_stage: Any) -> None:
    assert _stage, "it is tried so"


async def tried_instead(_stage: Any) -> None:
    """It is never run."""


# --- requirements ---------------------------------------------------------------------------------
def test_the_page_of_the_documentation_is_current() -> None:
    said = "run: mageflow-conformance table backends > that page"
    assert PAGE.read_text("utf-8") == backends_table(), said


def test_the_page_has_each_requirement_once_in_its_group() -> None:
    text = backends_table()
    assert [text.count(f"| `{each.id}` |") for each in requirements()] == [1] * len(requirements())
    for title, group in groups().items():
        section = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
        assert all(f"| `{each.id}` | {each.level} | {each.text}" in section for each in group)


def test_a_requirement_is_explained_with_how_it_is_tried() -> None:
    said = of_backend(Requirement(id="B-TEST-01", text="It holds.", check=tried))
    assert said.startswith("B-TEST-01 (core)\n\nIt holds.\n")
    assert "it is tried so" in said
    assert "instead" not in said


def test_an_extended_one_with_what_holds_instead() -> None:
    said = of_backend(
        Requirement(
            id="B-TEST-01",
            text="It holds.",
            check=tried,
            claim="priority",
            instead=Instead(text="Something else does.", check=tried_instead),
        )
    )
    assert "(extended)" in said
    assert "Applies where 'priority' is claimed. Of others holds instead:" in said
    assert "Something else does." in said


# --- reports --------------------------------------------------------------------------------------
def report(name: str = "one", fidelity: str = "real", **states: str) -> dict[str, Any]:
    """All passed, but for these ids; `absent`: without an outcome."""
    said = {key.replace("_", "-"): state for key, state in states.items()}
    return {
        "spec": "0.4",
        "at": "2026-01-02T03:04:05+00:00",
        "python": "3.11.7",
        "name": name,
        "adapter": {"backend": name, "distribution": f"mageflow-{name}", "version": "1.2"},
        "engine": {"fidelity": fidelity, "versions": {"Engine": "3", "Client": "4"}},
        "store": "Redis 7",
        "requirements": [
            {"id": each.id, "state": said.get(each.id, "passed"), "reason": f"as {name} is"}
            for each in requirements()
            if said.get(each.id) != "absent"
        ],
    }


def row(text: str, first: str) -> list[str]:
    (found,) = [line for line in text.splitlines() if line.startswith(f"| {first} |")]
    return [cell.strip() for cell in found.strip("|").split("|")][1:]


def test_reports_stand_side_by_side_with_what_was_tried_on_what() -> None:
    # Given
    second = report("two", B_SUBMIT_01="failed", B_SUBMIT_02="declined", B_SUBMIT_03="absent")
    # When
    text = results.page([report(), second])
    # Then
    assert row(text, "verdict") == ["conformant", "**1 failed**"]
    assert row(text, "engine") == ["Engine 3, Client 4 (real)"] * 2
    assert row(text, "adapter") == ["mageflow-one 1.2", "mageflow-two 1.2"]
    assert row(text, "runs are kept in") == ["Redis 7"] * 2
    assert row(text, "tried") == ["2026-01-02"] * 2
    assert row(text, "`B-SUBMIT-01`") == ["yes", "**no**"]
    assert row(text, "`B-SUBMIT-02`") == ["yes", "declined"]
    assert row(text, "`B-SUBMIT-03`") == ["yes", "not run"]
    assert "- two, `B-SUBMIT-01`: as two is" in text.partition("\n## Failed\n")[2]
    assert "- two, `B-SUBMIT-02`: as two is" in text.partition("\n## Declined\n")[2]


def test_every_requirement_has_its_row_in_its_group() -> None:
    text = results.page([report()])
    assert [row(text, f"`{each.id}`") for each in requirements()] == [["yes"]] * len(requirements())
    assert all(f"\n## {title}\n" in text for title in groups())
    assert "Failed" not in text
    assert "\n## Declined\n" not in text
    assert "broken" not in text


@pytest.mark.parametrize(
    ("of", "said"),
    [
        (report(), "conformant"),
        (report(B_SUBMIT_01="declined"), "conformant"),
        (report(fidelity="emulated"), "all met, emulated"),
        (report(B_SUBMIT_01="absent"), "not known: 1 were not run"),
        (report(B_SUBMIT_01="not run"), "not known: 1 were not run"),
        (report(B_SUBMIT_01="failed", B_SUBMIT_02="absent"), "**1 failed**"),
    ],
)
def test_the_verdict_is_by_the_requirements_that_there_are_now(of: Any, said: str) -> None:
    assert results.verdict(of) == said


def test_what_the_report_says_of_itself_counts_for_nothing() -> None:
    older = {**report(B_SUBMIT_01="absent"), "complete": True, "conformant": True}
    assert results.verdict(older) == "not known: 1 were not run"


def test_broken_backends_stand_beside_what_they_fail() -> None:
    # When
    text = results.page([report()], {"drops": [FIRST], "doubles": [FIRST, SECOND]})
    # Then
    assert row(text, f"`{FIRST}`") == ["yes", "drops, doubles"]
    assert row(text, f"`{SECOND}`") == ["yes", "doubles"]
    assert row(text, f"`{requirements()[2].id}`") == ["yes", "*untested*"]


def test_tables_are_whole() -> None:
    lines = results.page([report(), report("two")], {}).splitlines()
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {4, 5}
    assert all(line.startswith("| ") and line.endswith(" |") for line in rows)


# --- the project's own ----------------------------------------------------------------------------
def test_the_page_of_reports_is_current() -> None:
    # Given
    reports = [
        json.loads(path.read_text("utf-8")) for path in sorted((HERE / "reports").glob("*.json"))
    ]
    broken = json.loads((HERE / "mutants.json").read_text("utf-8"))
    # Then
    page = (REFERENCE / "conformance-reports.md").read_text("utf-8")
    assert page == results.page(reports, broken), (
        "run: mageflow-conformance report conformance_tests/reports/*.json "
        "--broken conformance_tests/mutants.json > that page"
    )


@pytest.mark.parametrize(
    "path", sorted((HERE / "reports").glob("*.json")), ids=lambda path: path.stem
)
def test_a_committed_report_is_of_the_whole_suite_on_a_real_engine(path: Path) -> None:
    said = json.loads(path.read_text("utf-8"))
    assert said["name"] == path.stem
    assert said["complete"] is True
    assert said["engine"]["fidelity"] == "real"
    shown = [each for each in said["requirements"] if each["state"] in ("passed", "declined")]
    assert all(each["evidence"] > 0 for each in shown)
