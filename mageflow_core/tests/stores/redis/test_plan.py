"""Signatures as fields, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import chain, graph, swarm, task
from simulation.profile import examples
from strategies import signatures

from mageflow_core.signatures.codec import signature_loads, to_json
from mageflow_core.signatures.options import Options
from mageflow_core.signatures.signature import Signature, TaskSignature
from mageflow_core.stores.redis.plan import FEW_RANGES, Plan, milliseconds, number_in, plan_of
from mageflow_core.stores.redis.snapshot import Missing, Snapshot, complete

T = TypeVar("T")
Sig = Signature[Any]
A, B = task("a"), task("b")


def fields_of(plan: Plan) -> dict[str, str]:
    """As a run has them: its first plan is number 0."""
    return {f"{name[0]}0.{name[1:]}": text for name, text in plan.fields}


def read(fields: Mapping[str, str], ask: Callable[[Snapshot], T]) -> tuple[T, int]:
    """What it gives, and how often something was fetched."""
    snapshot = Snapshot("r")
    for fetched in range(1_000):
        try:
            return ask(snapshot), fetched
        except Missing as missing:
            names = missing.names
        assert not set(names) & set(snapshot.fields), "it was fetched before"
        snapshot.fields.update({name: fields.get(name) for name in names})
    raise AssertionError("it never has enough")


def back(signature: Sig) -> tuple[Sig, int]:
    fields = fields_of(plan_of([signature]))
    return read(fields, lambda snapshot: complete(snapshot.signature("0.1")))


def header(plan: Plan, number: int = 1) -> Any:
    return json.loads(dict(plan.fields)[f"s{number}"])


# --- there and back -----------------------------------------------------------------------------
@examples(25, 2_000)
@given(signatures)
def test_every_signature_comes_back_equal(signature: Sig) -> None:
    found, _ = back(signature)
    assert found == signature
    assert to_json(found) == to_json(signature), "with the stored runs that parts stand for"


@examples(8, 500)
@given(st.lists(st.tuples(signatures, st.integers(1, 4)), max_size=4))
def test_every_one_of_several_is_found_at_its_position(groups: list[tuple[Sig, int]]) -> None:
    several = [signature for signature, count in groups for _ in range(count)]
    plan = plan_of(several)
    fields = fields_of(plan)
    for position, signature in enumerate(several):
        number = number_in(plan.top, position)
        found, _ = read(fields, lambda s, n=number: complete(s.signature(f"0.{n}")))  # type: ignore[misc]
        assert to_json(found) == to_json(signature)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=200))
def test_a_position_has_the_number_of_its_signature(names: list[int]) -> None:
    several = [task(f"t{name}") for name in names]
    plan = plan_of(several)
    texts = dict(plan.fields)
    found = [texts[f"b{number_in(plan.top, position)}"] for position in range(len(names))]
    assert [signature_loads(text) for text in found] == several
    assert len(plan.top) <= 2 * FEW_RANGES


@pytest.mark.parametrize("width", [1, 50, 3_000])
def test_all_of_a_level_is_asked_for_at_once(width: int) -> None:
    # Given
    nested = chain(swarm(*(chain(task(f"t{n}"), A) for n in range(width))), B)
    # When
    found, fetched = back(nested)
    # Then
    assert found == nested
    assert fetched == 4  # the chain, what is in it, in that, and in that


def test_a_graph_keeps_the_order_of_its_nodes_and_who_waits_for_whom() -> None:
    # Given
    made = graph({"z": A, "a": B, "m": A}, {"z": ("a", "m"), "m": ("a",)}, on_failure="continue")
    # When
    plan = plan_of([made])
    found, _ = back(made)
    # Then
    texts = dict(plan.fields)
    assert json.loads(texts["o1"]) == ["z", "a", "m"]
    assert json.loads(texts["g1/a"]) == {
        "pos": 1,
        "sig": 3,
        "needs": [],
        "dependents": ["z", "m"],
    }
    assert json.loads(texts["g1/z"])["needs"] == ["a", "m"]
    assert list(getattr(found, "order")) == ["z", "a", "m"]  # noqa: B009 - of graphs alone
    assert found == made


# --- how much it is -----------------------------------------------------------------------------
def size(signature: Sig) -> tuple[int, int]:
    flat = list(plan_of([signature]).flat)
    return len(flat), sum(map(len, flat))


def test_a_swarm_of_equals_costs_no_more_than_one_of_them() -> None:
    one, many = size(swarm(A)), size(swarm(*[A] * 10_000))
    assert one[0] == many[0] == 8
    assert many[1] - one[1] == len("10000") - len("1") - len("1") + len("0")


@pytest.mark.parametrize("inner", [A, chain(A, B), swarm(A, B), graph({"x": A})])
def test_equal_neighbours_are_found_to_be_equal_whatever_they_are(inner: Sig) -> None:
    again = signature_loads(json.dumps(to_json(inner)))
    assert again is not inner
    assert size(swarm(inner, again))[0] == size(swarm(inner))[0]


def test_neighbours_that_stand_for_stored_runs_are_kept_apart() -> None:
    # Given
    first, second = (TaskSignature[Any](task="a", stored=name) for name in ("x", "y"))
    assert first == second, "that is not compared"
    # When
    found, _ = back(swarm(first, second, second))
    # Then
    assert [item.stored for item in found.children] == ["x", "y", "y"]


@pytest.mark.parametrize(
    ("several", "ranges"),
    [
        ([], []),
        ([A], [(0, 1, 1)]),
        ([A, A], [(0, 1, 0)]),
        ([A, B], [(0, 1, 1)]),
        ([A, B, A], [(0, 1, 1)]),
        ([A, A, B], [(0, 1, 0), (2, 2, 1)]),
        ([A, A, B, A], [(0, 1, 0), (2, 2, 1)]),
        ([A, B, B], [(0, 1, 1), (1, 2, 0)]),
        ([A, A, B, B, A], [(0, 1, 0), (2, 2, 0), (4, 3, 1)]),
    ],
)
def test_ranges_count_up_or_stay(several: list[Sig], ranges: list[Any]) -> None:
    assert plan_of(several).top == ranges


def test_many_short_groups_are_one_range_with_a_number_for_each() -> None:
    # Given
    few = [item for n in range(FEW_RANGES) for item in [task(f"t{n}")] * 2]
    many = [*few, A, A]
    # Then
    assert len(plan_of(few).top) == FEW_RANGES
    assert plan_of(many).top == [(0, 1, 1)]
    assert [number_in([(0, 1, 1)], n) for n in (0, 7, 101)] == [1, 8, 102]


def test_many_that_are_all_different_are_one_range() -> None:
    several = [task(f"t{n}") for n in range(500)]
    assert plan_of(several).top == [(0, 1, 1)]


# --- what it says -------------------------------------------------------------------------------
def test_a_header_has_what_the_machine_needs_and_nothing_else() -> None:
    # Given
    options = Options(
        delay=1.5, deadline=60, priority="high", backend="b", queue="q", timeout=5, ttl=9
    )
    made: Sig = TaskSignature(
        task="a",
        args={"secret": 1},
        opts=options,
        name="n",
        labels={"k": "v"},
        success_callbacks=(A, B),
        error_callbacks=(A,),
    )
    # Then
    assert header(plan_of([made])) == {
        "kind": "task",
        "task": "a",
        "backend": "b",
        "queue": "q",
        "priority": "high",
        "delay": 1500,
        "deadline": 60_000,
        "ok": [2, 3],
        "err": [4],
    }


def test_an_eta_is_a_time_in_milliseconds() -> None:
    made = task("a", eta=datetime(2024, 1, 2, 3, 4, 5, 678_000, UTC))
    assert header(plan_of([made])) == {"kind": "task", "task": "a", "eta": 1_704_164_645_678}


def test_a_container_tells_that_something_is_bound_but_not_what() -> None:
    assert header(plan_of([chain(A).bind(secret=1)])) == {
        "kind": "chain",
        "n": 1,
        "args": 1,
        "of": [[0, 2, 1]],
    }


def test_a_swarm_tells_of_its_limits() -> None:
    made = swarm(
        A,
        max_concurrency=3,
        open=True,
        max_tasks=7,
        idle_timeout=2.5,
        stop_after_n_failures=2,
        interrupt_running=True,
    )
    assert header(plan_of([made])) == {
        "kind": "swarm",
        "n": 1,
        "limit": 3,
        "open": 1,
        "max_tasks": 7,
        "idle": 2500,
        "stop_after": 2,
        "interrupt_running": 1,
        "of": [[0, 2, 1]],
    }
    assert header(plan_of([swarm(max_concurrency=None)])) == {"kind": "swarm", "n": 0, "of": []}


def test_the_text_for_workers_says_nothing_of_what_is_inside_a_container() -> None:
    # Given
    made = chain(A, swarm(B), ok=[A], err=[B]).bind(x=1).named("n")
    # Then
    text = dict(plan_of([made]).fields)["b1"]
    assert json.loads(text) == {"v": 1, "kind": "chain", "args": {"x": 1}, "name": "n"}


def test_the_text_of_a_task_is_all_of_it() -> None:
    made = task("a", ok=[chain(A, B)], retries=3)
    assert signature_loads(dict(plan_of([made]).fields)["b1"]) == made


def test_names_and_texts_come_by_turns() -> None:
    plan = Plan(fields=[("s1", "x"), ("b1", "y")])
    assert list(plan.flat) == ["s1", "x", "b1", "y"]


@given(signatures)
def test_the_first_signature_is_told_as_a_run_has_it_where_it_can_be_read_alone(
    signature: Sig,
) -> None:
    plan = plan_of([signature])
    names = {"s0.1", "b0.1"} if signature.kind != "graph" else set()
    assert plan.first.keys() == names
    assert plan.first.items() <= fields_of(plan).items()


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, None), (0, 0), (1, 1000), (0.0014, 1), (0.0016, 2), (2.5, 2500)],
)
def test_seconds_become_whole_milliseconds(seconds: float | None, expected: int | None) -> None:
    assert milliseconds(seconds) == expected
