"""A run is silent from the call that starts it until something is said of it, and no longer."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import cast

import pytest

from mageflow_core.stores.redis import inbox as module
from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.inbox import Inbox
from mageflow_core.stores.redis.keys import Keys

SIGNATURE = {"s0.1": "{}", "b0.1": "{}"}


class Line:
    """In place of a channel."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.tells: list[Callable[[str], None]] = []
        self.up = True

    def begin(self, name: str, tell: Callable[[str], None]) -> Callable[[], None]:
        self.names.append(name)
        self.tells.append(tell)
        return lambda: None

    def stands(self, name: str) -> bool:
        return self.up and name in self.names

    def say(self, text: str) -> None:
        for tell in self.tells:
            tell(text)


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def inbox(line: Line) -> Inbox:
    made = Inbox(cast("Channel", line), Keys("shop"))
    made.open()
    return made


def begin(inbox: Inbox, run: str = "r") -> None:
    with inbox.starting(run, SIGNATURE) as start:
        start.fresh = True


def is_silent(inbox: Inbox, run: str = "r") -> bool:
    return inbox.silent(run) is not None


# --- its name -----------------------------------------------------------------------------------
def test_it_listens_once_under_a_name_of_the_namespace_that_no_other_has(line: Line) -> None:
    # Given
    names = set()
    for number in range(100):
        made = Inbox(cast("Channel", line), Keys("shop"))
        # When
        made.open()
        made.open()
        # Then
        assert len(line.names) == number + 1
        with made.starting("r") as start:
            assert line.names[-1] == f"shop:inbox:{start.inbox}"
        names.add(start.inbox)
    assert len(names) == 100


def test_nobody_is_told_of_a_name_that_is_not_listened_to(line: Line) -> None:
    inbox = Inbox(cast("Channel", line), Keys("shop"))
    with inbox.starting("r") as start:
        assert start.inbox == ""
        start.fresh = True
    inbox.open()
    assert not is_silent(inbox)
    line.up = False
    with inbox.starting("r") as start:
        assert start.inbox == ""
        start.fresh = True
    line.up = True
    assert not is_silent(inbox)


# --- silence ------------------------------------------------------------------------------------
def test_a_run_is_silent_until_something_is_said_of_it(inbox: Inbox, line: Line) -> None:
    begin(inbox)
    begin(inbox, "s")
    assert inbox.silent("r") == SIGNATURE
    line.say("r ended")
    assert not is_silent(inbox)
    assert is_silent(inbox, "s")


def test_a_run_is_not_silent_before_it_was_started(inbox: Inbox) -> None:
    assert not is_silent(inbox)
    with inbox.starting("r") as start:
        assert not is_silent(inbox)
        start.fresh = True
    assert is_silent(inbox)


@pytest.mark.parametrize("said", ["r ended", ""])
def test_what_is_said_before_the_start_is_answered_counts(
    inbox: Inbox, line: Line, said: str
) -> None:
    with inbox.starting("r") as start:
        line.say(said)
        start.fresh = True
    assert not is_silent(inbox)


def test_a_run_that_somebody_else_has_started_is_not_silent(inbox: Inbox) -> None:
    with inbox.starting("r"):
        pass
    assert not is_silent(inbox)


def test_a_run_whose_start_has_failed_is_not_silent(inbox: Inbox, line: Line) -> None:
    with pytest.raises(ValueError, match="lost"), inbox.starting("r"):
        raise ValueError("lost")
    assert not is_silent(inbox)
    assert inbox._starting == {}


def test_a_run_that_is_started_again_is_not_silent_any_more(inbox: Inbox) -> None:
    begin(inbox)
    with inbox.starting("r"):
        assert not is_silent(inbox)
    assert not is_silent(inbox)


def test_of_two_that_start_a_run_at_once_neither_knows_it_to_be_silent_by_the_other(
    inbox: Inbox, line: Line
) -> None:
    with inbox.starting("r") as first:
        with inbox.starting("r"):
            first.fresh = True
        assert not is_silent(inbox)
    assert not is_silent(inbox)


