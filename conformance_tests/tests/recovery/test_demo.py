"""`mageflow demo` on real servers that have trouble."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.servers import Aio, RedisCluster, RedisServer, require_redis
from mageflow_conformance.waiting import eventually

FILES = 150
SOURCE = '''
"""A module."""

class Thing:
    def answer(self):
        return 42
'''


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A folder with as many Python files, and as many texts that are none."""
    folder = tmp_path / "sources"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"thing_{number}.py").write_text(SOURCE)
        (folder / f"text_{number}.txt").write_text("two\nlines\n")
    return folder


async def demo(folder: Path, store: str, namespace: str) -> asyncio.subprocess.Process:
    command = [sys.executable, "-m", "mageflow", "demo", "--json", "--store", store]
    return await asyncio.create_subprocess_exec(
        *command,
        *("--namespace", namespace, str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder.parent,
    )


async def report_of(process: asyncio.subprocess.Process) -> dict[str, Any]:
    async with asyncio.timeout(50):
        printed, said = await process.communicate()
    assert process.returncode == 0, said.decode()
    found: dict[str, Any] = json.loads(printed)
    return found


def assert_right(report: dict[str, Any]) -> None:
    totals = report["totals"]
    assert totals["files"] == 2 * FILES
    assert totals["classes"] == totals["functions"] == FILES
    assert report["failed"] == 0


async def test_the_demo_ends_with_the_right_numbers_though_its_server_is_killed_twice(
    make_server: Callable[..., RedisServer], sources: Path, namespace: str
) -> None:
    # Given the demo, in the middle of its work
    server = make_server()
    process = await demo(sources, server.url, namespace)
    for goal in (50, 100):
        await eventually(partial(goes_on, server, goal), within=20, about="its work")
        # When its server is killed and started again
        aio = Aio(server)
        await aio.kill()
        await aio.start()
    # Then it ends, with all that there is
    assert_right(await report_of(process))


def goes_on(server: RedisServer, goal: int) -> bool:
    """Whether it has been asked for that many steps."""
    said = server.info("commandstats").get("cmdstat_evalsha", "calls=0")
    return int(said.split(",")[0].removeprefix("calls=")) > goal


async def test_the_demo_runs_on_a_cluster(sources: Path, namespace: str) -> None:
    require_redis()
    with RedisCluster() as cluster:
        assert_right(await report_of(await demo(sources, cluster.url, namespace)))
