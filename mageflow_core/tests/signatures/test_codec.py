"""Signatures as JSON, and back."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from strategies import json_values, mappings, signatures

from mageflow_core.errors import (
    CyclicGraph,
    DataError,
    NotSerializable,
    SignatureError,
    UnknownDependency,
)
from mageflow_core.signatures import codec
from mageflow_core.signatures.codec import (
    PARTS,
    content_hash,
    from_json,
    head_dumps,
    head_loads,
    signature_dumps,
    signature_loads,
    to_json,
)
from mageflow_core.signatures.options import Options, Retry
from mageflow_core.signatures.signature import (
    ChainSignature,
    GraphSignature,
    Signature,
    SwarmSignature,
    TaskSignature,
)

# --- any signature -------------------------------------------------------------------------------


@settings(max_examples=200)
@given(signatures)
def test_every_signature_comes_back_equal(signature: Signature[Any]) -> None:
    back = from_json(to_json(signature))

    assert back == signature
    assert back.stored == signature.stored


@given(signatures)
def test_every_signature_comes_back_equal_from_text(signature: Signature[Any]) -> None:
    back = signature_loads(signature_dumps(signature))

    assert back == signature
    assert to_json(back) == to_json(signature)


@given(signatures)
def test_equal_signatures_have_equal_hashes(signature: Signature[Any]) -> None:
    back = signature_loads(signature_dumps(signature))

    assert content_hash(back) == content_hash(signature)
    assert content_hash(replace(signature, stored="another")) == content_hash(signature)


@given(signatures, signatures)
def test_signatures_with_equal_hashes_are_equal(a: Signature[Any], b: Signature[Any]) -> None:
    if content_hash(a) == content_hash(b):
        assert a == b


# --- without what is inside ----------------------------------------------------------------------


@settings(max_examples=30)
@given(signatures)
def test_a_head_and_the_parts_make_the_signature_again(signature: Signature[Any]) -> None:
    head = head_dumps(signature)
    parts = {name: getattr(signature, name) for name in PARTS if hasattr(signature, name)}

    back = head_loads(head, parts)

    assert back == signature
    assert back.stored == signature.stored
    assert not set(json.loads(head)) & set(PARTS)


@settings(max_examples=30)
@given(signatures)
def test_a_head_says_nothing_of_the_parts(signature: Signature[Any]) -> None:
    other: Signature[Any] = TaskSignature(task="other")
    changed = replace(signature, success_callbacks=(other,), error_callbacks=())

    assert head_dumps(changed) == head_dumps(signature)


def test_parts_of_other_kinds_are_left_out() -> None:
    # Given
    steps = (TaskSignature[Any](task="a"),)
    chain: Signature[Any] = ChainSignature(steps=steps, name="x")
    # When
    back = head_loads(head_dumps(chain), {"steps": steps, "items": (), "nodes": {}})
    # Then
    assert back == chain


def test_parts_are_taken_as_they_are() -> None:
    # Given
    items: Any = [TaskSignature[Any](task="a")]
    # When
    swarm = head_loads(head_dumps(SwarmSignature()), {"items": items})
    # Then
    assert isinstance(swarm, SwarmSignature)
    assert swarm.items is items


@settings(max_examples=10)
@given(mappings)
def test_a_head_that_is_no_json_is_refused_with_its_path(args: dict[str, Any]) -> None:
    signature: Signature[Any] = SwarmSignature(args={**args, "n": {1}})

    with pytest.raises(NotSerializable, match=r"^signature\.args\.n: set of 1"):
        head_dumps(signature)


# --- how it looks --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signature", "data"),
    [
        (TaskSignature(task="a"), {"v": 1, "kind": "task", "task": "a"}),
        (
            TaskSignature(task="a", args={"n": 1}, name="x", labels={"k": "v"}),
            {
                "v": 1,
                "kind": "task",
                "args": {"n": 1},
                "name": "x",
                "labels": {"k": "v"},
                "task": "a",
            },
        ),
        (
            ChainSignature(steps=(TaskSignature(task="a"), TaskSignature(task="b"))),
            {
                "v": 1,
                "kind": "chain",
                "steps": [{"kind": "task", "task": "a"}, {"kind": "task", "task": "b"}],
            },
        ),
        (SwarmSignature(), {"v": 1, "kind": "swarm"}),
        (
            SwarmSignature(max_concurrency=None, open=True, max_tasks=5),
            {"v": 1, "kind": "swarm", "max_concurrency": None, "open": True, "max_tasks": 5},
        ),
        (
            GraphSignature(
                nodes={"b": TaskSignature(task="b"), "a": TaskSignature(task="a")},
                depends_on={"b": ("a",)},
                on_failure="continue",
            ),
            {
                "v": 1,
                "kind": "graph",
                "nodes": {"b": {"kind": "task", "task": "b"}, "a": {"kind": "task", "task": "a"}},
                "depends_on": {"b": ["a"]},
                "on_failure": "continue",
            },
        ),
        (
            TaskSignature(
                task="a",
                opts=Options(
                    retry=Retry(retries=3, on=(ValueError,)),
                    timeout=30.0,
                    eta=datetime(2024, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))),
                ),
            ),
            {
                "v": 1,
                "kind": "task",
                "task": "a",
                "opts": {
                    "retry": {"retries": 3, "on": ["builtins.ValueError"]},
                    "timeout": 30,
                    "eta": "2024-01-02T01:00:00+00:00",
                },
            },
        ),
        (
            TaskSignature(
                task="a",
                success_callbacks=(TaskSignature(task="s"),),
                error_callbacks=(TaskSignature(task="e"),),
            ),
            {
                "v": 1,
                "kind": "task",
                "task": "a",
                "success_callbacks": [{"kind": "task", "task": "s"}],
                "error_callbacks": [{"kind": "task", "task": "e"}],
            },
        ),
        (
            TaskSignature(task="a", stored="run"),
            {"v": 1, "kind": "task", "task": "a", "stored": "run"},
        ),
    ],
)
def test_only_what_is_not_the_default_is_written(signature: Signature[Any], data: Any) -> None:
    assert to_json(signature) == data
    assert from_json(data) == signature


def test_the_order_of_a_graphs_nodes_is_kept() -> None:
    nodes: dict[str, Signature[Any]] = {n: TaskSignature(task="t") for n in "zbay"}

    back = signature_loads(signature_dumps(GraphSignature(nodes=nodes)))

    assert isinstance(back, GraphSignature)
    assert back.order == ("z", "b", "a", "y")


def test_a_field_that_could_be_taken_for_its_default_is_written() -> None:
    # False == 0 and True == 1, but a retry of 0 is no flag
    signature: Signature[Any] = TaskSignature(task="a", opts=Options(retry=Retry(retries=0)))

    assert to_json(signature)["opts"] == {"retry": {"retries": 0}}


def test_a_flag_for_the_jitter_is_written_as_the_number_that_it_stands_for() -> None:
    for flag, number in ((False, 0), (True, 1)):
        retry = Retry(retries=1, jitter=flag)
        signature: Signature[Any] = TaskSignature(task="a", opts=Options(retry=retry))

        assert to_json(signature)["opts"] == {"retry": {"retries": 1, "jitter": number}}
        assert signature_loads(signature_dumps(signature)) == signature


ODD: Any = True


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        (SwarmSignature(max_concurrency=ODD), "SwarmSignature.max_concurrency: a whole number or"),
        (
            SwarmSignature(stop_after_n_failures=ODD, interrupt_running=ODD),
            "SwarmSignature.stop_after_n_failures: a whole number or null",
        ),
        (SwarmSignature(open=1 * ODD), "SwarmSignature.open: true or false was"),
        (TaskSignature(task="a", opts=Options(timeout=ODD)), "Options.timeout: a number or null"),
        (
            TaskSignature(task="a", opts=Options(retry=Retry(retries=ODD))),
            "Retry.retries: a whole number was expected, not bool True",
        ),
        (
            TaskSignature(task="a", opts=Options(retry=Retry(retries=1.5 * ODD))),
            "Retry.retries: a whole number was expected, not float 1.5",
        ),
        (TaskSignature(task="a", labels={"n": ODD}), "TaskSignature.labels.n: a text was expected"),
        (TaskSignature(task="a", name=ODD), "TaskSignature.name: a text or null was expected"),
        (TaskSignature(task=ODD), "TaskSignature.task: a text was expected, not bool True"),
    ],
)
def test_what_could_not_be_read_again_is_not_written(
    signature: Signature[Any], message: str
) -> None:
    inside: Signature[Any] = ChainSignature(steps=(signature,))
    for write, whose in (
        (signature_dumps, signature),
        (signature_dumps, inside),
        (head_dumps, signature),
        (content_hash, inside),
    ):
        with pytest.raises(SignatureError) as caught:
            write(whose)
        assert str(caught.value).startswith(message)


def test_every_field_of_a_signature_has_its_reader() -> None:
    for cls in codec._CLASSES:
        for each in fields(cls):
            assert not each.init or each.name in codec._DECODERS


# --- what is not known ---------------------------------------------------------------------------

A = {"kind": "task", "task": "a"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "signature: an object was expected, not list of 0"),
        (
            {**A},
            (
                "signature.v: version None is not known, only 1; a newer MageFlow may have written "
                "this"
            ),
        ),
        (
            {"v": 2, **A},
            ("signature.v: version 2 is not known, only 1; a newer MageFlow may have written this"),
        ),
        ({"v": 1}, "signature.kind: None is not one of task, chain, swarm, graph"),
        (
            {"v": 1, "kind": "loop"},
            ("signature.kind: 'loop' is not one of task, chain, swarm, graph"),
        ),
        ({"v": 1, "kind": []}, "signature.kind: [] is not one of task, chain, swarm, graph"),
        ({"v": 1, "kind": "task"}, "signature: a TaskSignature needs the field 'task'"),
        (
            {"v": 1, **A, "taks": 1},
            (
                "signature: unknown field 'taks'; a TaskSignature has args, "
                "opts, name, labels, success_callbacks, error_callbacks, stored, task"
            ),
        ),
        (
            {"v": 1, "kind": "chain", "steps": [A, {**A, "v": 1}]},
            (
                "signature.steps[1]: unknown "
                "field 'v'; a TaskSignature has args, opts, name, labels, success_callbacks, "
                "error_callbacks, stored, task"
            ),
        ),
        (
            {"v": 1, "kind": "chain", "steps": {}},
            ("signature.steps: a list was expected, not dict of 0"),
        ),
        (
            {"v": 1, "kind": "chain", "steps": ["a"]},
            ("signature.steps[0]: a signature was expected, not str 'a'"),
        ),
        (
            {"v": 1, "kind": "chain", "steps": []},
            ("signature: a chain has no steps: give it at least one"),
        ),
        ({"v": 1, "kind": "task", "task": 5}, "signature.task: a text was expected, not int 5"),
        ({"v": 1, **A, "args": []}, "signature.args: an object was expected, not list of 0"),
        ({"v": 1, **A, "labels": {"n": 1}}, "signature.labels.n: a text was expected, not int 1"),
        (
            {"v": 1, **A, "opts": {"speed": 1}},
            (
                "signature.opts: unknown field 'speed'; a Options "
                "has retry, timeout, delay, eta, priority, deadline, ttl, backend, queue, "
                "interrupt, "
                "native"
            ),
        ),
        (
            {"v": 1, **A, "opts": {"retry": {}}},
            ("signature.opts.retry: a Retry needs the field 'retries'"),
        ),
        (
            {"v": 1, **A, "opts": {"retry": {"retries": "3"}}},
            ("signature.opts.retry.retries: a whole number was expected, not str '3'"),
        ),
        (
            {"v": 1, **A, "opts": {"retry": {"retries": 1, "on": [1]}}},
            ("signature.opts.retry.on[0]: a text was expected, not int 1"),
        ),
        (
            {"v": 1, **A, "opts": {"retry": 3}},
            ("signature.opts.retry: Retry was expected, not int 3"),
        ),
        (
            {"v": 1, **A, "opts": {"timeout": True}},
            ("signature.opts.timeout: a number or null was expected, not bool True"),
        ),
        (
            {"v": 1, **A, "opts": {"eta": "soon"}},
            ("signature.opts.eta: a time in ISO 8601 was expected, not str 'soon'"),
        ),
        (
            {"v": 1, **A, "opts": {"timeout": -1}},
            ("signature.opts: option timeout=-1: give seconds, not negative"),
        ),
        (
            {"v": 1, "kind": "swarm", "open": 1},
            ("signature.open: true or false was expected, not int 1"),
        ),
        (
            {"v": 1, "kind": "swarm", "items": [{"kind": "chain", "steps": [{"kind": "x"}]}]},
            "signature.items[0].steps[0].kind: 'x' is not one of task, chain, swarm, graph",
        ),
        (
            {"v": 1, "kind": "graph", "nodes": {"a b": A}},
            ("signature: graph node 'a b': use letters, digits, '.', '_' and '-'"),
        ),
        (
            {"v": 1, "kind": "graph", "nodes": {"a": {**A, "name": 1}}},
            ("signature.nodes.a.name: a text or null was expected, not int 1"),
        ),
        (
            {"v": 1, "kind": "graph", "nodes": {"a": A}, "depends_on": {"a": "b"}},
            "signature.depends_on.a: a list was expected, not str 'b'",
        ),
    ],
)
def test_what_is_not_known_or_does_not_fit_is_refused_with_its_path(
    data: Any, message: str
) -> None:
    with pytest.raises(SignatureError) as caught:
        from_json(data)

    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("depends_on", "error"),
    [({"a": ["b"], "b": ["a"]}, CyclicGraph), ({"a": ["c"]}, UnknownDependency)],
)
def test_a_graph_that_cannot_be_built_is_refused_by_the_error_of_building_it(
    depends_on: Any, error: type[SignatureError]
) -> None:
    graph = {"kind": "graph", "nodes": {"a": A, "b": A}, "depends_on": depends_on}

    with pytest.raises(error, match=r"^signature\.steps\[0\]: "):
        from_json({"v": 1, "kind": "chain", "steps": [graph]})


@pytest.mark.parametrize("text", ["", "{", "NaN"])
def test_text_that_is_not_json_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"^signature is not JSON text"):
        signature_loads(text)


@given(json_values)
def test_any_other_json_value_is_refused_and_nothing_else_happens(value: Any) -> None:
    with pytest.raises(SignatureError):
        from_json(value)


def test_arguments_that_are_not_json_are_refused_with_their_path() -> None:
    signature: Signature[Any] = ChainSignature(steps=(TaskSignature(task="a", args={"n": {1}}),))

    for write in (signature_dumps, content_hash):
        with pytest.raises(NotSerializable, match=r"^signature\.steps\[0\]\.args\.n: set of 1"):
            write(signature)
