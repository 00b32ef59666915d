"""The flow of `mageflow demo`: measure every source file under a folder, side by side."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

from mageflow import (
    ChainSignature,
    ErrorValue,
    Mageflow,
    Retry,
    ReturnValue,
    Signature,
    SwarmReport,
    SwarmSignature,
    chain,
    swarm,
)
from mageflow.demo.report import Function, Measured, Report, summary

# Nothing else is needed: the work is done in this process, its state is in this process's memory.
mf = Mageflow(backend="asyncio", store="memory://")

UNPARSED = (SyntaxError, ValueError, RecursionError, MemoryError)  # what ast.parse raises
HINT = "name one with sources, as in `mageflow demo src`"
FOREIGN = {"__pycache__", "site-packages", "dist-packages"}


class NothingToMeasure(Exception):
    """The folder is not there, or has no such files."""


@mf.task
def discover(folder: str) -> SwarmSignature[list[Measured | None]]:
    """Returns a signature: what follows is worked out from what is found."""
    if not Path(folder).is_dir():
        raise NothingToMeasure(f"{folder} is not a folder: {HINT}")
    files = sorted(source_files(folder))
    if not files:
        raise NothingToMeasure(f"no .py or .txt file under {folder}: {HINT}")
    items = [
        measure.sign(path=path) if path.endswith(".py") else count_text.sign(path=path)
        for path in files
    ]
    # Python runs one thread at a time: a few keep it busy, more would only get in their way.
    return swarm(items, name="files", max_concurrency=4)


@mf.task(retries=Retry(retries=2, delay=0.1, on=(OSError,)))
def measure(folder: str, path: str) -> Measured | Signature[Measured]:
    """A condition at run time: a file that does not parse goes on as text."""
    data = Path(folder, path).read_bytes()
    try:
        tree = ast.parse(data)
    except UNPARSED as error:
        return count_text.sign(path=path, problem=problem_of(error))
    measured = Measured.of_text(path, data)
    for node in statements(tree):
        if isinstance(node, ast.ClassDef):
            measured.classes += 1
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            measured.functions += 1
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if measured.longest is None or lines > measured.longest.lines:
                measured.longest = Function(node.name, path, node.lineno, lines)
    return measured


@mf.task(retries=Retry(retries=2, delay=0.1, on=(OSError,)))
def count_text(folder: str, path: str, problem: str | None = None) -> Measured:
    return Measured.of_text(path, Path(folder, path).read_bytes(), problem)


@mf.task
def summarize(folder: str, files: ReturnValue[list[Measured | None]], swarm: SwarmReport) -> Report:
    """One file that cannot be read does not fail the swarm; its error is in the report."""
    report = Report.of(folder, [file for file in files if file])
    report.failed = swarm.counts.failed
    report.errors = [failure.error.message for failure in swarm.failures]
    return report


@mf.task
def announce(report: ReturnValue[Report]) -> str:
    return summary(report)


@mf.task
def advise(error: ErrorValue) -> str:
    return error.message if error.task == discover.name else str(error)


def flow() -> ChainSignature[Report]:
    return chain(discover, summarize, name="demo").on_success(announce).on_error(advise)


def source_files(folder: str) -> Iterator[str]:
    """Relative paths; not of what is hidden, compiled or installed there."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name not in FOREIGN and name[0] != "."]
        for name in names:
            path = Path(place, name)
            if path.suffix in {".py", ".txt"} and path.is_file():
                # A name that is no UTF-8 cannot be said in JSON: that file will not be found.
                found = os.fsencode(path.relative_to(folder).as_posix())
                yield found.decode("utf-8", "backslashreplace")


def problem_of(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}" if error.lineno else error.msg
    return str(error) or type(error).__name__


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """All statements: several times as fast as `ast.walk`, which visits each name and number."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            found = getattr(node, block, None)
            if isinstance(found, list):
                waiting += found
