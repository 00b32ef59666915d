"""G4: nothing begins before what it waits for is done, nor beside more than its limit allows."""

from __future__ import annotations

import pytest
from evidences import Story, ran

from mageflow_conformance.flows import call
from mageflow_conformance.history.order import most_at_once
from mageflow_conformance.processes.process import FROZEN, KILLED
from mageflow_conformance.witness import FAILED
from mageflow_core import Status, chain, graph, swarm


def test_a_step_that_begins_before_the_one_before_it_has_ended_is_found() -> None:
    told = Story(chain(call("a"), chain(call("b"), call("c")), call("d")))
    assert told.broken() == []
    told.moves("r/1/0", 0.5, 1.5)
    assert told.broken() == [("G4", "r/1")]
    told.moves("r/1/0", 1.0, 1.9)
    told.moves("r/2", 2.5, 3.0)
    assert told.broken() == [("G4", "r/2")]


def test_a_step_is_judged_by_the_stores_times_too() -> None:
    told = Story(chain(call("a"), call("b")))
    told.change("r/0", ended_at=1_001.2)
    told.change("r/1", queued_at=1_001.1)
    assert told.broken() == [("G4", "r/1")]


def test_a_step_after_one_that_is_not_done_is_found() -> None:
    told = Story(chain(call("a"), call("b")))
    told.change("r/0", status=Status.FAILED)
    assert ("G4", "r/1") in told.broken()


def test_a_callback_of_a_step_may_run_beside_the_next_one() -> None:
    told = Story(chain(call("a").on_success(call("late")), call("b")))
    told.moves("r/0/!success-0", 5.0, 6.0)
    assert told.broken() == []


def test_a_step_may_begin_while_a_zombie_of_the_one_before_it_runs_on() -> None:
    told = Story(chain(call("a"), call("b")))
    told.moves("r/0", 0.0, 9.0)
    told.rows += ran("r/0", 0.5, 0.9, fence=2, pid=2)
    told.change("r/0", worker="w2")
    told.events = [e._replace(worker="w2") if e.path == "/0" else e for e in told.events]
    told.says(FROZEN, of=1)
    assert told.broken() == []


def test_a_node_of_a_graph_waits_for_all_that_it_depends_on() -> None:
    nodes = {"a": call("a"), "b": call("b"), "c": call("c")}
    told = Story(graph(nodes, depends_on={"c": ["a", "b"]}))
    assert told.broken() == []
    told.moves("r/b", 0.0, 1.0)  # beside a, which is as it should be
    told.moves("r/c", 0.95, 2.0)
    assert told.broken() == [("G4", "r/c")]
    assert "before r/b had ended" in next(told.each()).text


@pytest.mark.parametrize(("limit", "broken"), [(1, [("G4", "r")]), (2, []), (None, [])])
def test_more_items_than_a_swarm_allows_at_once_are_found(
    limit: int | None, broken: list[tuple[str, str]]
) -> None:
    told = Story(swarm([call("a"), call("b"), call("c")], max_concurrency=limit))
    told.moves("r/1", 0.8, 1.8)
    assert told.broken() == broken


def test_an_item_holds_its_slot_from_its_first_body_to_its_last() -> None:
    # Given an item that is a chain, and one that runs again after a crash
    told = Story(swarm([chain(call("a"), call("b")), call("c"), call("d")], max_concurrency=2))
    assert told.broken() == []
    told.moves("r/1", 0.5)
    told.rows += ran("r/1", 3.5, 3.8, fence=2, pid=2)
    told.change("r/1", worker="w2", crashes=1)
    told.events = [e for e in told.events if e.path != "/1"]
    told.says(KILLED, of=1)
    assert told.broken() == []
    # When a third one begins between their bodies
    told.moves("r/2", 0.95, 0.99)
    assert told.broken() == [("G4", "r")]


def test_an_item_holds_no_slot_between_its_failure_and_its_retry_by_hand() -> None:
    # Given an item that has failed, and ran again when the next one was over
    told = Story(swarm([chain(call("a"), call("b")), call("c")], max_concurrency=1))
    told.moves("r/0/1", 1.0, 1.2, how=FAILED)
    told.rows += ran("r/0/1", 3.5, 3.8, fence=2)
    assert ("G4", "r") in told.broken()
    told.change("r/0/1", generation=2)
    assert told.broken() == []
    # When one of its bodies ran beside another item's
    told.rows += ran("r/0/0", 2.5, 2.6, fence=2)
    assert ("G4", "r") in told.broken()


def test_bodies_of_one_item_that_run_beside_each_other_are_one() -> None:
    told = Story(swarm([graph({"a": call("a"), "b": call("b")}), call("c")], max_concurrency=1))
    told.moves("r/0/b", 0.2, 0.5)
    told.change("r/0/b", generation=2)
    assert told.broken() == []


def test_one_that_begins_when_another_ends_is_not_beside_it() -> None:
    assert most_at_once([]) == 0
    assert most_at_once([(0.0, 1.0), (1.0, 2.0), (2.0, 2.0)]) == 1
    assert most_at_once([(0.0, 3.0), (1.0, 2.0), (1.5, 2.5)]) == 3
