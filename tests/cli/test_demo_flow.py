"""The demo's flow and report, as functions: tasks that are called are just that."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mageflow import Signature
from mageflow.demo.report import KEPT, Function, Measured, Report, counted, summary
from mageflow.demo.table import SHOWN, tables


@pytest.fixture
def flow() -> Iterator[Any]:
    """The module, of which the app is forgotten again: other tests want to be alone."""
    from mageflow.demo import flow
    from mageflow_core.client import ambient

    yield flow
    ambient._made.discard(flow.mf)


@pytest.mark.parametrize(
    ("data", "lines", "words"),
    [
        (b"", 0, 0),
        (b"one", 1, 1),
        (b"one two\n", 1, 2),
        (b"\n\n", 2, 0),
        (b"\xff\xfe x\nlast", 2, 3),
        (b"a\r\nb\r\n", 2, 2),
    ],
)
def test_lines_and_words_are_counted_whatever_the_encoding(
    data: bytes, lines: int, words: int
) -> None:
    measured = Measured.of_text("x.txt", data)
    assert (measured.lines, measured.words) == (lines, words)


@pytest.mark.parametrize(
    ("path", "package"), [("a.py", "."), ("pkg/a.py", "pkg"), ("pkg/deep/er/a.py", "pkg")]
)
def test_the_package_of_a_file_is_its_first_folder(path: str, package: str) -> None:
    assert Measured(path).package == package


def test_a_report_keeps_the_longest_functions_only() -> None:
    files = [
        Measured(f"{n}.py", longest=Function(f"f{n}", f"{n}.py", 1, lines=n)) for n in range(30)
    ]
    report = Report.of("here", files)
    assert [each.lines for each in report.longest] == list(range(29, 29 - KEPT, -1))


def test_a_summary_says_what_was_wrong_only_if_something_was() -> None:
    report = Report.of("here", [Measured("a.py", lines=1)])
    assert summary(report) == "1 line in 1 file"
    report = Report.of("here", [Measured("a.py", lines=1500, problem="line 1: no")] * 2)
    report.failed = 2
    expected = "3,000 lines in 2 files, 2 of them no valid Python; 2 files could not be read"
    assert summary(report) == expected


@pytest.mark.parametrize(("number", "text"), [(0, "0 files"), (1, "1 file"), (1234, "1,234 files")])
def test_numbers_have_the_plural_that_they_want(number: int, text: str) -> None:
    assert counted(number, "file") == text


def test_tables_show_the_first_ones_and_say_how_many_there_are_more() -> None:
    # Given more packages and problems than a screen has lines
    files = [Measured(f"p{n:02}/a.py", lines=n, problem="line 1: no") for n in range(40)]
    report = Report.of("here", files)
    report.failed, report.errors = 12, ["[Errno 13] Permission denied: 'x'"]
    # When it is shown
    console = Console(width=100)
    with console.capture() as shown:
        for title, table in tables(report):
            console.print(title)
            console.print(table)
    # Then it ends somewhere, and the sums are those of all
    text = shown.get()
    assert f"and {40 - SHOWN} more" in text
    assert f"({40 - SHOWN} more)" in text
    assert "Not read: 12 files" in text
    assert "Permission denied" in text
    assert re.search(r"^ all +40 +780 ", text, re.MULTILINE)


# --- tasks ---------------------------------------------------------------------------------------


def test_a_file_that_parses_is_measured(flow: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("class A:\n    def f(self): ...\n\n\ndef g():\n    return 1\n")
    measured = flow.measure(str(tmp_path), "a.py")
    assert (measured.functions, measured.classes) == (2, 1)
    assert measured.longest == Function("g", "a.py", 5, 2)


def test_a_file_that_does_not_parse_goes_on_as_text(flow: Any, tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(:\n")
    follows = flow.measure(str(tmp_path), "a.py")
    assert isinstance(follows, Signature)
    expected = flow.count_text.sign(path="a.py", problem="line 1: invalid syntax")
    assert follows == expected


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (SyntaxError("unknown encoding"), "unknown encoding"),
        (ValueError("null bytes"), "null bytes"),
        (RecursionError(), "RecursionError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_problems_are_said_in_words(flow: Any, error: Exception, problem: str) -> None:
    assert flow.problem_of(error) == problem


def test_statements_are_those_that_a_whole_walk_finds(flow: Any) -> None:
    # Given sources with all kinds of blocks
    source = (Path(ast.__file__).parent / "asyncio" / "base_events.py").read_text("utf-8")
    source += "\nmatch 1:\n    case 1:\n        def in_case(): ...\n"
    source += "try:\n    pass\nexcept* OSError:\n    def in_handler(): ...\n"
    source += "while 0: ...\nelse:\n    class InElse: ...\n"
    tree = ast.parse(source)
    # When they are walked in the short way; then no definition is missed
    wanted = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    short = {node for node in flow.statements(tree) if isinstance(node, wanted)}
    assert short == {node for node in ast.walk(tree) if isinstance(node, wanted)}


def test_links_that_lead_nowhere_and_folders_are_no_files(flow: Any, tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere")
    (tmp_path / "there.txt").write_text("")
    assert list(flow.source_files(str(tmp_path))) == ["there.txt"]


def test_items_are_few_at_a_time_and_in_order(flow: Any, tmp_path: Path) -> None:
    for name in ("b.py", "a.txt", "c.py"):
        (tmp_path / name).write_text("")
    swarm = flow.discover(str(tmp_path))
    assert swarm.max_concurrency == 4
    assert [item.args["path"] for item in swarm.items] == ["a.txt", "b.py", "c.py"]
    assert [item.task for item in swarm.items] == ["count_text", "measure", "measure"]