def test_when_something_may_have_been_missed_no_run_is_silent(inbox: Inbox, line: Line) -> None:
    for run in ("r", "s"):
        begin(inbox, run)
    line.say("")
    assert not is_silent(inbox)
    assert not is_silent(inbox, "s")


def test_while_it_is_not_listened_to_no_run_is_silent(inbox: Inbox, line: Line) -> None:
    begin(inbox)
    line.up = False
    assert not is_silent(inbox)


def test_what_is_said_of_other_runs_is_nobodys_concern(inbox: Inbox, line: Line) -> None:
    begin(inbox)
    line.say("unknown ended")
    assert is_silent(inbox)


# --- those who wait -----------------------------------------------------------------------------
def test_all_who_wait_for_a_run_are_told_what_is_said_of_it(inbox: Inbox, line: Line) -> None:
    # Given
    told: dict[str, list[str]] = {name: [] for name in ("first", "second", "other")}
    inbox.listen("r", told["first"].append)
    inbox.listen("r", told["second"].append)
    inbox.listen("s", told["other"].append)
    # When
    line.say("r ended and more")
    # Then
    assert told == {"first": ["ended and more"], "second": ["ended and more"], "other": []}


def test_all_who_wait_are_told_when_something_may_have_been_missed(
    inbox: Inbox, line: Line
) -> None:
    told: dict[str, list[str]] = {"r": [], "s": []}
    for run, texts in told.items():
        inbox.listen(run, texts.append)
    line.say("")
    assert told == {"r": [""], "s": [""]}


def test_who_waits_no_longer_is_told_nothing_and_leaves_nothing(inbox: Inbox, line: Line) -> None:
    # Given
    first: list[str] = []
    second: list[str] = []
    end_first, end_second = inbox.listen("r", first.append), inbox.listen("r", second.append)
    # When
    end_first()
    end_first()
    line.say("r ended")
    # Then
    assert (first, second) == ([], ["ended"])
    end_second()
    assert inbox._waiting == {}
    # And one who comes later is not ended by one who was there before
    inbox.listen("r", first.append)
    end_second()
    line.say("r ended")
    assert first == ["ended"]


def test_one_who_ends_another_while_that_is_told_does_no_harm(inbox: Inbox, line: Line) -> None:
    ends: list[Callable[[], None]] = []
    ends += [inbox.listen("r", lambda _said: ends[1]()), inbox.listen("r", lambda _said: None)]
    line.say("r ended")
    ends[0]()
    assert inbox._waiting == {}


# --- memory -------------------------------------------------------------------------------------
def test_of_many_silent_runs_the_oldest_are_forgotten(
    inbox: Inbox, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(module, "MOST", 3)
    for number in range(5):
        begin(inbox, str(number))
    assert [is_silent(inbox, str(n)) for n in range(5)] == [False, False, True, True, True]
    # When
    line.say("3 ended")
    begin(inbox, "5")
    # Then
    assert [is_silent(inbox, str(n)) for n in range(6)] == [False, False, True, False, True, True]


def test_long_fields_are_not_remembered(inbox: Inbox) -> None:
    fields = {"s0.1": "s", "b0.1": "b" * (module.LONGEST + 1)}
    with inbox.starting("r", fields) as start:
        start.fresh = True
    assert inbox.silent("r") == {"s0.1": "s"}


def test_nothing_is_kept_of_what_is_over(inbox: Inbox, line: Line) -> None:
    # Given
    gone = []
    for number in range(20):
        begin(inbox, str(number))
        told: list[str] = []
        tell = lambda said, told=told: told.append(said)  # noqa: E731
        gone.append(weakref.ref(tell))
        end = inbox.listen(str(number), tell)
        # When
        line.say(f"{number} ended")
        end()
        del tell, end
    # Then
    gc.collect()
    assert [each() for each in gone] == [None] * 20
    assert (inbox._starting, inbox._silent, inbox._waiting) == ({}, {}, {})
