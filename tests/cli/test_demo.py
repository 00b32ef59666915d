"""`mageflow demo`."""

import json
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Command = Callable[..., CompletedProcess[str]]
Says = Callable[..., str]
Ran = Callable[..., Any]

SMALL = """\
class Counter:
    def up(self):
        self.n += 1

    async def down(self):
        if self.n:
            def inner():
                pass
            self.n -= 1
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two packages, a text, a file that does not parse, and what is not to be looked at."""
    files = {
        "top.py": b"x = 1",
        "pkg/small.py": SMALL.encode(),
        "pkg/deep/latin.py": "# -*- coding: latin-1 -*-\nname = 'Jos\xe9'\n".encode("latin-1"),
        "pkg/old.py": b"print 'hello'\n",
        "pkg/zero.py": b"x = 1\x00\n",
        "text/notes.txt": b"two words\nand \xff more\n",
        "text/empty.py": b"",
        "text/picture.png": b"not a source\n",
        "pkg/__pycache__/small.py": b"x = 1\n",
        "site-packages/other.py": b"x = 1\n",
        ".hidden/secret.py": b"x = 1\n",
    }
    for name, content in files.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "tree"


def report_of(command: Command, *arguments: str) -> dict[str, Any]:
    ran = command("demo", *arguments, "--json")
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    report: dict[str, Any] = json.loads(ran.stdout)
    return report


def test_the_report_has_what_is_in_the_files(tree: Path, command: Command) -> None:
    # When the folder is measured
    report = report_of(command, str(tree))
    # Then each source is counted, and nothing else
    assert report["folder"] == str(tree)
    assert report["totals"] == {
        "files": 7,
        "lines": 9 + 1 + 2 + 1 + 1 + 2 + 0,
        "words": 18 + 3 + 8 + 2 + 3 + 5 + 0,
        "functions": 3,
        "classes": 1,
    }
    assert list(report["packages"]) == ["pkg", "text", "."]
    assert report["packages"]["text"]["files"] == 2
    assert report["longest"] == [{"name": "down", "path": "pkg/small.py", "line": 5, "lines": 5}]
    assert (report["failed"], report["errors"]) == (0, [])


def test_a_file_that_does_not_parse_is_counted_as_text(tree: Path, command: Command) -> None:
    report = report_of(command, str(tree))
    assert [each["path"] for each in report["unparsed"]] == ["pkg/old.py", "pkg/zero.py"]
    assert report["unparsed"][0]["problem"].startswith("line 1: Missing parentheses")
    assert "null bytes" in report["unparsed"][1]["problem"]


def test_the_report_says_what_ran(tree: Path, command: Command) -> None:
    run = report_of(command, str(tree))["run"]
    # discover, seven files of which two went on as text, summarize, and the callback
    assert run["tasks"] == 1 + 7 + 2 + 1 + 1
    assert run["status"] == "done"
    assert run["seconds"] > 0
    assert run["callbacks"] == {"announce": "16 lines in 7 files, 2 of them no valid Python"}


def test_the_report_has_these_keys_and_no_others(tree: Path, command: Command) -> None:
    report = report_of(command, str(tree))
    assert set(report) == {
        "folder",
        "totals",
        "packages",
        "longest",
        "unparsed",
        "failed",
        "errors",
        "run",
    }
    assert set(report["run"]) == {"run", "status", "tasks", "seconds", "callbacks"}


def test_for_people_it_prints_tables_and_what_ran(tree: Path, command: Command) -> None:
    ran = command("demo", str(tree))
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr == ""
    for expected in (
        f"Sources in {tree}",
        "pkg/small.py:5",
        "Counted as text, as they do not parse",
        "pkg/old.py",
        "16 lines in 7 files, 2 of them no valid Python",
        "12 tasks ran in ",
    ):
        assert expected in ran.stdout


def test_a_file_that_cannot_be_read_is_reported_and_the_others_are_counted(
    tmp_path: Path, command: Command
) -> None:
    # Given a file whose name no JSON text can hold, so that it is not found again
    (tmp_path / "good.py").write_bytes(b"x = 1\n")
    try:
        Path(str(tmp_path / "bad\udcff.py")).write_bytes(b"x = 1\n")
    except OSError:
        pytest.skip("this file system takes no such names")
    # When the folder is measured
    report = report_of(command, str(tmp_path))
    # Then it was tried three times, and is said to be missing
    assert report["totals"]["files"] == 1
    assert report["failed"] == 1
    assert "bad\\\\xff.py" in report["errors"][0]
    assert report["run"]["callbacks"]["announce"] == "1 line in 1 file; 1 file could not be read"


def test_a_folder_that_is_not_there_is_wrong_use(tmp_path: Path, says: Says) -> None:
    missing = tmp_path / "missing"
    assert says(2, "demo", str(missing)).startswith(f"{missing} is not a folder: name one")


