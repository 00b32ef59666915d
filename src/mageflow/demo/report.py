"""What the demo measures, and the sums of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

KEPT = 10  # of the longest functions


@dataclass(slots=True)
class Function:
    name: str
    path: str
    line: int
    lines: int


@dataclass(slots=True)
class Measured:
    """One file. problem: why a .py file could not be parsed and was counted as text."""

    path: str
    lines: int = 0
    words: int = 0
    functions: int = 0
    classes: int = 0
    longest: Function | None = None
    problem: str | None = None

    @classmethod
    def of_text(cls, path: str, data: bytes, problem: str | None = None) -> Measured:
        """Of bytes, so that it does not matter how they are encoded."""
        lines = data.count(b"\n") + (bool(data) and not data.endswith(b"\n"))
        return cls(path, lines=lines, words=len(data.split()), problem=problem)

    @property
    def package(self) -> str:
        """The first folder of its path; "." for what is in none."""
        return self.path.partition("/")[0] if "/" in self.path else "."


@dataclass(slots=True)
class Totals:
    files: int = 0
    lines: int = 0
    words: int = 0
    functions: int = 0
    classes: int = 0

    def add(self, file: Measured) -> None:
        self.files += 1
        self.lines += file.lines
        self.words += file.words
        self.functions += file.functions
        self.classes += file.classes


@dataclass(slots=True)
class Unparsed:
    path: str
    problem: str


@dataclass(slots=True)
class Report:
    """packages: by name, most lines first. longest: the longest function of each of the files
    that have the longest ones. failed: files that could not be read; errors: the first ten."""

    folder: str
    totals: Totals = field(default_factory=Totals)
    packages: dict[str, Totals] = field(default_factory=dict)
    longest: list[Function] = field(default_factory=list)
    unparsed: list[Unparsed] = field(default_factory=list)
    failed: int = 0
    errors: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, folder: str, files: Iterable[Measured]) -> Report:
        report = cls(folder)
        packages: defaultdict[str, Totals] = defaultdict(Totals)
        functions: list[Function] = []
        for file in files:
            report.totals.add(file)
            packages[file.package].add(file)
            if file.longest:
                functions.append(file.longest)
            if file.problem:
                report.unparsed.append(Unparsed(file.path, file.problem))
        by_lines = sorted(packages.items(), key=lambda each: -each[1].lines)
        report.packages = dict(by_lines)
        report.longest = sorted(functions, key=lambda each: -each.lines)[:KEPT]
        return report


def summary(report: Report) -> str:
    totals = report.totals
    text = f"{counted(totals.lines, 'line')} in {counted(totals.files, 'file')}"
    if report.unparsed:
        text += f", {len(report.unparsed):,} of them no valid Python"
    if report.failed:
        text += f"; {counted(report.failed, 'file')} could not be read"
    return text


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
