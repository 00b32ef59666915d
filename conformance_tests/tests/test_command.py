"""The command line, and the pages that it prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import pytest

from mageflow_conformance.cli import main
from mageflow_conformance.pages import table
from mageflow_conformance.report import Report
from mageflow_conformance.stores import MemoryHarness, harness_of, requirements
from mageflow_core.machine import Status
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.protocol import Store, StoreOptions

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "conformance-stores.md"


def command(*arguments: str) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


class Forgetful(MemoryStore):
    """Counts nothing."""

    async def counts(self) -> Mapping[Status, int]:
        return {}


class ForgetfulHarness(MemoryHarness):
    def make(self, options: StoreOptions, *, hastened: bool) -> Store:
        return Forgetful.from_url(self.url, options=options)


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a module `theirs` with a harness in it."""
    module = ModuleType("theirs")
    vars(module).update(Harness=ForgetfulHarness, other=1)
    monkeypatch.setitem(sys.modules, "theirs", module)


# --- store ------------------------------------------------------------------------------------
def test_a_store_that_meets_the_requirements_is_told_so_and_the_report_has_them_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    path = tmp_path / "report.json"
    # When
    code = command("store", "memory://", "--report", str(path))
    # Then
    assert code == 0
    report = json.loads(path.read_text("utf-8"))
    assert [each["id"] for each in report["requirements"]] != []
    assert {each["id"] for each in report["requirements"]} == {each.id for each in requirements()}
    assert {each["state"] for each in report["requirements"]} == {"passed", "not applicable"}
    assert (report["complete"], report["conformant"]) == (True, True)
    assert sum(report["counts"].values()) == len(requirements())
    store = report["store"]
    assert (store["name"], store["url"], store["shared"]) == ("memory", "memory://", False)
    assert store["version"].startswith("mageflow-core ")
    assert store["durable"] == "until this process ends"
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].endswith("conformant.")
    assert "not applicable S-TWIN-01: the store says that it is not shared" in said.out
    assert said.err.count(".") == report["counts"]["passed"]


def test_some_are_tried_by_the_beginning_of_their_ids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    path = tmp_path / "report.json"
    # When
    code = command(
        "store", "memory://", "--only", "s-find", "--only", "S-READ-01", "--report", str(path)
    )
    # Then
    assert code == 0
    report = json.loads(path.read_text("utf-8"))
    assert {each["id"][:7] for each in report["requirements"]} == {"S-FIND-", "S-READ-"}
    assert (report["complete"], report["conformant"]) == (False, False)
    assert "not known to be conformant" in capsys.readouterr().out


@pytest.mark.usefixtures("importable")
def test_a_store_that_fails_is_told_where_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    # When
    code = command("store", "memory://", "--only", "S-FIND-03", "--harness", "theirs:Harness")
    # Then
    assert code == 1
    said = capsys.readouterr()
    assert "failed         S-FIND-03:" in said.out
    assert said.out.splitlines()[-1].endswith("1 failed. not conformant.")
    assert "AssertionError" in said.err


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["store", "redsi://x"], "did you mean 'redis'?"),
        (["store", "no url"], "names no store"),
        (["store", "memory://", "--only", "S-NOPE-01"], "no requirement has the id 'S-NOPE-01'"),
        (["store", "memory://", "--harness", "theirs"], "expected module:class"),
        (["store", "memory://", "--harness", "nobody:X"], "No module named 'nobody'"),
        (["store", "memory://", "--harness", "theirs:Missing"], "Missing"),
        (["store", "memory://", "--harness", "theirs:other"], "no subclass of StoreHarness"),
        (["store", "memory://", "--report", "/no/such/folder/x.json"], "No such file"),
        (["explain", "S-NOPE-01"], "no requirement has the id 'S-NOPE-01'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # When
    code = command(*arguments)
    # Then
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert why in said.err
    assert len(said.err.splitlines()) == 1


def test_passwords_are_not_shown() -> None:
    # Given
    harness = harness_of("redis://app:s3cret@127.0.0.1:1/0")
    # When
    text = json.dumps(Report(harness, []).data())
    # Then
    assert "redis://app:***@127.0.0.1:1/0" in text
    assert "s3cret" not in text


# --- pages ------------------------------------------------------------------------------------
def test_a_requirement_is_explained_with_how_it_is_tried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # When
    code = command("explain", "s-outbox-08")
    # Then
    said = capsys.readouterr().out
    assert code == 0
    assert said.startswith("S-OUTBOX-08 (extended)\n")
    assert "Of others holds instead:" in said
    assert "async def passed_on(bench: Bench)" in said


def test_what_a_requirement_wants_of_the_harness_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command("explain", "S-REMOVE-04") == 0
    assert "the harness can tell how much is stored" in capsys.readouterr().out


def test_the_page_of_the_documentation_is_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("table") == 0
    assert capsys.readouterr().out == table()
    assert PAGE.read_text("utf-8") == table(), "run: mageflow-conformance table > that page"


@pytest.mark.parametrize("each", requirements(), ids=lambda each: each.id)
def test_each_requirement_is_documented(each: object) -> None:
    requirement_id = getattr(each, "id", "")
    assert f"| `{requirement_id}` |" in PAGE.read_text("utf-8")


def test_the_version_and_usage_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("--version") == 0
    assert "mageflow-conformance 0." in capsys.readouterr().out
    assert command() == 2
    assert "COMMAND" in capsys.readouterr().err
