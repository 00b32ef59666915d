"""What the conformance suite is given of each engine."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mageflow_conformance.backends.harnesses import harness_named, harness_names
from mageflow_conformance.servers import require_nats, require_rabbit, require_redis
from mageflow_conformance.waiting import eventually_sync
from mageflow_core import Mageflow
from mageflow_taskiq.conformance import TaskiqHarness

NAMES = ["taskiq-redis-stream", "taskiq-redis-list", "taskiq-rabbitmq", "taskiq-nats"]
SERVERS = {"rabbitmq": require_rabbit, "nats": require_nats}
WORKER = """
from pathlib import Path
from mageflow_conformance.backends.harnesses import harness_named

harness = harness_named({name!r})
harness.url = {url!r}

def record(*arguments):
    with Path({out!r}).open("a") as file:
        print(*arguments, file=file)

client = harness.natives({namespace!r}, record).client
"""


pytestmark = pytest.mark.timeout(180)  # RabbitMQ takes its time on a busy machine


@pytest.fixture(params=NAMES, scope="module")
def harness(request: pytest.FixtureRequest) -> Iterator[TaskiqHarness]:
    SERVERS.get(request.param.removeprefix("taskiq-"), require_redis)()
    made = harness_named(request.param)
    assert isinstance(made, TaskiqHarness)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def test_each_kind_of_broker_has_an_entry_point() -> None:
    assert set(NAMES) <= set(harness_names())


def test_its_versions_are_those_of_the_server_and_of_its_clients(harness: TaskiqHarness) -> None:
    found = harness.versions()
    assert set(found) > {"taskiq", *harness.packages}
    assert all(version[0].isdigit() for version in found.values())


async def called(harness: TaskiqHarness, a: int, b: int) -> None:
    natives = harness.natives("own", lambda *_: None)
    try:
        await natives.call(a, b)
    finally:
        await natives.close()


def test_a_native_call_is_run_by_taskiqs_own_command_which_ends_when_it_is_told(
    harness: TaskiqHarness, tmp_path: Path
) -> None:
    # Given
    out = tmp_path / "out"
    text = WORKER.format(name=harness.name, url=harness.url, out=str(out), namespace="own")
    (tmp_path / "module.py").write_text(text)
    asyncio.run(called(harness, 1, 2))
    worker = subprocess.Popen(
        harness.command("module"), cwd=tmp_path, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        # When
        eventually_sync(lambda: out.exists() and out.read_text() == "1 2\n", within=60)
        worker.terminate()
        # Then
        _, said = worker.communicate(timeout=60)
        assert worker.returncode == 0, said.decode()
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, 9)  # taskiq's own children are in its session
            worker.wait()


def test_it_is_restarted_where_it_was(harness: TaskiqHarness) -> None:
    # Given
    assert harness.restarts
    url = harness.url
    # When
    harness.restart()
    # Then
    asyncio.run(called(harness, 3, 4))
    assert harness.url == url


def test_its_native_task_is_adopted_by_the_name_that_it_says(harness: TaskiqHarness) -> None:
    natives = harness.natives("own", lambda *_: None)
    task = Mageflow(natives.client, warn_unclosed=False).adopt(natives.task)
    assert task is not None
    assert task.name == natives.name
