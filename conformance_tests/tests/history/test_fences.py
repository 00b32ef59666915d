"""G3: what stands is what the last claim has said."""

from __future__ import annotations

import pytest
from evidences import Story, ran

from mageflow_conformance.flows import call
from mageflow_conformance.processes.process import FROZEN
from mageflow_core import chain
from mageflow_core.machine import Event


@pytest.fixture
def told() -> Story:
    """Of which the first step was taken over from process 1, which froze, by process 2."""
    story = Story(chain(call("a"), call("b")))
    story.moves("r/0", 0.0, 0.9)
    story.rows += ran("r/0", 0.5, 0.8, fence=2, pid=2)
    story.says(FROZEN, of=1)
    story.change("r/0", worker="w2")
    story.events = [e._replace(worker="w2") if e.path == "/0" else e for e in story.events]
    return story


def test_a_zombie_that_says_something_late_breaks_nothing(told: Story) -> None:
    assert told.broken() == []


def test_a_node_that_a_zombie_has_ended_is_found(told: Story) -> None:
    told.events = [e._replace(worker="w1") if e.path == "/0" else e for e in told.events]
    assert told.broken() == [("G3", "r/0")]
    assert "w1 has ended it" in next(told.each()).text


def test_a_node_that_shows_a_zombie_as_its_worker_is_found(told: Story) -> None:
    told.change("r/0", worker="w1")
    assert told.broken() == [("G3", "r/0")]


def test_a_node_that_is_done_though_its_last_body_is_not_is_found(told: Story) -> None:
    told.rows = [row for row in told.rows if (row.what, row.fence) != ("ended", 2)]
    assert ("G3", "r/0") in told.broken()


def test_an_item_without_a_history_is_judged_by_its_worker(told: Story) -> None:
    told.events = [Event(1.0, "done", "")]
    assert told.broken() == []
