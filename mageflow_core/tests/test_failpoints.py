"""Failpoints: each is where its name says, and does what the environment says, in any process."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from mageflow_core import failpoints
from mageflow_core.errors import SettingsError
from mageflow_core.failpoints import MEANINGS, NAMES, Action, Armed, FailpointError, parse

CORE = Path(failpoints.__file__).parent


def named_in(source: str) -> Iterator[str]:
    """Yield what `hit` is called with, wherever."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "hit":
            for each in ast.walk(node.args[0]):
                if isinstance(each, ast.Constant):
                    yield str(each.value)


# --- the names ------------------------------------------------------------------------------------


def test_the_source_hits_every_point_that_is_named_and_no_other() -> None:
    hits = {name for path in CORE.rglob("*.py") for name in named_in(path.read_text("utf-8"))}
    assert hits == NAMES


def test_every_name_says_where_it_is_and_has_a_meaning_of_one_line() -> None:
    for name, meaning in MEANINGS.items():
        place, _, step = name.partition(".")
        assert place.isalpha(), name
        assert step.isalpha(), name
        assert meaning, name
        assert "\n" not in meaning, name


def test_where_nothing_is_armed_a_hit_does_nothing() -> None:
    assert failpoints._from({}) is failpoints._not_armed
    assert failpoints._from({failpoints.VARIABLE: ""}) is failpoints._not_armed
    for name in NAMES:
        failpoints._not_armed(name)


# --- what the environment can say -----------------------------------------------------------------


def test_each_action_is_read() -> None:
    text = "runner.claimed=kill@3, dispatcher.sent=raise,reconciler.fired=pause:2.5@2,"
    assert parse(text) == {
        "runner.claimed": Action("kill", 3),
        "dispatcher.sent": Action("raise", 1),
        "reconciler.fired": Action("pause", 2, 2.5),
    }
    assert parse("") == {}


@pytest.mark.parametrize(
    "text",
    [
        "runner.claimed",
        "runner.claimed=",
        "runner.claimed=die",
        "runner.claimed=pause",
        "runner.claimed=pause:x",
        "runner.claimed=kill@0",
        "runner.claimed=kill@",
        "runner.claimed=kill;dispatcher.sent=raise",
    ],
)
def test_what_cannot_be_read_is_refused_with_what_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match=r"MAGEFLOW_FAILPOINTS: .* is no failpoint: expected"):
        parse(text)


def test_a_name_that_nothing_has_is_refused_with_the_one_that_was_meant() -> None:
    with pytest.raises(SettingsError, match=r"named 'runner.clamed'; did you mean 'runner.claime"):
        parse("runner.clamed=kill")


def test_a_name_that_is_armed_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"'runner\.claimed' is armed twice"):
        parse("runner.claimed=kill,runner.claimed=raise")


def test_a_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"MAGEFLOW_FAILPOINTS_LOG: .* cannot be written"):
        Armed({}, str(tmp_path / "missing" / "log"))


# --- what happens ---------------------------------------------------------------------------------


def test_an_action_happens_once_at_the_hit_that_was_said() -> None:
    armed = Armed(parse("dispatcher.sent=raise@2"))
    armed.hit("dispatcher.sent")
    armed.hit("dispatcher.sending")
    with pytest.raises(FailpointError, match=r"dispatcher\.sent"):
        armed.hit("dispatcher.sent")
    armed.hit("dispatcher.sent")


def test_a_pause_blocks_the_thread_that_hits() -> None:
    armed = Armed(parse("dispatcher.sent=pause:0.05"))
    began = time.monotonic()
    armed.hit("dispatcher.sent")
    assert time.monotonic() - began >= 0.05


