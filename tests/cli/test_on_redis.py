"""The commands on a real Redis, with workers in processes of their own."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mageflow import Mageflow, chain, sign
from mageflow_conformance.servers import RedisServer, require_redis
from mageflow_conformance.waiting import eventually_sync

FLOWS = """
import asyncio
from mageflow import Mageflow

mf = Mageflow(shutdown_grace=20.0)

@mf.task
def add(a: int, b: int = 1) -> int:
    return a + b

@mf.task
def fails(a: int) -> int:
    raise ValueError("no such thing")

@mf.task
async def slow(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return 1
"""

Told = Callable[..., str]
Worker = subprocess.Popen[str]


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    require_redis()
    with RedisServer(persistence="aof") as server:
        yield server


@pytest.fixture(autouse=True)
def settings(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> str:
    """Each test has a namespace of its own; gives its name."""
    name = re.sub(r"\W+", "-", request.node.name).lower()[:60]
    monkeypatch.setenv("MAGEFLOW_STORE", server.url)
    monkeypatch.setenv("MAGEFLOW_NAMESPACE", name)
    return name


@pytest.fixture
def told(ran: Callable[..., Any]) -> Told:
    """What a command says on stdout; it has to end with this code. In this process, as it takes
    much longer to start one than to look."""

    def run(code: int, *arguments: str) -> str:
        return str(ran(code, *arguments).stdout)

    return run


@pytest.fixture
def start_worker(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Starts workers, each of which runs when it is given back, and ends those that are left."""
    (tmp_path / "flows.py").write_text(FLOWS)
    with ExitStack() as stack:

        def start(*options: str) -> Worker:
            worker = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "mageflow", "worker", "flows", *options],
                cwd=tmp_path,
                stderr=subprocess.PIPE,
                text=True,
            )
            stack.enter_context(worker)
            stack.callback(worker.kill)
            assert worker.stderr is not None
            for line in worker.stderr:
                if line.startswith("mageflow: worker "):
                    return worker
            raise AssertionError("the worker has ended")

        yield start


def client(what: Callable[[Mageflow], Coroutine[Any, Any, Any]]) -> Any:
    """What somebody does who starts flows and knows no tasks."""

    async def whole() -> Any:
        async with Mageflow(worker=False) as mf:
            return await what(mf)

    return asyncio.run(whole())


def started(flow: Callable[[], Any]) -> str:
    async def start(mf: Mageflow) -> str:
        return (await mf.start(flow(), {"a": 1})).id

    return str(client(start))


def status(told: Told, key: str) -> str:
    return str(json.loads(told(0, "show", "--json", key))["tree"]["status"])


def test_a_worker_runs_what_others_start_and_ends_by_a_signal(
    told: Told, start_worker: Callable[..., Worker]
) -> None:
    # Given a worker
    worker = start_worker("--slots", "5", "--log-level", "error")
    # One that an earlier test has killed may be listed until its lease is over.
    (alive,) = [each for each in workers(told) if each["pid"] == worker.pid]
    assert (alive["slots"], alive["backends"]) == (5, ["asyncio"])
    assert alive["tasks"] == ["add", "fails", "slow"]
    # When another process starts something, and a third one watches it
    run = started(lambda: chain("add", sign("add", b=10), name="nightly").label(customer="acme"))
    watched = told(0, "show", run, "--watch")
    # Then that one sees its end
    assert watched.splitlines()[-1].endswith(" done 2/2")
    (line,) = told(0, "list", "--label", "customer=acme").splitlines()[1:]
    assert line.split()[:3] == [run, "nightly", "done"]
    shown = json.loads(told(0, "show", run, "--json", "--history"))
    assert shown["tree"]["result"] == 12
    assert {node["worker"] for node in shown["tree"]["children"]} == {alive["id"]}
    assert shown["history"][0]["event"] == "started"
    # When the worker is told to stop, then it ends as it should, and is alive no more
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=20) == 0
    assert worker.pid not in [each["pid"] for each in workers(told)]


def workers(told: Told) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(told(0, "workers", "--json"))
    return found


def test_what_runs_is_let_to_end_but_not_at_the_second_signal(
    told: Told, start_worker: Callable[..., Worker]
) -> None:
    # Given a worker with a body that takes long
    worker = start_worker()
    run = started(lambda: sign("slow", seconds=60.0))
    eventually_sync(lambda: status(told, run) == "active", within=20, about="a body that runs")
    # When it is told to stop, then it waits for that body
    worker.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(timeout=1)
    # When it is told again, then it does not, and another worker may run it
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=10) == 0
    assert status(told, run) == "queued"


