"""The demo's report on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from mageflow.cli.output import table
from mageflow.demo.report import Report, counted

SHOWN = 15  # packages, and files that did not parse


def tables(report: Report) -> Iterator[tuple[str, Table]]:
    """Each with its title."""
    totals = report.totals
    counts = ("files", "lines", "words", "functions", "classes")
    shown = list(report.packages.items())[:SHOWN]
    rows = [(name, *(getattr(each, count) for count in counts)) for name, each in shown]
    rest = len(report.packages) - len(shown)
    if rest:
        others = [
            getattr(totals, count) - sum(getattr(each, count) for _, each in shown)
            for count in counts
        ]
        rows.append((f"and {rest} more", *others))
    rows.append(("all", *(getattr(totals, count) for count in counts)))
    yield f"Sources in {report.folder}", table(("package", *counts), rows)
    if report.longest:
        functions = [(each.lines, each.name, f"{each.path}:{each.line}") for each in report.longest]
        title = "Longest functions, one of each file"
        yield title, table(("lines", "function", "where"), functions)
    if report.unparsed:
        unparsed = [(each.path, each.problem) for each in report.unparsed[:SHOWN]]
        more = len(report.unparsed) - len(unparsed)
        title = "Counted as text, as they do not parse" + (f" ({more} more)" if more else "")
        yield title, table(("file", "problem"), unparsed)
    if report.failed:
        title = f"Not read: {counted(report.failed, 'file')}"
        yield title, table(("error",), [(each,) for each in report.errors])
