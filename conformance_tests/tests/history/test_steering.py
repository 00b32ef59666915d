"""G5: what is suspended is not claimed; what is interrupted or canceled stops."""

from __future__ import annotations

import pytest
from evidences import Story
from evidences.building import CLOCK

from mageflow_conformance.flows import call
from mageflow_conformance.witness import STOPPED
from mageflow_core import Status, chain, swarm


@pytest.fixture
def told() -> Story:
    """Of four steps, of a second each."""
    return Story(chain(*[call("step")] * 4))


def says(story: Story, what: str, t: float, key: str = "r", reach: float = 1.0) -> None:
    story.says(what, t=t, key=key, at=CLOCK + t, reach=reach, asked=t, asked_at=CLOCK + t)


def test_a_claim_while_it_was_suspended_is_found(told: Story) -> None:
    says(told, "suspended", 1.95)
    says(told, "resumed", 2.6)
    told.moves("r/2", 2.7, 2.9)
    told.change("r/2", started_at=CLOCK + 2.65)
    assert told.broken() == []
    told.change("r/2", started_at=CLOCK + 2.2)
    assert told.broken() == [("G5", "r/2")]


def test_a_claim_from_before_may_still_begin_in_a_moment_and_not_much_later(told: Story) -> None:
    says(told, "suspended", 0.5)
    told.change("r/1", started_at=CLOCK + 0.5, queued_at=CLOCK + 1)
    told.moves("r/1", 1.4, 1.6)
    told.moves("r/2", 1.7, 1.8)
    told.moves("r/3", 1.9, 2.0)
    assert ("G5", "r/1") not in told.broken()
    assert ("G5", "r/2") in told.broken()
    assert ("G5", "r/3") in told.broken()


def test_it_has_as_long_as_running_bodies_have_to_stop(told: Story) -> None:
    says(told, "suspended", 0.5, reach=1.5)
    told.change("r/1", started_at=CLOCK + 0.5, queued_at=CLOCK + 1)
    told.moves("r/1", 1.9, 1.95)
    told.moves("r/2", 2.1, 2.2)
    assert ("G5", "r/1") not in told.broken()
    assert ("G5", "r/2") in told.broken()


def test_what_is_claimed_before_a_resume_is_confirmed_is_claimed_after_it(told: Story) -> None:
    says(told, "suspended", 0.95)
    told.says("resumed", t=2.6, key="r", at=CLOCK + 2.6, reach=1.0, asked=2.1, asked_at=CLOCK + 2.1)
    told.moves("r/1", 2.2, 2.3)
    told.change("r/1", started_at=CLOCK + 2.15, queued_at=CLOCK + 1)
    told.moves("r/2", 2.4, 2.9)
    told.change("r/2", started_at=CLOCK + 2.35)
    assert not [each for each in told.each() if each.guarantee == "G5"]


def test_what_is_beside_what_was_suspended_goes_on() -> None:
    told = Story(swarm([call("a"), chain(call("b"), call("c"))], max_concurrency=2))
    says(told, "suspended", -5.0, key="r/0")
    assert told.broken() == [("G5", "r/0")]


def test_a_body_that_runs_on_after_it_was_interrupted_is_found(told: Story) -> None:
    told.moves("r/0", 0.0, 0.9)
    says(told, "interrupted", 0.2)
    says(told, "resumed", 0.95)
    assert told.broken() == []
    for row in list(told.rows):
        if row.key == "r/0":
            told.rows.remove(row)
    told.moves("r/0", 0.0, 1.5, how=STOPPED)
    assert ("G5", "r/0") in told.broken()


def test_it_has_longer_where_nobody_could_be_told(told: Story) -> None:
    told.moves("r/0", 0.0, 1.5, how=STOPPED)
    says(told, "interrupted", 0.2, reach=1.4)
    says(told, "resumed", 0.9)
    assert not [each for each in told.each() if each.guarantee == "G5"]


def test_a_body_that_never_says_that_it_has_stopped_is_found() -> None:
    told = Story(call("a"))
    told.change("r", status=Status.CANCELED)
    told.events = []
    told.moves("r", 0.0)
    says(told, "canceled", 0.5)
    assert told.broken() == [("G5", "r")]
    assert "ran on after r was canceled" in next(told.each()).text


def test_callbacks_run_below_what_was_canceled_and_not_below_what_was_interrupted() -> None:
    told = Story(chain(call("a").on_success(call("late")), call("b")))
    told.moves("r/1", 1.0, 1.1)
    told.change("r/1", started_at=CLOCK + 1, queued_at=CLOCK + 1)
    told.moves("r/0/!success-0", 5.0, 6.0)
    told.change("r/0/!success-0", started_at=CLOCK + 5)
    says(told, "canceled", 1.5)
    assert told.broken() == []
    says(told, "interrupted", 1.6)
    assert told.broken() == [("G5", "r/0/!success-0")]


def test_steering_of_other_runs_says_nothing_of_this_one(told: Story) -> None:
    says(told, "suspended", 0.0, key="another")
    assert told.broken() == []