def test_a_file_in_place_of_a_folder_is_wrong_use(tmp_path: Path, says: Says) -> None:
    (tmp_path / "file.py").write_text("x = 1\n")
    assert "file.py is not a folder: name one" in says(2, "demo", "file.py")


def test_a_folder_without_sources_is_wrong_use(tmp_path: Path, says: Says) -> None:
    (tmp_path / "picture.png").write_bytes(b"")
    assert says(2, "demo", ".", "--json").startswith("no .py or .txt file under .: name one")


def test_it_runs_in_this_process_whatever_the_settings_name(tree: Path, command: Command) -> None:
    ran = command("demo", str(tree), MAGEFLOW_BACKEND="celery", MAGEFLOW_STORE="redis://nowhere")
    assert ran.returncode == 0, ran.stderr


def test_settings_that_cannot_be_read_are_wrong_use(tree: Path, says: Says) -> None:
    assert "slots cannot be 'many'" in says(2, "demo", str(tree), MAGEFLOW_SLOTS="many")


def test_without_a_folder_it_measures_the_standard_library(command: Command) -> None:
    # When the demo is run as anybody's first command
    report = report_of(command)
    # Then it has done real work: all those files, side by side
    assert report["folder"] == sysconfig.get_path("stdlib")
    assert report["totals"]["files"] > 500
    assert report["totals"]["functions"] > 10_000
    assert report["run"]["tasks"] >= report["totals"]["files"] + 3
    assert report["failed"] == 0
    lines = [package["lines"] for package in report["packages"].values()]
    assert lines == sorted(lines, reverse=True)
    assert sum(lines) == report["totals"]["lines"]


# --- on a store that is shared --------------------------------------------------------------------


@pytest.fixture
def mf(monkeypatch: pytest.MonkeyPatch, shared: type[Any]) -> Iterator[Any]:
    """The demo's app, which is forgotten again, as are the settings that it is given."""
    from mageflow.demo.flow import mf
    from mageflow_core.client import ambient

    monkeypatch.setattr(mf, "settings", mf.settings)
    yield mf
    ambient._made.discard(mf)


URL = "double://user:secret@host"


def test_its_state_can_be_in_a_store(tree: Path, ran: Ran, mf: Any) -> None:
    # When it runs on a store
    arguments = ["--store", URL, "--namespace", "demo"]
    report = json.loads(ran(0, "demo", str(tree), "--json", *arguments).stdout)
    # Then it does the same as ever
    assert report["totals"]["files"] == 7
    assert report["run"]["tasks"] == 12
    # And its run can be looked at when it has ended
    (run,) = json.loads(ran(0, "list", "--json", *arguments).stdout)["runs"]
    assert (run["id"], run["name"], run["status"]) == (report["run"]["run"], "demo", "done")
    assert "16 lines in 7 files" in ran(0, "show", run["id"], *arguments).stdout


def test_without_a_store_it_is_in_memory_whatever_the_settings_name(
    tree: Path, ran: Ran, mf: Any, shared: type[Any]
) -> None:
    ran(0, "demo", str(tree))
    assert shared.calls == []


def test_a_store_that_is_away_is_waited_for(
    tree: Path, ran: Ran, mf: Any, shared: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a store that does not answer the first call of each kind that the demo makes
    monkeypatch.setattr("mageflow.cli.patience.PAUSE", 0.001)
    monkeypatch.setattr("mageflow_core.runtime.insisting.PAUSE", 0.001)
    calls = {"create", "wait", "view", "children", "value"}

    def away_once(call: str) -> None:
        if call in calls:
            calls.remove(call)
            shared.away = 1

    monkeypatch.setattr(shared, "before", staticmethod(away_once))
    # When the demo runs there
    result = ran(0, "demo", str(tree), "--json", "--store", URL)
    # Then it comes to its end all the same, once
    assert json.loads(result.stdout)["totals"]["files"] == 7
    assert len(shared.spaces["mageflow"].runs) == 1
    assert calls == set()
    # And says what it waits for
    assert set(result.stderr.splitlines()) == {
        "mageflow: double://user:***@host does not answer: is it there? (waiting for it)",
        "mageflow: the store answers again",
    }


def test_a_store_that_is_not_there_is_a_failure(
    tree: Path, complains: Callable[..., str], mf: Any, shared: type[Any]
) -> None:
    shared.away = 1
    assert "does not answer" in complains(1, "demo", str(tree), "--store", URL)


def test_what_is_no_store_is_wrong_use(tree: Path, complains: Callable[..., str], mf: Any) -> None:
    assert "store cannot be 'here'" in complains(2, "demo", str(tree), "--store", "here")
