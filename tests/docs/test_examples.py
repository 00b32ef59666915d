"""What the documentation shows runs as it is shown."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted([*ROOT.glob("docs/**/*.py"), *ROOT.glob("examples/**/*.py")])


def test_there_are_examples() -> None:
    assert EXAMPLES


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(example)]
    if example.name.startswith("test_"):
        command = [*command[:3], "-m", "pytest", "-o", f"pythonpath={example.parent}", str(example)]
    ran = subprocess.run(
        command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=50
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
