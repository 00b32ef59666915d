"""What has been read of a run so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no types
import pytest
from simulation import chain, graph, swarm, task

from mageflow_core.errors import RunNotFound
from mageflow_core.machine import Status
from mageflow_core.signatures.signature import GraphSignature, Signature
from mageflow_core.stores.redis.plan import plan_of
from mageflow_core.stores.redis.records import INLINE
from mageflow_core.stores.redis.snapshot import LONG, Missing, Snapshot, complete

A, B = task("a"), task("b")
RECORD = {"created": 1_000, "ttl": 2_000}


def packed(value: object) -> str:
    data: bytes = msgpack.packb(value)
    return data.decode("utf-8", "surrogateescape")


def read(
    signature: Signature[Any] = A, more: Mapping[str, str | None] = MappingProxyType({})
) -> Snapshot:
    """A snapshot of a run of this signature in which everything has been read."""
    snapshot = Snapshot("r")
    plan = plan_of([signature])
    snapshot.fields = {f"{name[0]}0.{name[1:]}": text for name, text in plan.fields}
    snapshot.fields |= {"run": packed(RECORD), "m": "1"} | dict(more)
    return snapshot


def missing(ask: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(Missing) as caught:
        ask()
    return caught.value.names


# --- fields -------------------------------------------------------------------------------------
def test_what_was_not_read_is_missing_and_what_is_not_there_is_none() -> None:
    # Given
    snapshot = Snapshot("r")
    assert missing(lambda: snapshot.text("x")) == ("x",)
    # When
    snapshot.fields["x"] = None
    # Then
    assert snapshot.text("x") is None


def test_a_field_that_a_run_must_have_is_missed_with_the_run() -> None:
    snapshot = Snapshot("r")
    snapshot.fields["run"] = None
    with pytest.raises(RunNotFound, match="no run 'r'"):
        snapshot.needed("run")
    with pytest.raises(RunNotFound, match="no run 'r'"):
        _ = snapshot.run


# --- the run ------------------------------------------------------------------------------------
def test_of_a_run_only_its_record_is_read_until_more_is_asked_for() -> None:
    # Given
    snapshot = Snapshot("r")
    assert missing(lambda: snapshot.run) == ("run",)
    snapshot.fields["run"] = packed(RECORD)
    # When
    run = snapshot.run
    # Then
    assert (run.id, run.created_at) == ("r", 1.0)
    assert snapshot.run is run
    assert missing(lambda: run.signature) == ("s0.1", "b0.1")
    assert missing(lambda: run.message) == ("m",)


def test_a_message_that_has_a_key_of_its_own_is_asked_for_there() -> None:
    # Given
    snapshot = read(more={"m": ""})
    assert missing(lambda: snapshot.run.message) == (f"{LONG}$",)
    # When
    snapshot.fields[f"{LONG}$"] = "long"
    # Then
    assert snapshot.run.message == "long"


# --- nodes --------------------------------------------------------------------------------------
def test_a_node_is_decoded_once() -> None:
    # Given
    snapshot = read()
    assert missing(lambda: snapshot.node("")) == ("n",)
    snapshot.fields["n"] = packed({"sig": "0.1", "st": "queued"})
    # When
    node = snapshot.node("")
    # Then
    assert node is not None
    assert (node.status, node.signature) == (Status.QUEUED, A)
    assert snapshot.node("") is node


def test_a_node_that_is_not_stored_is_none() -> None:
    assert read(more={"n/3": None}).node("/3") is None


@pytest.mark.parametrize(
    ("size", "field"), [(1, "v/0"), (INLINE, "v/0"), (INLINE + 1, f"{LONG}/0")]
)
def test_a_value_is_where_its_size_says(size: int, field: str) -> None:
    # Given
    node = read(more={"n/0": packed({"sig": "0.1", "val": size})}).node("/0")
    # Then
    assert node is not None
    assert missing(lambda: node.value) == (field,)


def test_a_value_that_should_be_there_and_is_not_has_gone_with_its_run() -> None:
    node = read(more={"n": packed({"sig": "0.1", "val": 1}), "v": None}).node("")
    assert node is not None
    with pytest.raises(RunNotFound):
        _ = node.value


def test_added_items_count_on_from_those_that_a_swarm_was_made_with() -> None:
    # Given
    snapshot = read(swarm(A, B, open=True), {"n": packed({"sig": "0.1", "kind": "swarm"})})
    assert missing(lambda: snapshot.added_item("", 1)) == ("i/3",)
    # When
    snapshot.fields |= {"i/3": "1.1", "s1.1": '{"kind":"task"}', "b1.1": snapshot.fields["b0.3"]}
    # Then
    assert snapshot.added_item("", 1) == B


def test_an_addition_is_found_by_its_id() -> None:
    snapshot = read(more={"a/0 x": "3 2", "a/0 y": None})
    assert snapshot.added_before("/0", "x") == (3, 2)
    assert snapshot.added_before("/0", "y") is None


def test_readers_park_nothing() -> None:
    assert read().parked_at("", 5) == ()


# --- signatures ---------------------------------------------------------------------------------
def test_a_container_is_there_without_what_is_inside() -> None:
    # Given
    snapshot = read(chain(A, B, ok=[A]))
    for name in [name for name in snapshot.fields if name[1:] in ("0.2", "0.3", "0.4")]:
        del snapshot.fields[name]
    # When
    signature = snapshot.signature("0.1")
    # Then
    assert (signature.kind, len(signature.children)) == ("chain", 2)
    assert len(signature.success_callbacks) == 1
    assert missing(lambda: signature.children[1]) == ("s0.3", "b0.3")
    assert missing(lambda: signature.success_callbacks[0]) == ("s0.4", "b0.4")


def test_a_signature_is_made_once() -> None:
    snapshot = read(chain(A, A))
    children = snapshot.signature("0.1").children
    assert children[0] is children[1] is snapshot.signature("0.2")


def test_what_is_inside_is_gone_through_like_any_other_sequence() -> None:
    # Given
    children = read(chain(A, A, B)).signature("0.1").children
    # Then
    assert list(children) == [A, A, B]
    for position in (-1, 3):
        with pytest.raises(IndexError):
            _ = children[position]


def test_the_nodes_of_a_graph_are_a_mapping_in_order() -> None:
    # Given
    made = read(graph({"z": A, "a": B}, {"z": ("a",)})).signature("0.1")
    assert isinstance(made, GraphSignature)
    # Then
    assert list(made.nodes) == ["z", "a"]
    assert len(made.nodes) == 2
    assert "z" in made.nodes
    assert "x" not in made.nodes
    assert made.nodes["a"] == B
    assert made.dependents == {"a": (0,)}
    with pytest.raises(KeyError):
        _ = made.nodes["x"]


def test_a_graph_is_there_without_its_nodes() -> None:
    # Given
    snapshot = read(graph({"x": A}))
    for name in ("g0.1/x", "s0.2", "b0.2"):
        del snapshot.fields[name]
    signature = snapshot.signature("0.1")
    assert isinstance(signature, GraphSignature)
    # Then
    assert signature.order == ("x",)
    assert missing(lambda: signature.nodes["x"]) == ("g0.1/x",)


def test_parts_of_a_later_plan_are_looked_for_there() -> None:
    # Given
    snapshot = read()
    plan = plan_of([chain(A, B)])
    snapshot.fields |= {f"{name[0]}7.{name[1:]}": text for name, text in plan.fields}
    # Then
    assert complete(snapshot.signature("7.1")) == chain(A, B)


# --- complete -----------------------------------------------------------------------------------
def test_all_that_is_wanted_next_is_asked_for_at_once() -> None:
    # Given
    snapshot = read(chain(A, graph({"x": A, "y": B}), B))
    plan = snapshot.fields
    snapshot.fields = {name: plan[name] for name in ("s0.1", "b0.1")}
    signature = snapshot.signature("0.1")
    # Then
    assert missing(lambda: complete(signature)) == (
        "s0.2",
        "b0.2",
        "s0.3",
        "b0.3",
        "s0.4",
        "b0.4",
    )


def test_a_task_is_complete_as_it_is() -> None:
    signature = read(task("a", ok=[chain(A, B)])).signature("0.1")
    assert complete(signature) is signature


def test_what_is_complete_has_nothing_of_the_snapshot() -> None:
    # Given
    made = swarm(A, chain(A, B), ok=[B], err=[A])
    # When
    found = complete(read(made).signature("0.1"))
    # Then
    assert found == made
    for part in (found.children, found.success_callbacks, found.error_callbacks):
        assert type(part) is tuple
    assert type(found.children[1].children) is tuple


def test_equal_neighbours_are_one_object_also_when_complete() -> None:
    found = complete(read(swarm(*[chain(A, B)] * 3)).signature("0.1"))
    first, second, third = found.children
    assert first is second is third
