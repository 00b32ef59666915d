"""The project on Celery runs before and after, and on its way to another backend."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import eventually_sync
from mageflow_core import Mageflow

pytestmark = pytest.mark.timeout(120)
PROJECT = Path(__file__).parents[2] / "examples" / "celery"
PAID = "ada has paid 200"
Start = Callable[..., None]
_databases = count(1)  # apps of one name share their queues


@pytest.fixture
def shop(server: RedisServer, on_redis: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The variables of one shop."""
    place, _, _ = server.url.rpartition("/")
    broker = f"{place}/{next(_databases)}"
    return {
        **on_redis,
        "REDIS_URL": broker,
        "SHOP_OUTBOX": str(tmp_path),
        "MAGEFLOW_TASKIQ_URL": server.url,
        "PYTHONPATH": str(PROJECT),
    }


@pytest.fixture
def start(shop: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts `python -m` a command of the project's, and ends it."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str, **variables: str) -> None:
        own = {name: value for name, value in os.environ.items() if name[:9] != "MAGEFLOW_"}
        with (tmp_path / "log").open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=tmp_path,
                env={**own, "PYTHONDONTWRITEBYTECODE": "1", **shop, **variables},
                stdout=log,
                stderr=log,
            )
        started.append(process)

    yield start
    for process in started:
        process.terminate()
    for process in started:
        assert process.wait(40) == 0, (tmp_path / "log").read_text()


def test_the_project_ran_on_celery_alone(
    start: Start, script: Callable[..., Any], shop: dict[str, str], tmp_path: Path
) -> None:
    # Given a worker, and beat
    start("celery", "-A", "before", "worker", "--concurrency=2")
    start("celery", "-A", "before", "beat", SHOP_NIGHT="1")
    # When something is bought, then it is paid for
    assert script(PROJECT / "before.py", **shop).stdout == f"{PAID}\n"
    assert (tmp_path / "7.txt").read_text() == PAID
    # And a day is reported
    eventually_sync((tmp_path / "report.txt").exists, within=30)


def test_after_the_move_the_same_tasks_run_in_flows(
    start: Start, script: Callable[..., Any], shop: dict[str, str], tmp_path: Path
) -> None:
    # Given the commands that it had before
    start("celery", "-A", "after", "worker", "--concurrency=2")
    start("celery", "-A", "after", "beat", SHOP_NIGHT="1")
    # When something is bought twice, then it is paid for once
    for _ in range(2):
        assert script(PROJECT / "after.py", **shop).stdout == f"{PAID}\n"
    assert (tmp_path / "7.txt").read_text() == PAID
    # And a day is reported, once however often beat calls
    eventually_sync((tmp_path / "report.txt").exists, within=30)
    with client(shop) as mf:

        async def names() -> list[str | None]:
            return [run.signature.name for run in await mf.find()]

        assert sorted(map(str, mf.run_sync(names()))) == ["nightly", "purchase"]


@pytest.mark.parametrize(
    "moved", [("receipt",), ("price", "charge", "receipt")], ids=["one", "all"]
)
def test_its_tasks_move_to_another_backend_by_settings(
    start: Start,
    script: Callable[..., Any],
    shop: dict[str, str],
    server: RedisServer,
    moved: tuple[str, ...],
) -> None:
    # Given settings that have tasks on Taskiq, and workers of both
    pairs = ",".join(f"shop.tasks.{task}=taskiq" for task in moved)
    settings = {"MAGEFLOW_BACKEND": "celery,taskiq", "MAGEFLOW_MOVED_TASKS": pairs}
    start("mageflow", "worker", "after", **settings)
    # When something is bought
    assert script(PROJECT / "after.py", **shop, **settings).stdout == f"{PAID}\n"
    # Then those tasks have run there
    said = server.call("XINFO", "STREAM", f"{shop['MAGEFLOW_NAMESPACE']}.taskiq")
    sent = dict(zip(said[::2], said[1::2], strict=True))["entries-added"]
    assert sent == len(moved) + ("charge" in moved)  # which is tried again


def test_in_the_end_it_runs_without_celery(
    start: Start, script: Callable[..., Any], shop: dict[str, str]
) -> None:
    settings = {"MAGEFLOW_BACKEND": "taskiq"}
    start("mageflow", "worker", "later", **settings)
    said = script(PROJECT / "later.py", **shop, **settings)
    assert said.stdout == "ada has paid 80\n"
    program = "import later, sys; print('celery' in sys.modules)"
    assert script("-c", program, **shop, **settings).stdout == "False\n"


def client(shop: dict[str, str]) -> Mageflow:
    return Mageflow(
        store=shop["MAGEFLOW_STORE"],
        namespace=shop["MAGEFLOW_NAMESPACE"],
        worker=False,
        warn_unclosed=False,
    )
