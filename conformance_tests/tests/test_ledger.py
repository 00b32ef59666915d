"""The ledger, and what writes in it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.ledger import Ledger, by_key, is_at_or_below
from mageflow_conformance.witness import Witness
from mageflow_core import Context


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    yield made
    made.close()


def context(key: str = "r/0", **given: Any) -> Context:
    about: dict[str, Any] = {"attempt": 1, "fence": 1, "task": "t", **given}
    return Context(
        key=key,
        run_id="r",
        idempotency_key="i",
        cancelled=lambda: False,
        alive=lambda: asyncio.sleep(0, True),
        alive_sync=lambda: True,
        logger=logging.getLogger("test"),
        **about,
    )


# --- rows -----------------------------------------------------------------------------------------
def test_a_row_says_who_wrote_it_and_when(ledger: Ledger) -> None:
    ledger.note("begun", worker="w", key="r/0", attempt=1, fence=2, task="t")
    ledger.note("killed", of=7)
    first, second = ledger.rows()
    assert (first.pid, first.worker, first.what, first.key) == (os.getpid(), "w", "begun", "r/0")
    assert (first.attempt, first.fence, first.more) == (1, 2, {"task": "t"})
    assert (second.worker, second.key, second.more) == (None, None, {"of": 7})
    assert 0 <= second.t - first.t < 5


def test_each_row_is_a_line_of_json_at_the_end_of_the_file(ledger: Ledger) -> None:
    ledger.path.write_text('{"t": 1.0, "pid": 2, "what": "older"}\n')
    ledger.note("newer")
    older, newer = ledger.path.read_text().splitlines()
    assert json.loads(older)["what"] == "older"
    assert json.loads(newer)["what"] == "newer"
    assert [row.what for row in ledger.rows()] == ["older", "newer"]


def test_there_is_nothing_before_the_first_row(ledger: Ledger) -> None:
    assert ledger.rows() == ledger.of("begun") == []


def test_a_row_that_is_not_all_there_yet_is_read_when_it_is(ledger: Ledger) -> None:
    ledger.path.write_text('{"t": 1.0, "pid": 2, "what": "a"}\n{"t": 2.0, "pi')
    assert [row.what for row in ledger.rows()] == ["a"]
    with ledger.path.open("a") as file:
        file.write('d": 2, "what": "b"}\n')
    assert [row.what for row in ledger.rows()] == ["a", "b"]


def test_rows_are_found_by_what_they_are_about(ledger: Ledger) -> None:
    for key in ("r", "r/0", "r/0/1", "r~1", "r2", "r/01"):
        ledger.note("begun", key=key, task=f"of-{key}")
    ledger.note("ended", key="r/0")
    assert [row.key for row in ledger.of("begun", below="r/0")] == ["r/0", "r/0/1"]
    assert [row.key for row in ledger.of("begun", below="r")] == [
        "r",
        "r/0",
        "r/0/1",
        "r~1",
        "r/01",
    ]
    assert [row.key for row in ledger.of("begun", task="of-r2")] == ["r2"]
    assert len(ledger.of("begun")) == 6
    assert [row.what for row in by_key(ledger.rows())["r/0"]] == ["begun", "ended"]


@pytest.mark.parametrize(
    ("key", "top", "below"),
    [
        ("r", "r", True),
        ("r/1", "r", True),
        ("r~1", "r", True),
        ("rr", "r", False),
        ("r", "r/1", False),
    ],
)
def test_a_key_is_below_another_by_its_parts(key: str, top: str, below: bool) -> None:
    assert is_at_or_below(key, top) is below


# --- several writers ------------------------------------------------------------------------------
ANOTHER = """
import sys
from mageflow_conformance.ledger import Ledger
ledger = Ledger(sys.argv[1])
for number in range(200):
    ledger.note("wrote", who="process", number=number, filling="y" * 300)
"""


def test_rows_of_threads_and_of_processes_never_mix(ledger: Ledger) -> None:
    # Given threads that write at the same time as another process, and by another descriptor
    other = Ledger(ledger.path)

    def write(who: str, to: Ledger) -> None:
        for number in range(200):
            to.note("wrote", who=who, number=number, filling="x" * 300)

    process = subprocess.Popen([sys.executable, "-c", ANOTHER, str(ledger.path)])
    writers = [("a", ledger), ("b", ledger), ("c", other)]
    threads = [threading.Thread(target=write, args=each) for each in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert process.wait() == 0
    other.close()
    # Then each has written all of its rows, in order
    for who in ("a", "b", "c", "process"):
        assert [row.more["number"] for row in ledger.of("wrote", who=who)] == list(range(200))


def test_a_ledger_that_was_closed_is_opened_by_the_next_row(ledger: Ledger) -> None:
    ledger.note("a")
    ledger.close()
    ledger.close()
    ledger.note("b")
    assert [row.what for row in ledger.rows()] == ["a", "b"]


async def test_rows_can_be_waited_for(ledger: Ledger) -> None:
    waiting = asyncio.create_task(ledger.has("begun", 2, below="r", within=5))
    for key in ("r/0", "other", "r/1"):
        assert not waiting.done()
        ledger.note("begun", key=key)
        await asyncio.sleep(0)
    assert [row.key for row in await waiting] == ["r/0", "r/1"]
    with pytest.raises(AssertionError, match="3 rows 'begun'"):
        await ledger.has("begun", 3, below="r", within=0.01)


# --- witnesses ------------------------------------------------------------------------------------
def test_a_body_is_witnessed_with_how_it_ended(ledger: Ledger) -> None:
    witness = Witness(ledger, lambda: "w")
    with witness.body(context(fence=3)):
        assert [row.what for row in ledger.rows()] == ["begun"]
    with pytest.raises(ValueError, match="so"), witness.body(context(attempt=2)):
        raise ValueError("so")
    with pytest.raises(asyncio.CancelledError), witness.body(context()):
        raise asyncio.CancelledError
    rows = ledger.rows()
    assert [row.what for row in rows] == ["begun", "ended", "begun", "failed", "begun", "stopped"]
    assert {row.worker for row in rows} == {"w"}
    assert (rows[1].key, rows[1].fence, rows[1].more) == ("r/0", 3, {"task": "t"})
    assert rows[3].attempt == 2


def test_a_process_that_says_that_it_lost_its_leases_is_witnessed(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    # Given
    log = logging.getLogger("mageflow.worker")
    before = list(log.handlers)
    Witness(ledger, lambda: None).listen()
    caplog.set_level(logging.WARNING, log.name)
    # When
    log.warning("could not renew the leases of %s", "w")
    log.warning("the leases of %s were lost: nothing had renewed them for %.1f s.", "w", 3.0)
    # Then
    assert [row.what for row in ledger.rows()] == ["lost"]
    for handler in set(log.handlers) - set(before):
        log.removeHandler(handler)
