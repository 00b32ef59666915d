"""A real Redis server for what the pages show of it."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mageflow_conformance.servers import RedisServer, require_redis

Script = Callable[..., subprocess.CompletedProcess[str]]


REPORTS = Path(__file__).parents[2] / "docs" / "examples" / "redis" / "reports.py"


@pytest.fixture(scope="session")
def server() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer() as server:
        yield server


@pytest.fixture
def namespace(request: pytest.FixtureRequest) -> str:
    """Each test has one of its own."""
    return re.sub(r"\W+", "-", request.node.name).strip("-").lower()[:60]


@pytest.fixture
def on_redis(server: RedisServer, namespace: str) -> dict[str, str]:
    """The variables that keep the state of a process there."""
    return {"MAGEFLOW_STORE": server.url, "MAGEFLOW_NAMESPACE": namespace}


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Runs Python with these arguments and variables, away from the sources, where warnings are
    errors; it has to end with 0."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            [sys.executable, "-W", "error", *arguments],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=50,
            env=environment(**variables),
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran

    return run


@pytest.fixture
def start_worker() -> Iterator[Callable[..., None]]:
    """Starts workers of an example, by default of that in `examples/redis`, and ends them."""
    started: list[subprocess.Popen[str]] = []

    def start(example: Path = REPORTS, **variables: str) -> None:
        worker = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "mageflow", "worker", example.stem],
            cwd=example.parent,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(**variables),
        )
        started.append(worker)
        assert worker.stderr is not None
        said = []
        for line in worker.stderr:
            said.append(line)
            if line.startswith("mageflow: worker "):
                return
        raise AssertionError("".join(said))

    yield start
    for worker in started:
        worker.terminate()
    for worker in started:
        worker.communicate(timeout=20)
        assert worker.returncode == 0


def environment(**variables: str) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAGEFLOW_")}
    return {**own, "PYTHONDONTWRITEBYTECODE": "1", **variables}
