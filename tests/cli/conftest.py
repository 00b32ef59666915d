"""The command line as a process of its own, as people start it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`mageflow ARGUMENT…` in an empty folder, where warnings are errors."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "mageflow", *arguments],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=55,
            env={**os.environ, "COLUMNS": "120", **variables},
        )

    return run


@pytest.fixture
def says(command: Command) -> Callable[..., str]:
    """What a command that ends with this code says on stderr: one line, and nothing on stdout."""

    def run(code: int, *arguments: str, **variables: str) -> str:
        ran = command(*arguments, **variables)
        assert ran.returncode == code, ran.stderr
        assert ran.stdout == ""
        assert ran.stderr.startswith("mageflow: ")
        assert ran.stderr.count("\n") == 1, ran.stderr
        return ran.stderr.removeprefix("mageflow: ").strip()

    return run
