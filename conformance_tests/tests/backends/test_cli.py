"""The commands that are about backends."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Self

import pytest

from mageflow_conformance import backends
from mageflow_conformance.backends import Outcome, Requirement, Trials, requirements
from mageflow_conformance.backends.harnesses import AsyncioHarness
from mageflow_conformance.backends.running import State
from mageflow_conformance.cli import main
from mageflow_conformance.pages import backends_table
from mageflow_conformance.servers import require_redis


def command(*arguments: str | Path) -> int:
    """The exit code."""
    with pytest.raises(SystemExit) as ended:
        main([str(each) for each in arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


class TheirHarness(AsyncioHarness):
    name = "theirs"


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a module `theirs` with a harness in it."""
    module = ModuleType("theirs")
    vars(module).update(Harness=TheirHarness, other=1)
    monkeypatch.setitem(sys.modules, "theirs", module)


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> dict[str, State]:
    """Nothing is started, and all pass, but for what a test puts here."""
    said: dict[str, State] = {}

    class Pretended(Trials):
        @property
        def store_said(self) -> str:
            return "nothing"

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            """Nothing was opened."""

        async def all(
            self, wanted: Sequence[Requirement], *, at_once: int = 4
        ) -> AsyncIterator[Outcome]:
            for each in wanted:
                state = said.get(each.id, "passed")
                reason = "" if state == "passed" else f"as {each.id} is"
                yield Outcome(
                    id=each.id, level=each.level, state=state, reason=reason, details="Traceback"
                )

    monkeypatch.setattr(backends, "Trials", Pretended)
    return said


# --- run ------------------------------------------------------------------------------------------
def test_a_backend_is_tried_on_its_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    require_redis()
    path = tmp_path / "report.json"
    # When
    code = command("run", "asyncio", "--only", "B-SUBMIT-01", "--report", path)
    # Then
    report = json.loads(path.read_text("utf-8"))
    assert code == 0, report
    (outcome,) = report["requirements"]
    assert (outcome["id"], outcome["state"]) == ("B-SUBMIT-01", "passed")
    assert outcome["evidence"] > 0
    assert (report["complete"], report["conformant"]) == (False, False)
    assert report["store"].startswith("Redis ")
    said = capsys.readouterr()
    assert said.out == (
        "asyncio: 1 passed. not known to be conformant: not all requirements were run.\n"
    )
    assert said.err == ".\n"


def test_one_that_meets_everything_is_told_so(
    states: dict[str, State], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    states["B-SUBMIT-03"] = "declined"
    # When
    code = command("run", "asyncio", "--report", tmp_path / "report.json")
    # Then
    assert code == 0
    report = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert (report["name"], report["conformant"]) == ("asyncio", True)
    assert [each["id"] for each in report["requirements"]] == [each.id for each in requirements()]
    said = capsys.readouterr()
    assert said.out.splitlines()[0] == "declined       B-SUBMIT-03: as B-SUBMIT-03 is"
    assert said.out.splitlines()[-1].endswith("1 declined. conformant.")
    assert said.err == "." * 2 + "-" + "." * (len(requirements()) - 3) + "\n"


def test_one_that_fails_is_told_where_and_why(
    states: dict[str, State], capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    states["B-SUBMIT-02"] = "failed"
    # When
    code = command("run", "asyncio", "--only", "b-submit")
    # Then
    assert code == 1
    said = capsys.readouterr()
    assert "failed         B-SUBMIT-02: as B-SUBMIT-02 is" in said.out
    assert said.out.splitlines()[-1].endswith("1 failed. not conformant.")
    assert "--- B-SUBMIT-02\nTraceback" in said.err


def test_some_are_tried_by_the_beginning_of_their_ids(
    states: dict[str, State], tmp_path: Path
) -> None:
    path = tmp_path / "report.json"
    only = ("--only", "b-submit-01", "--only", "B-SUBMIT-03")
    assert command("run", "asyncio", *only, "--report", path) == 0
    report = json.loads(path.read_text("utf-8"))
    assert [each["id"] for each in report["requirements"]] == ["B-SUBMIT-01", "B-SUBMIT-03"]


@pytest.mark.usefixtures("importable")
def test_a_harness_need_not_be_installed(states: dict[str, State], tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    assert command("run", "whatever", "--harness", "theirs:Harness", "--report", path) == 0
    report = json.loads(path.read_text("utf-8"))
    assert (report["name"], report["adapter"]["backend"]) == ("theirs", "asyncio")


@pytest.mark.usefixtures("importable")
@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["run", "asincio"], "did you mean 'asyncio'?"),
        (["run", "nonsense"], "no harness 'nonsense' is installed in mageflow.conformance"),
        (["run", "asyncio", "--only", "B-NOPE-01"], "no requirement has the id 'B-NOPE-01'"),
        (["run", "x", "--harness", "nobody:X"], "No module named 'nobody'"),
        (["run", "x", "--harness", "theirs:Missing"], "Missing"),
        (["run", "x", "--harness", "theirs"], "cannot be had"),
        (["run", "x", "--harness", "theirs:other"], "no subclass of Harness"),
        (["run", "asyncio", "--report", "/no/such/folder/x.json"], "No such file"),
        (["explain", "B-NOPE-01"], "near are B-"),
        (["report", "/no/such/report.json"], "No such file"),
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


# --- list, explain, table, report -----------------------------------------------------------------
def test_harnesses_are_listed_with_where_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("list") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["asyncio", "mageflow_conformance.backends.harnesses:AsyncioHarness"] in lines


def test_a_requirement_is_explained_by_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("explain", "b-submit-01") == 0
    said = capsys.readouterr().out
    assert said.startswith("B-SUBMIT-01 (core)\n")
    assert "async def by_name(stage: Stage)" in said


def test_the_page_of_requirements_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("table", "backends") == 0
    assert capsys.readouterr().out == backends_table()


def test_reports_are_printed_side_by_side(
    states: dict[str, State], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given
    first, second, broken = (tmp_path / name for name in ("a.json", "b.json", "broken.json"))
    command("run", "asyncio", "--report", first)
    states["B-SUBMIT-01"] = "failed"
    command("run", "asyncio", "--report", second)
    broken.write_text(json.dumps({"drops": ["B-SUBMIT-02"]}), "utf-8")
    capsys.readouterr()
    # When
    code = command("report", first, second, "--broken", broken)
    # Then
    assert code == 0
    said = capsys.readouterr().out
    assert "| | asyncio | asyncio |" in said
    assert "| `B-SUBMIT-01` | yes | **no** | *untested* |" in said
    assert "| `B-SUBMIT-02` | yes | yes | drops |" in said


def test_a_file_that_is_no_report_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.json").write_text("{", "utf-8")
    assert command("report", tmp_path / "x.json") == 2
    assert "x.json is no report: " in capsys.readouterr().err
