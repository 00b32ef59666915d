"""The command line, `mageflow-conformance`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from mageflow_conformance import backends
from mageflow_conformance.backends.harnesses import harness_named, harness_names
from mageflow_conformance.pages import backends_table, explanation, of_backend, table
from mageflow_conformance.report import Report
from mageflow_conformance.results import page as results_page
from mageflow_conformance.stores.harness import StoreHarness
from mageflow_conformance.stores.harnesses import harness_of
from mageflow_conformance.stores.manifest import requirement_of, requirements
from mageflow_conformance.stores.requirement import Requirement
from mageflow_conformance.stores.running import Outcome, run_all
from mageflow_core.errors import ConfigurationError, MageflowError

DONE, FAILED, WRONG = 0, 1, 2  # exit codes
SIGNS = {"passed": ".", "failed": "F", "not applicable": "-", "declined": "-", "not run": "?"}


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry point. Exits with 0, with 1 where something has failed, with 2 for wrong usage."""
    asked = _parser().parse_args(arguments)
    try:
        code: int = asked.do(asked)
    except (MageflowError, KeyError, OSError) as error:
        text = error.args[0] if isinstance(error, KeyError) else error
        print(f"mageflow-conformance: {text}", file=sys.stderr)
        code = WRONG
    raise SystemExit(code)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "mageflow-conformance",
        description="What MageFlow's backends and stores are held to, tried on one.",
    )
    parser.add_argument(
        "--version", action="version", version=f"%(prog)s {version('mageflow-conformance')}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser("run", help="try the requirements on a backend, on a real engine")
    run.add_argument("backend", help="one of those that `list` names")
    run.add_argument("--report", type=Path, metavar="FILE", help="write outcomes there, as JSON")
    run.add_argument(
        "--only", action="append", default=[], metavar="ID",
        help="try this one, or those whose ids begin so; may be repeated",
    )  # fmt: skip
    run.add_argument(
        "--harness", metavar="MODULE:CLASS", help="a Harness that no entry point names"
    )
    run.add_argument(
        "--at-once", type=int, default=4, metavar="N", help="requirements tried at the same time"
    )
    run.set_defaults(do=_run_backend)
    commands.add_parser("list", help="name the backends that `run` takes").set_defaults(do=_list)
    report = commands.add_parser("report", help="print a page of these reports side by side")
    report.add_argument("files", nargs="+", type=Path, metavar="FILE")
    report.add_argument(
        "--broken", type=Path, metavar="FILE",
        help="what broken backends have failed, as JSON: names, with the ids for each",
    )  # fmt: skip
    report.set_defaults(do=_report)
    store = commands.add_parser("store", help="try the requirements on the store at a URL")
    store.add_argument("url", help="such as memory:// or redis://localhost:6379/0")
    store.add_argument("--report", type=Path, metavar="FILE", help="write outcomes there, as JSON")
    store.add_argument(
        "--only", action="append", default=[], metavar="ID",
        help="try this one, or those whose ids begin so; may be repeated",
    )  # fmt: skip
    store.add_argument(
        "--harness", metavar="MODULE:CLASS", help="a subclass of StoreHarness for your store"
    )
    store.set_defaults(do=_store)
    explain = commands.add_parser("explain", help="say what a requirement is, and how it is tried")
    explain.add_argument("id")
    explain.set_defaults(do=_explain)
    page = commands.add_parser("table", help="print the page of the documentation")
    page.add_argument("of", nargs="?", choices=("stores", "backends"), default="stores")
    page.set_defaults(do=_table)
    return parser


def _explain(asked: argparse.Namespace) -> int:
    if asked.id.upper().startswith("B-"):
        print(of_backend(backends.requirement_of(asked.id)), end="")
    else:
        print(explanation(requirement_of(asked.id)), end="")
    return DONE


def _table(asked: argparse.Namespace) -> int:
    print(table() if asked.of == "stores" else backends_table(), end="")
    return DONE


# --- backends -------------------------------------------------------------------------------------
def _list(_asked: argparse.Namespace) -> int:
    for name, place in harness_names().items():
        print(f"{name:<24}{place}")
    return DONE


def _report(asked: argparse.Namespace) -> int:
    broken = _read(asked.broken) if asked.broken is not None else None
    print(results_page([_read(file) for file in asked.files], broken), end="")
    return DONE


def _read(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{file} is no report: {error}") from error


def _run_backend(asked: argparse.Namespace) -> int:
    wanted = _chosen(asked.only, backends.requirements(), backends.requirement_of)
    harness = harness_named(asked.backend, asked.harness)
    if asked.report is not None:
        asked.report.touch()  # rather now than when all is done
    with backends.Trials(harness) as trials:
        outcomes = asyncio.run(_tried(trials, wanted, asked.at_once))
        report = backends.Report(harness, outcomes, trials.store_said)
        _say_all(report.outcomes, report.failed, report.words())
        if asked.report is not None:
            text = json.dumps(report.data(), indent=2, ensure_ascii=False)
            asked.report.write_text(text + "\n", "utf-8")
    return FAILED if report.failed else DONE


async def _tried(
    trials: backends.Trials, wanted: Sequence[backends.Requirement], at_once: int
) -> list[backends.Outcome]:
    outcomes = []
    async for outcome in trials.all(wanted, at_once=at_once):
        outcomes.append(outcome)
        print(SIGNS[outcome.state], end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return outcomes


# --- stores ---------------------------------------------------------------------------------------


def _store(asked: argparse.Namespace) -> int:
    wanted = _chosen(asked.only, requirements(), requirement_of)
    harness = _harness(asked.harness, asked.url)
    if asked.report is not None:
        asked.report.touch()  # rather now than when all is done
    report = Report(harness, asyncio.run(_run(harness, wanted)))
    _say_all(report.outcomes, report.failed, report.words())
    if asked.report is not None:
        text = json.dumps(report.data(), indent=2, ensure_ascii=False)
        asked.report.write_text(text + "\n", "utf-8")
    return FAILED if report.failed else DONE


class _Named(Protocol):
    @property
    def id(self) -> str: ...


N = TypeVar("N", bound=_Named)


def _chosen(only: Sequence[str], among: Sequence[N], named: Callable[[str], N]) -> list[N]:
    starts = tuple(each.upper() for each in only)
    found = [each for each in among if not starts or each.id.startswith(starts)]
    for start in starts:
        if not any(each.id.startswith(start) for each in found):
            named(start)
    return found


def _harness(name: str | None, url: str) -> StoreHarness:
    if name is None:
        return harness_of(url)
    module, colon, attribute = name.partition(":")
    if not colon:
        _refuse(f"--harness {name}: expected module:class")
    try:
        cls = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        _refuse(f"--harness {name}: {error}")
    if not (isinstance(cls, type) and issubclass(cls, StoreHarness)):
        _refuse(f"--harness {name}: {cls!r} is no subclass of StoreHarness")
    return cls(url)


def _refuse(text: str) -> NoReturn:
    print(f"mageflow-conformance: {text}", file=sys.stderr)
    raise SystemExit(WRONG)


async def _run(harness: StoreHarness, wanted: Sequence[Requirement]) -> list[Outcome]:
    outcomes = []
    async for outcome in run_all(harness, wanted):
        outcomes.append(outcome)
        print(SIGNS[outcome.state], end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return outcomes


def _say_all(outcomes: Sequence[Any], failed: Sequence[Any], words: str) -> None:
    for outcome in outcomes:
        if outcome.state != "passed":
            print(f"{outcome.state:<14} {outcome.id}: {outcome.reason}")
    for outcome in failed:
        print(f"\n--- {outcome.id}\n{outcome.details}", file=sys.stderr)
    print(words)
