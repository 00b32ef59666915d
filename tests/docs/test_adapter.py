"""The example of an adapter is what its page says: whole, short, installable and conformant."""

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hatchling.build
import pytest

from mageflow_conformance.backends import requirements
from mageflow_conformance.servers import require_redis
from mageflow_core.backends import Disposal, TaskManager

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "adapter"
ADAPTER = EXAMPLE / "mageflow_spool.py"
PAGE = (ROOT / "docs" / "how-to" / "write-an-adapter.md").read_text("utf-8")
# Methods that the page names together.
OTHERS = {"wrap", "native", "natives", "adopt", "decorator", "host"}

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """Runs a program where the example's wheel is on the path, with its entry points, as if it were
    installed, and nothing of this environment is changed."""
    folder = tmp_path_factory.mktemp("installed")
    here = Path.cwd()
    os.chdir(EXAMPLE)
    try:
        wheel = hatchling.build.build_wheel(str(folder))
    finally:
        os.chdir(here)
    with zipfile.ZipFile(folder / wheel) as file:
        file.extractall(folder)

    def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if "MAGEFLOW_S" not in name}
        return subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
            env={**own, "PYTHONPATH": str(folder), "PYTHONWARNINGS": "error"},
        )

    return run


@pytest.fixture(scope="session")
def report(command: Command, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the whole suite."""
    require_redis()
    path = tmp_path_factory.mktemp("report") / "spool.json"
    ran = command("mageflow-conformance", "run", "spool", "--report", path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    data: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return data


@pytest.mark.timeout(600)  # the whole suite runs
def test_it_is_conformant(report: dict[str, Any]) -> None:
    assert report["conformant"], report
    assert {each["id"] for each in report["requirements"]} == {each.id for each in requirements()}


@pytest.mark.timeout(600)
def test_the_report_is_as_the_page_shows_it(report: dict[str, Any]) -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert is_part(json.loads(block), report)
    explained = PAGE.partition("```json")[2].partition("\n## ")[0]
    assert [key for key in report if not re.search(rf'[`"]{key}[`"]', explained)] == []


def is_part(shown: Any, whole: Any) -> bool:
    if isinstance(shown, dict):
        return all(key in whole and is_part(value, whole[key]) for key, value in shown.items())
    return bool(shown == whole)


def test_it_is_found_by_its_name(command: Command) -> None:
    listed = command("mageflow", "backends")
    assert listed.returncode == 0, listed.stderr
    assert "spool" in listed.stdout
    assert "mageflow-spool" in listed.stdout


def test_it_is_short() -> None:
    assert len(ADAPTER.read_text("utf-8").splitlines()) < 150
    harness = (EXAMPLE / "mageflow_spool_harness.py").read_text("utf-8")
    body = harness.partition("class ")[2].splitlines()
    assert len([line for line in body if line.strip()]) <= 13


def test_the_page_has_every_method_of_the_protocol_in_its_order() -> None:
    chapter = PAGE.partition("## The protocol")[2].partition("\n## ")[0]
    bold = re.findall(r"\*\*(`.*?`)\*\*", chapter, re.DOTALL)
    titles = re.findall(r"`(\w+)`", " ".join(bold))
    public = [name for name in vars(TaskManager) if not name.startswith("_")]
    assert sorted(titles) == sorted(public)
    in_order = [name for name in public if name not in OTHERS]
    assert [name for name in titles if name not in OTHERS] == in_order
    for name in in_order:
        assert re.search(rf"def {name}\(", chapter), name


def test_the_page_names_every_disposal() -> None:
    table = PAGE.partition("| `Disposal` |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Disposal.__members__)


def test_what_the_page_shows_of_its_metadata_is_there() -> None:
    text = (EXAMPLE / "pyproject.toml").read_text("utf-8")
    (block,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert block in text
    said = tomllib.loads(text)["project"]
    assert set(said["entry-points"]) == {"mageflow.backends", "mageflow.conformance"}
