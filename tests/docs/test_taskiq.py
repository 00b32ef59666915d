"""What the page on Taskiq shows runs, on a real Redis."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.servers import RedisServer

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MOVED = [
    path for path in sorted(EXAMPLES.glob("*.py")) if "async with mf" in path.read_text("utf-8")
]


@pytest.fixture
def on_taskiq(on_redis: dict[str, str], server: RedisServer) -> dict[str, str]:
    """The three settings, with a namespace of this test's."""
    return {**on_redis, "MAGEFLOW_BACKEND": "taskiq", "MAGEFLOW_TASKIQ_URL": server.url}


@pytest.fixture
def taskiq_worker(tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Starts taskiq's own command, and ends it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(broker: str, folder: Path, **variables: str) -> None:
        own = {name: value for name, value in os.environ.items() if name[:9] != "MAGEFLOW_"}
        with (tmp_path / "log").open("w") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "taskiq", "worker", broker, "--workers", "1"],
                cwd=folder,
                env={**own, "PYTHONDONTWRITEBYTECODE": "1", **variables},
                stdout=log,
                stderr=log,
            )
        started.append(worker)

    yield start
    for worker in started:
        worker.terminate()
    for worker in started:
        assert worker.wait(30) == 0, (tmp_path / "log").read_text()


@pytest.mark.parametrize("example", ["web.py", "elsewhere.py"])
def test_an_example_moves_by_three_settings(
    example: str,
    script: Callable[..., Any],
    start_worker: Callable[..., None],
    on_taskiq: dict[str, str],
    server: RedisServer,
) -> None:
    start_worker(**on_taskiq)
    script(EXAMPLES / "redis" / example, **on_taskiq, MAGEFLOW_WORKER="false")
    # It was there that its jobs went
    queue = f"{on_taskiq['MAGEFLOW_NAMESPACE']}.taskiq"
    assert server.call("XINFO", "GROUPS", queue)


@pytest.mark.parametrize("example", MOVED, ids=lambda path: path.name)
def test_an_example_for_one_process_moves_beside_a_worker(
    example: Path,
    script: Callable[..., Any],
    start_worker: Callable[..., None],
    on_taskiq: dict[str, str],
) -> None:
    start_worker(example, **on_taskiq)
    script(example, **on_taskiq)


def test_the_demo_moves_by_three_settings(
    script: Callable[..., Any], on_taskiq: dict[str, str], server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "one.py").write_text("def f():\n    return 1\n", "utf-8")
    namespace = on_taskiq["MAGEFLOW_NAMESPACE"]
    where = ["--backend", "taskiq", "--store", server.url, "--namespace", namespace]
    said = script("-m", "mageflow", "demo", tmp_path, *where, MAGEFLOW_TASKIQ_URL=server.url)
    assert "tasks ran in" in said.stdout
    # It was there that its jobs went
    assert server.call("XINFO", "GROUPS", f"{namespace}.taskiq")


def test_an_existing_project_runs_flows_under_the_command_that_it_has(
    script: Callable[..., Any],
    taskiq_worker: Callable[..., None],
    on_redis: dict[str, str],
    server: RedisServer,
) -> None:
    variables = {**on_redis, "REDIS_URL": server.url}
    taskiq_worker("shop:broker", EXAMPLES / "taskiq", **variables)
    said = script(EXAMPLES / "taskiq" / "sell.py", **variables)
    assert said.stdout == "ada@example.com: receipt for 30\n"


def test_the_project_was_one_before(script: Callable[..., Any], server: RedisServer) -> None:
    program = "import before; print(*before.broker.get_all_tasks())"
    said = script("-c", program, REDIS_URL=server.url, PYTHONPATH=str(EXAMPLES / "taskiq"))
    assert said.stdout == "before:send_receipt before:charge\n"
