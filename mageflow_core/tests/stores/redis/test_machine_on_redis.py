"""The tests of the state machine once more, with all that they do compared with Redis."""

from __future__ import annotations

import importlib
from collections.abc import Iterator

import pytest
from comparing import compared
from simulation.profile import THOROUGH

from mageflow_conformance.servers import RedisServer

MODULES = [
    "asking_again", "attempts", "containers", "continuations", "marks", "nested", "retrying",
    "times", "wide",
]  # fmt: skip
# Thousands of steps each, or examples of what other tests of this folder have more of.
LONG = {
    "test_a_canceled_wide_swarm_is_reopened_by_bounded_steps",
    "test_a_graph_of_2000_nodes_in_a_row_is_no_deep_recursion",
    "test_a_graph_that_fans_out_to_2000_nodes_and_in_again_goes_on_by_bounded_steps",
    "test_a_swarm_of_5000_items_without_limit_begins_by_bounded_steps",
    "test_a_wide_graph_is_retried_by_bounded_steps",
    "test_a_wide_swarm_in_a_chain_in_a_wide_swarm_ends_and_every_task_runs_once",
    "test_nodes_that_end_while_a_wide_one_is_still_telling_are_told_of_too",
    "test_small_random_nests_agree_with_the_interpreter_in_order",
    "test_thousands_of_items_can_be_added_at_once",
}

pytestmark = pytest.mark.timeout(0 if THOROUGH else 180)


@pytest.fixture(scope="module", autouse=True)
def _comparing(_shared: RedisServer) -> Iterator[None]:
    with compared(_shared.url):
        yield


def _tests() -> Iterator[tuple[str, object]]:
    for name in MODULES:
        for test, function in vars(importlib.import_module(f"test_{name}")).items():
            if test.startswith("test_") and (THOROUGH or test not in LONG):
                yield test, function


# Found by pytest under their own names.
globals().update(_tests())


def test_no_two_of_them_have_one_name() -> None:
    names = [name for name, _ in _tests()]
    assert len(names) == len(set(names)) > 150
    assert THOROUGH or not LONG & set(names)
