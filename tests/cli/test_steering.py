"""`mageflow suspend`, `resume`, `interrupt`, `cancel` and `retry`."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mageflow import Mageflow, chain, sign

Ran = Callable[..., Any]
Started = Callable[..., str]
Complains = Callable[..., str]


@pytest.fixture
def waiting(started: Started) -> str:
    """A run that waits for a worker that knows its first task."""
    return started(lambda: chain("nobody-knows", "add"), settles=False)


def status(ran: Ran, key: str) -> str:
    return str(json.loads(ran(0, "show", "--json", key).stdout)["tree"]["status"])


@pytest.mark.parametrize(
    ("verb", "done", "shown"),
    [
        ("suspend", "suspended", "suspended"),
        ("interrupt", "interrupted", "interrupted"),
        ("cancel", "canceled", "canceled"),
    ],
)
def test_a_run_is_held_or_ended(verb: str, done: str, shown: str, ran: Ran, waiting: str) -> None:
    result = ran(0, verb, waiting)
    assert (result.stdout, result.stderr) == (f"{waiting} {done}\n", "")
    assert status(ran, waiting) == shown


@pytest.mark.parametrize("verb", ["suspend", "interrupt"])
def test_what_is_held_is_let_go_on(verb: str, ran: Ran, waiting: str) -> None:
    ran(0, verb, waiting)
    assert ran(0, "resume", waiting).stdout == f"{waiting} resumed\n"
    assert status(ran, waiting) == "active"


def test_a_node_is_steered_without_the_others(ran: Ran, waiting: str) -> None:
    assert ran(0, "suspend", f"{waiting}/0").stdout == f"{waiting}/0 suspended\n"
    assert status(ran, f"{waiting}/0") == "suspended"
    assert status(ran, waiting) == "active"


def test_what_failed_runs_again(ran: Ran, acts: Any, started: Started) -> None:
    # Given a flow that has failed
    run = started(lambda: chain("fails", "add"))
    # When it is retried
    assert ran(0, "retry", run).stdout == f"{run} runs again\n"
    # Then a worker that comes runs it, and it fails anew
    assert status(ran, run) == "active"
    (event,) = [
        event
        for event in json.loads(ran(0, "show", "--history", "--json", run).stdout)["history"]
        if event["event"] == "retry"
    ]
    assert event["key"] == run


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("suspend", "not suspended: it has ended: done"),
        ("interrupt", "not interrupted: it has ended: done"),
        ("cancel", "not canceled: it has ended: done"),
        ("resume", "not resumed: it is neither suspended nor interrupted itself"),
        ("retry", "does not run again: it is done: only what failed or was canceled can run again"),
    ],
)
def test_what_does_not_apply_is_said_and_fails(
    verb: str, expected: str, ran: Ran, started: Started
) -> None:
    run = started(lambda: sign("add"))
    result = ran(1, verb, run)
    assert (result.stdout, result.stderr) == (f"{run} {expected}\n", "")


def test_several_keys_are_steered_one_after_the_other(
    ran: Ran, started: Started, waiting: str
) -> None:
    # Given a run that has ended, one that has not, and a name of none
    done = started(lambda: sign("add"))
    # When all three are canceled, one of them twice
    lines = ran(1, "cancel", done, waiting, "nothing", waiting).stdout.splitlines()
    # Then each is tried once, whatever became of the one before
    assert lines[:2] == [f"{done} not canceled: it has ended: done", f"{waiting} canceled"]
    assert lines[2].startswith("nothing not canceled: no run 'nothing'")
    assert len(lines) == 3


def test_a_node_that_is_not_there_fails(ran: Ran, waiting: str) -> None:
    (line,) = ran(1, "cancel", f"{waiting}/7").stdout.splitlines()
    assert line == f"{waiting}/7 not canceled: run '{waiting}' has no node '{waiting}/7'"


def test_keys_can_be_read_from_stdin(ran: Ran, acts: Any) -> None:
    # Given some runs that wait
    async def start(mf: Mageflow) -> list[str]:
        return [(await mf.start(sign("nobody-knows"))).id for _ in range(3)]

    runs = acts(start)
    # When what `list --ids` prints is canceled
    ids = ran(0, "list", "--ids", "--status", "queued").stdout
    result = ran(0, "cancel", "-", stdin=f"\n{ids}\n")
    # Then that is all of them
    assert sorted(result.stdout.splitlines()) == sorted(f"{run} canceled" for run in runs)
    assert ran(0, "list", "--ids", "--status", "queued").stdout == ""


def test_no_keys_on_stdin_are_nothing_to_do(ran: Ran, shared: type[Any]) -> None:
    assert ran(0, "cancel", "-", stdin="").stdout == ""
    assert json.loads(ran(0, "cancel", "-", "--json", stdin="\n").stdout) == []


def test_as_json_each_key_has_an_answer(ran: Ran, started: Started, waiting: str) -> None:
    done = started(lambda: sign("add"))
    printed = json.loads(ran(1, "suspend", waiting, done, "--json").stdout)
    assert printed == [
        {"key": waiting, "applied": True, "why": ""},
        {"key": done, "applied": False, "why": "it has ended: done"},
    ]


def test_a_stored_run_that_became_part_of_another_is_steered_there(ran: Ran, acts: Any) -> None:
    async def start(mf: Mageflow) -> tuple[str, str]:
        stored = await chain("add", "add")
        run = await mf.start(chain("nobody-knows", stored))
        return stored.id, run.id

    stored, run = acts(start)
    assert ran(0, "cancel", stored).stdout == f"{stored} canceled\n"
    assert status(ran, f"{run}/1") == "canceled"


def test_a_store_that_does_not_answer_is_not_asked_for_the_rest(
    ran: Ran, acts: Any, shared: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a store that goes away behind the first key
    async def start(mf: Mageflow) -> list[str]:
        return [(await mf.start(sign("nobody-knows"))).id for _ in range(3)]

    first, second, third = acts(start)
    steer = shared.steer

    async def once(*arguments: Any) -> Any:
        answer = await steer(*arguments)
        shared.away = 99
        return answer

    monkeypatch.setattr(shared, "steer", once)
    # When three are steered
    lines = ran(1, "cancel", first, second, third).stdout.splitlines()
    # Then it is said of each what is known
    assert lines == [
        f"{first} canceled",
        f"{second} not canceled: unknown: double://user:***@host does not answer: is it there?",
        f"{third} not canceled: not tried",
    ]


@pytest.mark.parametrize("verb", ["suspend", "resume", "interrupt", "cancel", "retry"])
def test_without_a_key_it_is_wrong_use(verb: str, ran: Ran, shared: type[Any]) -> None:
    assert "Missing argument" in ran(2, verb).stderr