def test_runs_are_steered_from_another_process(
    told: Told, start_worker: Callable[..., Worker]
) -> None:
    # Given a run that is suspended while its first step runs
    start_worker()
    run = started(lambda: chain(sign("slow", seconds=2), "fails"))
    eventually_sync(lambda: status(told, f"{run}/0") == "active", about="its first step")
    assert told(0, "suspend", run) == f"{run} suspended\n"
    assert told(0, "show", f"{run}/0", "--watch").endswith(" done\n")
    assert status(told, run) == "suspended"
    # When it is resumed, then it goes on
    assert told(0, "resume", run) == f"{run} resumed\n"
    assert told(1, "show", run, "--watch").endswith(" failed 1/2, 1 failed\n")
    # When it is retried, then it is run again, at once
    assert told(0, "retry", run) == f"{run} runs again\n"
    told(1, "show", run, "--watch")
    events = json.loads(told(0, "show", run, "--json", "--history"))["history"]
    assert [event["event"] for event in events if event["key"] == f"{run}/1"] == ["failed"] * 2
    # When a body is interrupted and let go on, then it begins anew
    slow = started(lambda: sign("slow", seconds=60.0))
    eventually_sync(lambda: status(told, slow) == "active", within=20, about="a body that runs")
    assert told(0, "interrupt", slow) == f"{slow} interrupted\n"
    assert status(told, slow) == "interrupted"
    # When it is canceled, then it ends, and can be neither canceled nor resumed any more
    assert told(0, "cancel", slow) == f"{slow} canceled\n"
    told(1, "show", slow, "--watch")
    assert told(1, "cancel", slow) == f"{slow} not canceled: it has ended: canceled\n"


def test_all_pages_together_have_each_run_once(told: Told) -> None:
    # Given runs in many buckets
    async def start(mf: Mageflow) -> list[str]:
        return [(await mf.start(sign("add"), {"a": 1})).id for _ in range(7)]

    runs = client(start)
    # When they are read a page at a time
    found: list[str] = []
    cursor: list[str] = []
    for _ in range(3):
        page = json.loads(told(0, "list", "--json", "--limit", "3", *cursor))
        found += [run["id"] for run in page["runs"]]
        cursor = ["--after", str(page["next"])]
    # Then none is missing
    assert sorted(found) == sorted(runs)
    assert page["next"] is None
    assert json.loads(told(0, "list", "--counts", "--json"))["counts"]["queued"] == 7


def test_a_task_that_nobody_knows_is_pointed_at(
    told: Told, start_worker: Callable[..., Worker]
) -> None:
    run = started(lambda: chain("nobody-knows", "add"))
    assert "no worker is alive" in told(0, "show", run)
    start_worker()
    assert "no live worker knows task 'nobody-knows'" in told(0, "show", run)


def test_the_doctor_finds_this_server_well_and_leaves_nothing(
    told: Told, server: RedisServer, settings: str
) -> None:
    # When the doctor has looked at a server that keeps what it is given
    report = json.loads(told(0, "doctor", "--json"))
    # Then all is well, though nobody works
    states = {check["name"]: check["state"] for check in report["checks"]}
    assert states[f"a flow on asyncio and {server.url}"] == "ok"
    assert states["store: persistence"] == "ok"
    assert states["workers"] == "warning"
    # And however often it looks, no more is left of it
    left = sorted(server.call("KEYS", f"*{settings}*"))
    told(0, "doctor")
    assert sorted(server.call("KEYS", f"*{settings}*")) == left
    assert not any(":r:" in key for key in left)


def test_the_demo_outlives_a_server_that_is_away(
    server: RedisServer, tmp_path: Path, told: Told
) -> None:
    # Given the demo, that runs on a store
    command = [sys.executable, "-m", "mageflow", "demo", "--json", "--store", server.url]
    folder = Path(sysconfig.get_path("stdlib"), "encodings")
    demo = subprocess.Popen(
        [*command, str(folder)],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "MAGEFLOW_STORE_PATIENCE": "0.3"},
    )
    with demo:
        try:
            mine = f"*{os.environ['MAGEFLOW_NAMESPACE']}*:r:*"
            eventually_sync(lambda: server.call("KEYS", mine), within=20, about="its run")
            # When the server is frozen in the middle, then that is said
            server.pause()
            assert demo.stderr is not None
            said = demo.stderr.readline()
            assert said.startswith(f"mageflow: The Redis server {server.url} has not answered")
            assert said.endswith("(waiting for it)\n")
            # When it is back, then the demo goes on to its end
            server.resume()
            printed, rest = demo.communicate(timeout=40)
        finally:
            server.resume()
            demo.kill()
    assert demo.returncode == 0
    assert rest == "mageflow: the store answers again\n"
    report = json.loads(printed)
    assert report["totals"]["files"] == len(list(folder.glob("*.py")))
    (run,) = json.loads(told(0, "list", "--json"))["runs"]
    assert (run["id"], run["status"]) == (report["run"]["run"], "done")


def test_a_password_is_never_shown(ran: Callable[..., Any]) -> None:
    with RedisServer(password="geheim", persistence="aof") as closed:
        assert "geheim" not in ran(0, "doctor", "--store", closed.url).output
        wrong = closed.url.replace("geheim", "verraten")
        for arguments in (["list"], ["show", "x"], ["workers"], ["cancel", "x"], ["doctor"]):
            said = ran(1, *arguments, "--store", wrong)
            assert "verraten" not in said.output
            assert said.stderr.count("\n") == (arguments != ["doctor"])


def test_a_server_that_is_not_there_is_one_line(says: Callable[..., str]) -> None:
    url = "redis://127.0.0.1:1/0"
    said = says(1, "list", "--store", url, MAGEFLOW_STORE_PATIENCE="0.3")
    assert said.startswith(f"The Redis server {url}")