def test_hits_of_many_threads_are_all_counted() -> None:
    armed = Armed(parse("dispatcher.sent=raise@2000"))
    raised: list[int] = []

    def hit_often(number: int) -> None:
        for _ in range(500):
            try:
                armed.hit("dispatcher.sent")
            except FailpointError:
                raised.append(number)

    threads = [threading.Thread(target=hit_often, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(raised) == 1


def test_the_log_has_each_hit_before_anything_happens_there(tmp_path: Path) -> None:
    log = tmp_path / "hits"
    armed = Armed(parse("runner.claimed=raise"), str(log))
    armed.hit("client.created")
    with pytest.raises(FailpointError):
        armed.hit("runner.claimed")
    assert armed._log is not None
    os.close(armed._log)
    assert log.read_text("utf-8") == f"{os.getpid()} client.created\n{os.getpid()} runner.claimed\n"


# --- processes ------------------------------------------------------------------------------------

FLOW = """
    import asyncio, time
    from mageflow_core import Mageflow, chain

    mf = Mageflow()

    @mf.task
    async def first(n: int = 1) -> int:
        return n

    @mf.task
    def second(n: int) -> int:
        return n + 1

    @mf.task
    async def more(n: int):
        return second.sign()

    async def main():
        async with mf:
            began = time.monotonic()
            run = await mf.start(chain(first, second, more))
            print(await run.result(timeout=20))
            print(time.monotonic() - began)

    asyncio.run(main())
"""


class Program:
    """A process that is armed, in a group of its own, and has ended."""

    def __init__(self, folder: Path, source: str, armed: str) -> None:
        script, self.log = folder / "program.py", folder / "hits"
        script.write_text(textwrap.dedent(source), "utf-8")
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=folder,
            check=False,
            start_new_session=True,
            env={
                **os.environ,
                "MAGEFLOW_FAILPOINTS": armed,
                "MAGEFLOW_FAILPOINTS_LOG": str(self.log),
            },
        )
        self.code, self.err = done.returncode, done.stderr
        self.out = done.stdout.splitlines()

    @property
    def hits(self) -> list[str]:
        return [line.split()[1] for line in self.log.read_text("utf-8").splitlines()]


class Flow(Program):
    """One that runs a flow of three steps, the last of which is followed by a fourth."""

    def __init__(self, folder: Path, armed: str) -> None:
        super().__init__(folder, FLOW, armed)


def test_a_flow_hits_every_point_in_its_order(tmp_path: Path) -> None:
    flow = Flow(tmp_path, "")
    assert (flow.code, flow.out[0]) == (0, "3")
    counted = Counter(flow.hits)
    assert set(counted) == NAMES - {"dispatcher.passing", "dispatcher.passed"}
    assert counted["runner.claimed"] == counted["runner.begun"] == 4
    assert counted["runner.continued"] == counted["runner.continuing"] == 1
    assert counted["runner.reported"] == counted["runner.reporting"] == 3
    one = [name for name in flow.hits if name.partition(".")[0] == "runner"][:8]
    steps = "delivered claiming claimed bound begun returned reporting reported"
    assert one == [f"runner.{step}" for step in steps.split()]
    assert flow.hits.index("client.creating") < flow.hits.index("client.created")
    assert flow.hits[-2:] == ["worker.leaving", "worker.left"]


@pytest.mark.parametrize(
    "name", ["client.created", "asyncio.queued", "runner.claimed", "runner.begun", "worker.leaving"]
)
def test_a_kill_is_the_last_thing_that_a_process_does(tmp_path: Path, name: str) -> None:
    flow = Flow(tmp_path, f"{name}=kill")
    assert flow.code == -signal.SIGKILL
    assert flow.hits[-1] == name
    assert flow.hits.count(name) == 1


def test_a_kill_waits_for_its_hit(tmp_path: Path) -> None:
    flow = Flow(tmp_path, "runner.claimed=kill@3")
    assert flow.code == -signal.SIGKILL
    assert flow.hits.count("runner.claimed") == 3
    assert flow.hits.count("runner.reported") == 2


THREADS = """
    import sys, threading
    from mageflow_core.failpoints import hit

    sys.setswitchinterval(1e-6)

    def hit_often():
        while True:
            hit("runner.reported")

    for _ in range(8):
        threading.Thread(target=hit_often, daemon=True).start()
    for _ in range(20):
        hit("runner.claimed")
"""


@pytest.mark.parametrize("action", ["kill", "kill-all"])
def test_a_kill_is_the_last_thing_that_all_threads_of_a_process_do(
    tmp_path: Path, action: str
) -> None:
    died = Program(tmp_path, THREADS, f"runner.claimed={action}@20")
    assert died.code == -signal.SIGKILL
    assert (died.hits[-1], died.hits.count("runner.claimed")) == ("runner.claimed", 20)


def test_what_a_point_raises_comes_out_there(tmp_path: Path) -> None:
    flow = Flow(tmp_path, "client.created=raise")
    assert flow.code == 1
    assert "mageflow_core.failpoints.FailpointError: failpoint client.created" in flow.err


def test_what_is_raised_where_the_body_begins_is_its_failure(tmp_path: Path) -> None:
    flow = Flow(tmp_path, "runner.begun=raise@2")
    assert flow.code == 1
    assert "TaskFailed" in flow.err
    assert "'second'" in flow.err


@pytest.mark.parametrize("name", ["dispatcher.sent", "reconciler.fired"])
def test_what_is_raised_beside_the_bodies_is_told_of_and_costs_nothing(
    tmp_path: Path, name: str
) -> None:
    flow = Flow(tmp_path, f"{name}=raise")
    assert (flow.code, flow.out[0]) == (0, "3")
    assert f"FailpointError: failpoint {name}" in flow.err


def test_a_pause_lets_the_flow_go_on_afterwards(tmp_path: Path) -> None:
    flow = Flow(tmp_path, "runner.returned=pause:0.3@2")
    assert (flow.code, flow.out[0]) == (0, "3")
    assert float(flow.out[1]) >= 0.3


def test_what_cannot_be_read_ends_the_process_that_is_armed_with_it(tmp_path: Path) -> None:
    flow = Flow(tmp_path, "runner.clamed=kill")
    assert flow.code == 1
    assert "SettingsError: MAGEFLOW_FAILPOINTS: no failpoint is named 'runner.clamed'" in flow.err
