"""G1: what was started ends."""

from __future__ import annotations

from evidences import Story

from mageflow_conformance.flows import call
from mageflow_core import Status, chain, swarm


def story() -> Story:
    return Story(chain(call("a"), swarm([call("b"), call("c")], max_concurrency=2), call("d")))


def test_a_run_that_went_as_it_should_breaks_nothing() -> None:
    assert story().broken() == []


def test_a_run_that_never_ends_is_found_with_all_that_it_left_behind() -> None:
    told = story()
    told.settled = False
    told.change("r", status=Status.ACTIVE)
    told.change("r/2", status=Status.QUEUED)
    assert told.broken() == [("G1", "r"), ("G1", "r/2")]
    assert "it has not ended: active" in str(next(told.each()))


def test_a_run_with_a_callback_to_come_is_not_settled() -> None:
    told = Story(call("a").on_success(call("b")))
    told.settled = False
    told.change("r/!success-0", status=Status.ACTIVE)
    assert told.broken() == [("G1", "r"), ("G1", "r/!success-0")]


def test_what_shows_as_ended_because_of_its_container_is_not_left_behind() -> None:
    told = story()
    told.change("r", status=Status.CANCELED)
    told.change("r/2", status=Status.CANCELED)
    assert told.broken() == []
