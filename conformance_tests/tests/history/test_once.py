"""G2: a body runs again only after a crash or a lost lease; everything else happens once."""

from __future__ import annotations

import pytest
from evidences import Story, ran

from mageflow_conformance.flows import call
from mageflow_conformance.processes.process import FROZEN, KILLED
from mageflow_conformance.witness import FAILED, LOST, STOPPED
from mageflow_core import Status, chain, swarm
from mageflow_core.machine import Event


@pytest.fixture
def told() -> Story:
    """Of which the second step ran in process 1, and again in process 2."""
    story = Story(chain(call("a"), call("b").on_success(call("c"))))
    story.moves("r/1", 1.0)
    story.rows += ran("r/1", 1.5, 1.8, fence=2, pid=2)
    story.moves("r/1/!success-0", 2.0, 2.5)
    story.change("r/1", worker="w2", crashes=1)
    story.events = [event for event in story.events if event.path != "/1"]
    return story


def test_a_body_that_runs_twice_without_a_reason_is_found(told: Story) -> None:
    assert told.broken() == [("G2", "r/1")]
    (broken,) = told.each()
    assert "ran again with fence 2 in process 2" in broken.text
    assert "nothing had happened to process 1" in broken.text


@pytest.mark.parametrize("what", [KILLED, FROZEN])
def test_the_death_of_its_process_explains_it(told: Story, what: str) -> None:
    told.says(what, of=1)
    assert told.broken() == []


def test_a_death_that_the_store_has_not_counted_is_found(told: Story) -> None:
    told.says(KILLED, of=1)
    told.change("r/1", crashes=0)
    assert told.broken() == [("G2", "r/1")]
    assert "after 1 deaths, of which the store has counted 0" in next(told.each()).text


def test_the_death_of_another_process_does_not(told: Story) -> None:
    told.says(KILLED, of=2)
    assert told.broken() == [("G2", "r/1")]


def test_a_lease_that_was_lost_after_it_had_begun_explains_it(told: Story) -> None:
    told.says(LOST, t=0.5, pid=1)
    assert told.broken() == [("G2", "r/1")]
    told.says(LOST, t=1.4, pid=1)
    assert told.broken() == []


def test_that_it_was_stopped_explains_it(told: Story) -> None:
    told.moves("r/1", 1.0, 1.2, how=STOPPED)
    told.rows += ran("r/1", 1.5, 1.8, fence=2, pid=2)
    assert told.broken() == []


def test_a_retry_explains_it_and_a_failure_that_was_not_taken_does_not(told: Story) -> None:
    told.moves("r/1", 1.0, 1.2, how=FAILED)
    again = ran("r/1", 1.5, 1.8, fence=2, pid=2)
    told.rows += again
    assert told.broken() == [("G2", "r/1")]
    told.moves("r/1", 1.0, 1.2, how=FAILED)
    told.rows += ran("r/1", 1.5, 1.8, fence=2, pid=2, attempt=2)
    assert told.broken() == []


def test_a_retry_by_hand_explains_it_where_it_reaches_that_node(told: Story) -> None:
    told.events.append(Event(1_001.4, "retry", "/0"))
    assert told.broken() == [("G2", "r/1")]
    told.events.append(Event(1_001.4, "retry", ""))
    assert told.broken() == []


def test_so_does_the_generation_of_an_item_of_whose_retry_history_does_not_tell() -> None:
    told = Story(swarm([call("a"), call("b")]))
    told.moves("r/1", 1.0, 1.2, how=FAILED)
    told.rows += ran("r/1", 1.5, 1.8, fence=2)
    assert told.broken() == [("G2", "r/1")]
    told.change("r/1", generation=2)
    assert told.broken() == []
    # But no more often than it was retried
    told.rows += ran("r/1", 1.9, 1.95, fence=3)
    assert told.broken() == [("G2", "r/1")]


def test_two_bodies_under_one_fence_are_found_whatever_has_died(told: Story) -> None:
    told.moves("r/1", 1.0)
    told.rows += ran("r/1", 1.5, 1.8, pid=2)
    told.says(KILLED, of=1)
    assert ("G2", "r/1") in told.broken()
    assert "2 bodies ran under fence 1" in [each.text for each in told.each()]


def test_a_body_that_ends_twice_is_found() -> None:
    told = Story(call("a"))
    told.rows.append(told.rows[-1])
    assert "ended twice" in next(told.each()).text


# --- callbacks ------------------------------------------------------------------------------------
def test_a_callback_that_was_forgotten_is_found(told: Story) -> None:
    told.says(KILLED, of=1)
    del told.nodes["r/1/!success-0"]
    told.rows = [row for row in told.rows if row.key != "r/1/!success-0"]
    assert told.broken() == [("G2", "r/1/!success-0")]


def test_a_success_callback_of_what_has_failed_is_found() -> None:
    told = Story(call("a").on_success(call("b")))
    told.change("r", status=Status.FAILED)
    assert ("G2", "r/!success-0") in told.broken()


def test_a_callback_that_runs_twice_is_found(told: Story) -> None:
    told.says(KILLED, of=1)
    told.moves("r/1/!success-0", 2.0, 2.5, pid=3)
    told.rows += ran("r/1/!success-0", 3.0, 3.5, fence=2, pid=2)
    assert ("G2", "r/1/!success-0") in told.broken()


# --- transitions ----------------------------------------------------------------------------------
def test_what_ends_twice_in_the_history_is_found(told: Story) -> None:
    told.says(KILLED, of=1)
    told.events += [event for event in told.events if event.path == ""]
    assert told.broken() == [("G2", "r")]
    # And not where it was retried in between
    told.events.append(Event(1_005.0, "retry", "/1"))
    assert told.broken() == []


def test_what_goes_on_more_often_than_something_stands_in_for_it_is_found() -> None:
    told = Story(chain(call("a"), call("b")))
    told.goes_on("r/1", call("b"), call("c"), call("d"))
    assert told.broken() == []
    told.events.append(next(event for event in told.events if event.what == "continued"))
    assert told.broken() == [("G2", "r/1")]
    assert [each.text for each in told.each()] == ["its history says 'continued' 4 times"]
