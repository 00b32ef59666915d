"""Reports of backends side by side, as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from mageflow_conformance.backends.manifest import groups, requirements

HEAD = """\
# How backends did

This page is made by `mageflow-conformance report` from the reports in
[conformance_tests/reports](../../conformance_tests/reports), each of which
`mageflow-conformance run BACKEND --report FILE` has written.
[What the requirements say](conformance-backends.md).

*Conformant* is a backend that has met every requirement there is now, on its real engine.
*Declined* are those that its engine cannot meet; what has to hold in their place was tried, and
does.
"""
BROKEN = """
The last column names the broken backends, of those in `conformance_tests/tests/backends/mutants`,
that a test sees fail a requirement. *Untested* is one that none of them fails: it has yet to show
that it can.
"""
SHOWN = {"passed": "yes", "declined": "declined", "failed": "**no**", "not run": "not run"}
UNTESTED = "*untested*"

Report = Mapping[str, Any]
Broken = Mapping[str, Sequence[str]]  # names of broken backends → ids that they fail


def page(reports: Sequence[Report], broken: Broken | None = None) -> str:
    """The page of the documentation, as Markdown."""
    return "\n".join(_lines(reports, broken)) + "\n"


def _lines(reports: Sequence[Report], broken: Broken | None) -> Iterator[str]:
    yield HEAD + (BROKEN if broken is not None else "")
    yield from _table("", [report["name"] for report in reports])
    for title, tell in TOLD.items():
        yield _row(title, [tell(report) for report in reports])
    names = [report["name"] for report in reports]
    found = [{each["id"]: each for each in report["requirements"]} for report in reports]
    for title, group in groups().items():
        yield f"\n## {title}\n"
        yield from _table("", names if broken is None else [*names, "broken ones"])
        for each in group:
            cells = [SHOWN[_state(said, each.id)] for said in found]
            last = [] if broken is None else [_broken(each.id, broken)]
            yield _row(f"`{each.id}`", [*cells, *last])
    for state, title in (("failed", "Failed"), ("declined", "Declined")):
        reasons = [
            f"- {report['name']}, `{each['id']}`: {each['reason']}"
            for report in reports
            for each in report["requirements"]
            if each["state"] == state
        ]
        if reasons:
            yield f"\n## {title}\n"
            yield from reasons


def _table(first: str, names: Sequence[str]) -> Iterator[str]:
    yield _row(first, names)
    yield _row("---", ["---"] * len(names))


def _row(first: str, cells: Sequence[str]) -> str:
    shown = " | ".join(cell.replace("|", r"\|") for cell in (first, *cells))
    return f"| {shown.lstrip()} |" if first else f"| | {shown.removeprefix(' | ')} |"


def _state(said: Mapping[str, Any], requirement_id: str) -> str:
    state: str = said[requirement_id]["state"] if requirement_id in said else "not run"
    return state


def _broken(requirement_id: str, broken: Broken) -> str:
    return ", ".join(name for name, ids in broken.items() if requirement_id in ids) or UNTESTED


# --- one report -----------------------------------------------------------------------------------
def verdict(report: Report) -> str:
    """By the requirements that there are now, which may be more than there were."""
    said = {each["id"]: each for each in report["requirements"]}
    states = [_state(said, each.id) for each in requirements()]
    failed, missing = states.count("failed"), states.count("not run")
    if failed:
        return f"**{failed} failed**"
    if missing:
        return f"not known: {missing} were not run"
    return "conformant" if report["engine"]["fidelity"] == "real" else "all met, emulated"


def _engine(report: Report) -> str:
    versions = [f"{name} {version}" for name, version in report["engine"]["versions"].items()]
    return f"{', '.join(versions) or 'none'} ({report['engine']['fidelity']})"


def _adapter(report: Report) -> str:
    return f"{report['adapter']['distribution']} {report['adapter']['version']}"


TOLD: Mapping[str, Callable[[Report], str]] = {
    "verdict": verdict,
    "engine": _engine,
    "adapter": _adapter,
    "runs are kept in": lambda report: str(report["store"]),
    "Python": lambda report: str(report["python"]),
    "requirements": lambda report: f"version {report['spec']}",
    "tried": lambda report: str(report["at"])[:10],
}
