"""What ``import mageflow`` is and what it costs."""

import json
import subprocess
import sys
from pathlib import Path

import mageflow
import mageflow_core

ROOT = Path(__file__).parents[2]
# Third parties are 310 of them. Counted and not timed, as a machine's speed is no matter. Raise it
# when the core grows, not when something heavy has slipped in.
MOST_MODULES = 450
FOREIGN = {"celery", "hatchet_sdk", "redis", "rich", "sqlalchemy", "taskiq", "temporalio", "typer"}


def modules_after(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
    return set(json.loads(answer.stdout))


def test_the_packages_are_those_of_this_checkout() -> None:
    # An unrelated older package of our name is on the index, and would be fetched by name.
    assert Path(mageflow.__file__) == ROOT / "src/mageflow/__init__.py"
    assert Path(mageflow_core.__file__) == ROOT / "mageflow_core/src/mageflow_core/__init__.py"


def test_importing_mageflow_imports_no_adapter_driver_or_cli_library() -> None:
    tops = {name.partition(".")[0] for name in modules_after("import mageflow")}
    assert not tops & FOREIGN
    assert {name for name in tops if name.startswith("mageflow_")} == {"mageflow_core"}


def test_importing_mageflow_imports_a_bounded_number_of_modules() -> None:
    assert len(modules_after("import mageflow")) <= MOST_MODULES
