"""What a test calls."""

from __future__ import annotations

import pytest
from evidences import Story

from mageflow_conformance.flows import call
from mageflow_conformance.history import assert_kept
from mageflow_core import Status, chain


def test_all_that_was_not_kept_is_said_at_once() -> None:
    told = Story(chain(call("a"), call("b")))
    assert_kept(told.evidence)
    told.settled = False
    told.change("r/0", worker="w9")
    told.change("r/1", status=Status.ACTIVE)
    with pytest.raises(AssertionError) as failed:
        assert_kept(told.evidence)
    assert str(failed.value).splitlines()[:3] == [
        "not kept:",
        "G1 r: it is not settled",
        "G1 r/1: left behind as active",
    ]
    assert "G3 r/0: it is said to be done by w9" in str(failed.value)


def test_where_nobody_was_witnessed_nothing_is_shown() -> None:
    told = Story(call("a"))
    told.rows = []
    with pytest.raises(AssertionError, match="no body was witnessed"):
        assert_kept(told.evidence)


def test_bodies_of_other_runs_are_left_out() -> None:
    told = Story(call("a"))
    other = Story(call("a"))
    told.rows += [row for row in other.rows for row in [row]]
    assert told.broken() == [("G2", "r")]  # as if they were its own
    told = Story(call("a"))
    told.moves("another", 0.0, 1.0)
    told.moves("r2", 0.0, 1.0)
    assert set(told.evidence.bodies) == {"r"}
