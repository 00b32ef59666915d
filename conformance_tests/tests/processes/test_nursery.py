"""Processes that tests start, kill and freeze."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Died, Nursery, Process, trial
from mageflow_conformance.waiting import eventually, eventually_sync


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("processes"), modules=("json",)) as nursery:
        yield nursery


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    yield made
    made.close()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_has_its_own_environment_and_nothing_of_mageflow_before_it(
    nursery: Nursery, ledger: Ledger
) -> None:
    # When two processes are started, with a variable each
    first = nursery.start(trial.write, ledger, environment={"A": "1"}, what="a", variable="A")
    second = nursery.start(trial.write, ledger, environment={"B": "2"}, what="b", variable="A")
    # Then they end in order, and neither has what the other one was given
    await first.exited(0)
    await second.exited(0)
    (a,), (b,) = ledger.of("a"), ledger.of("b")
    assert (a.pid, b.pid) == (first.pid, second.pid)
    assert (a.more.get("value"), b.more.get("value")) == ("1", None)
    assert a.more["early"] == ["json"]
    assert a.more["threads"] == 2  # its own, and the one that ends it with its parent


async def test_who_cleans_up_ends_what_a_process_has_started_too(
    nursery: Nursery, ledger: Ledger
) -> None:
    # Given
    process = nursery.start(trial.beget, ledger)
    (row,) = await ledger.has("begotten")
    # When
    await asyncio.to_thread(process.end)
    # Then
    assert not process.runs
    await eventually(lambda: not lives(row.more["of"]), about="the end of its child")


@pytest.fixture
def gone(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> Process:
    """A process that has ended with 3, of which its nursery tells when a signal has not met it."""
    process = Process("brief", tmp_path / "log", ledger)
    process.told({"pid": 0})

    def miss(_pid: int, _number: int) -> None:
        if process.runs:
            process.told({"exit": 3})
        raise ProcessLookupError

    monkeypatch.setattr(os, "kill", miss)
    monkeypatch.setattr(os, "killpg", miss)
    return process


def test_who_cleans_up_may_come_just_after_its_end(gone: Process) -> None:
    gone.end()
    assert gone.ended.result() == 3


async def test_who_signals_just_after_its_end_is_told_of_that(gone: Process) -> None:
    with pytest.raises(Died, match="process brief has ended with 3"):
        await gone.kill()


async def test_a_process_that_fails_is_told_with_what_it_printed(
    nursery: Nursery, ledger: Ledger
) -> None:
    process = nursery.start(trial.fail, ledger)
    with pytest.raises(Died) as died:
        await process.exited(0)
    assert "ended with 1, not 0" in str(died.value)
    assert "ValueError: as it was told" in str(died.value)
    assert not process.runs
    with pytest.raises(Died, match="has ended with 1"):
        process.must_run()


async def test_a_killed_process_leaves_a_row_of_it(nursery: Nursery, ledger: Ledger) -> None:
    process = nursery.start(trial.wait, ledger)
    await ledger.has("waiting")
    process.must_run()
    await process.kill()
    assert not lives(process.pid)
    (row,) = ledger.of("killed")
    assert (row.pid, row.more) == (os.getpid(), {"of": process.pid})
    with pytest.raises(Died):
        await process.kill()


async def test_a_process_that_kills_itself_leaves_the_same_row(
    nursery: Nursery, ledger: Ledger
) -> None:
    process = nursery.start(trial.wait, ledger)
    await ledger.has("waiting")
    os.kill(process.pid, signal.SIGKILL)
    await process.exited(-signal.SIGKILL)
    assert ledger.of("killed", of=process.pid)


async def test_a_process_is_asked_to_end(nursery: Nursery, ledger: Ledger) -> None:
    process = nursery.start(trial.wait, ledger)
    await ledger.has("waiting")
    await process.stop()
    assert process.ended.result() == 0
    assert ledger.of("killed") == []
    # And one that does not end in order is told of
    other = nursery.start(trial.wait, ledger, orderly=False)
    await ledger.has("waiting", 2)
    with pytest.raises(Died, match=f"ended with -{signal.SIGTERM:d}"):
        await other.stop()


async def test_a_process_that_takes_too_long_is_told_of(nursery: Nursery, ledger: Ledger) -> None:
    process = nursery.start(trial.wait, ledger)
    with pytest.raises(Died, match="still runs"):
        await process.exited(0, within=0.05)
    process.end()
    process.end()
    assert not lives(process.pid)


async def test_a_frozen_process_goes_on_where_it_was(nursery: Nursery, ledger: Ledger) -> None:
    process = nursery.start(trial.wait, ledger)
    await ledger.has("waiting")
    for times in (1, 2):
        await process.freeze()
        assert process.runs
        assert len(ledger.of("frozen", of=process.pid)) == times
        process.thaw()
        assert len(ledger.of("thawed", of=process.pid)) == times
        await eventually(lambda: not process._stopped.is_set())
    await process.stop()


async def test_a_frozen_process_can_be_killed(nursery: Nursery, ledger: Ledger) -> None:
    process = nursery.start(trial.wait, ledger)
    await process.freeze()
    await process.kill()
    assert not process.runs


def test_all_of_them_end_with_the_nursery(tmp_path: Path, ledger: Ledger) -> None:
    with Nursery(tmp_path, modules=()) as nursery:
        children = [nursery.start(trial.wait, ledger) for _ in range(3)]
        eventually_sync(lambda: len(ledger.of("waiting")) == 3, within=10)
        children[0].end()
        nursery.end_all()
        assert not any(child.runs for child in children)
        last = nursery.start(trial.wait, ledger)
        eventually_sync(lambda: len(ledger.of("waiting")) == 4, within=10)
    assert not lives(last.pid)


def test_they_end_where_those_who_started_them_are_killed(tmp_path: Path, ledger: Ledger) -> None:
    # Given a process with a nursery, and a child of that
    program = textwrap.dedent(f"""
        from pathlib import Path
        from mageflow_conformance.ledger import Ledger
        from mageflow_conformance.processes import Nursery, trial
        with Nursery(Path({str(tmp_path)!r}), modules=()) as nursery:
            nursery.start(trial.wait, Ledger({str(ledger.path)!r})).ended.result()
    """)
    parent = subprocess.Popen([sys.executable, "-c", program])
    eventually_sync(lambda: ledger.of("waiting"), within=20)
    (row,) = ledger.of("waiting")
    # When it is killed, then its child ends too
    parent.kill()
    parent.wait()
    eventually_sync(lambda: not lives(row.pid), within=10)


def test_nothing_of_mageflow_is_imported_before_a_child_has_its_environment(tmp_path: Path) -> None:
    program = "mageflow_conformance.processes.forking"
    ran = subprocess.run(
        [sys.executable, "-m", program, "mageflow_core.failpoints"],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 1
    assert "imported before the environment of any child was known" in ran.stderr
