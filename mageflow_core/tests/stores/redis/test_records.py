"""Records as they stand in Redis, back as the machine's own."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no types
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulation import task

from mageflow_core.failure import Cause
from mageflow_core.machine import Failure, Job, Mark, Node, Status
from mageflow_core.machine.records import Claim, Inner
from mageflow_core.stores.redis.records import (
    StoredNode,
    event_of,
    is_done,
    jobs_of,
    node_of,
    run_of,
    seconds,
    unpacked,
    written_in,
)

A = task("a")


def text_of(name: str) -> str:
    return f"text of {name}"


def decoded(data: dict[str, Any], path: str = "/0") -> StoredNode:
    return node_of(path, data, text_of, lambda: A, lambda: "7")


def values(node: Node) -> dict[str, Any]:
    return {field.name: getattr(node, field.name) for field in fields(Node)}


def packed(value: object) -> str:
    """As the driver reads it."""
    data: bytes = msgpack.packb(value)
    return data.decode("utf-8", "surrogateescape")


# --- nodes --------------------------------------------------------------------------------------
def test_what_a_record_leaves_out_has_its_default() -> None:
    node = decoded({"sig": "0.1"})
    assert values(node) == values(Node("/0", "", 0, "child", A, 2))


@pytest.mark.parametrize(
    ("path", "parent", "role", "depth"),
    [
        ("", None, "root", 1),
        ("/2/a~3", "/2/a", "continuation", 4),
        ("/0/!error-1", "/0", "callback", 3),
    ],
)
def test_what_follows_from_the_path_is_not_in_the_record(
    path: str, parent: str | None, role: str, depth: int
) -> None:
    node = decoded({}, path)
    assert (node.path, node.parent, node.role, node.depth) == (path, parent, role, depth)


def test_a_whole_record_is_read() -> None:
    # Given
    data = {
        "sig": "0.1",
        "kind": "swarm",
        "pos": 3,
        "msg": "/1",
        "prev": "/1/0",
        "deps": [["x", "/x"], ["y", "/y"]],
        "st": "active",
        "mark": "suspend",
        "ending": "canceled",
        "gen": 2,
        "round": 3,
        "slot": 1,
        "told": 4,
        "attempt": 6,
        "before": 5,
        "sends": 7,
        "crashes": 1,
        "fence": 8,
        "claim": "c",
        "last": "b",
        "last_request": "q",
        "due": 1_500,
        "queued": 2_500,
        "started": 3_500,
        "ended": 4_500,
        "worker": "w",
        "val": 1,
        "res": True,
        "carried": "/1",
        "used": 1,
        "failure": ["body", "e/0.2"],
        "error": "/0/1",
        "about": ["/2", "body", "e/2.1"],
        "bodies": 2,
        "inner": {
            "cursor": 1,
            "begun": 2,
            "open": 1,
            "failures": [0],
            "ready": [4],
            "cont": 3,
        },
    }
    # When
    node = decoded(data)
    # Then
    assert node.kind == "swarm"
    assert values(node) == values(
        Node(
            path="/0",
            parent="",
            position=3,
            role="child",
            signature=A,
            depth=2,
            message="/1",
            previous="/1/0",
            dependencies=(("x", "/x"), ("y", "/y")),
            status=Status.ACTIVE,
            mark=Mark.SUSPEND,
            ending=Status.CANCELED,
            generation=2,
            round=3,
            slot=True,
            told=4,
            attempt=6,
            attempts_before=5,
            sends=7,
            crashes=1,
            fence=8,
            claim=Claim("c", "w", 8),
            last_claim="b",
            last_request="q",
            due=1.5,
            queued_at=2.5,
            started_at=3.5,
            ended_at=4.5,
            worker="w",
            value="7",
            result="/0",
            carried="/1",
            used_previous=True,
            failure=Failure(Cause.BODY, "text of e/0.2"),
            error="/0/1",
            about=("/2", Failure(Cause.BODY, "text of e/2.1")),
            bodies=2,
            inner=Inner(
                cursor=1,
                begun=2,
                closed=False,
                failures=(0,),
                ready=(4,),
                continuation=3,
            ),
        )
    )


def test_a_claim_of_a_thread_that_still_runs_is_held() -> None:
    node = decoded({"claim": "c", "worker": "w", "fence": 2, "held": 1, "number": 9})
    assert node.claim == Claim("c", "w", 2, held=True)


@pytest.mark.parametrize("said", [["deadline"], ["deadline", False]])
def test_a_failure_of_our_own_has_no_text(said: list[Any]) -> None:
    assert decoded({"failure": said}).failure == Failure(Cause.DEADLINE)
    assert decoded({"about": ["/1", *said]}).about == ("/1", Failure(Cause.DEADLINE))


def test_the_empty_table_of_a_container_is_a_list_there() -> None:
    assert decoded({"inner": []}).inner == Inner(closed=True)


def test_what_is_long_is_read_when_it_is_asked_for_and_once() -> None:
    # Given
    read: list[str] = []

    def value() -> str:
        read.append("value")
        return "7"

    node = node_of("", {"val": 1}, text_of, lambda: A, value)
    assert read == []
    # Then
    assert (node.value, node.value) == ("7", "7")
    assert read == ["value"]


def test_a_node_without_a_result_reads_none() -> None:
    node = node_of("", {}, text_of, lambda: A, lambda: pytest.fail("it is read"))
    assert node.value is None


def test_what_is_put_in_place_of_a_value_is_kept() -> None:
    node = decoded({"val": 1})
    node.value = "8"
    assert node.value == "8"


def test_readers_share_a_node() -> None:
    node = decoded({})
    assert node.copy() is node


# --- runs ---------------------------------------------------------------------------------------
def test_a_run_is_read_with_times_in_seconds() -> None:
    # Given
    data = {
        "created": 1_500,
        "ttl": 2_000,
        "content": "hash",
        "key": "k",
        "start_id": "s",
        "started": 1_600,
        "deadline": 1_700,
        "settled": 1_800,
        "cbs": 1,
        "marks": 2,
        "reopened": 3,
        "by": "other",
        "by_at": 1_900,
        "alias": "other/3",
    }
    # When
    run = run_of("r", data, lambda: A, lambda: "1")
    # Then
    assert (run.id, run.signature, run.message, run.version) == ("r", A, "1", 1)
    assert (run.created_at, run.started_at, run.deadline) == (1.5, 1.6, 1.7)
    assert (run.settled_at, run.ttl, run.reserved_at) == (1.8, 2.0, 1.9)
    assert (run.content, run.start_key, run.start_id) == ("hash", "k", "s")
    assert (run.callbacks, run.marks, run.reopened) == (1, 2, 3)
    assert (run.reserved_by, run.alias_of) == ("other", "other/3")


def test_a_run_that_was_never_started_has_no_times_but_one() -> None:
    run = run_of("r", {"created": 1_500, "ttl": 0}, lambda: A, lambda: "1")
    assert (run.started_at, run.deadline, run.settled_at, run.reserved_at) == (None,) * 4
    assert (run.content, run.start_key, run.start_id, run.alias_of) == (None,) * 4


# --- texts --------------------------------------------------------------------------------------
@given(st.dictionaries(st.text(), st.integers(0, 2**53) | st.binary() | st.booleans()))
def test_a_record_is_read_though_it_came_as_text(record: dict[str, Any]) -> None:
    text = packed(record)
    assert unpacked(text) == msgpack.unpackb(text.encode("utf-8", "surrogateescape"))


def test_an_event_is_a_row() -> None:
    assert event_of(packed([1_500, "retrying", "/0", "w", "body"])) == (
        1.5,
        "retrying",
        "/0",
        "w",
        "body",
    )
    assert event_of(packed([0, "started", "", False, ""])).worker is None


def test_jobs_are_rows_where_nothing_is_the_empty_text() -> None:
    rows = [["/0", 1, 2, "a", "b", "q", "high"], ["", 3, 4, "a", "", "", ""]]
    assert jobs_of("r", rows) == [
        Job("r/0", 1, 2, "a", "b", "q", "high"),
        Job("r", 3, 4, "a", "", None, None),
    ]


@pytest.mark.parametrize(("stored", "expected"), [(None, None), (0, 0.0), (1_500, 1.5)])
def test_milliseconds_become_seconds(stored: int | None, expected: float | None) -> None:
    assert seconds(stored) == expected


# --- news -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("said", ["", "removed", "ended"])
def test_news_may_say_nothing_of_what_was_written(said: str) -> None:
    assert written_in(said) == {}


def test_fields_that_news_tell_are_as_if_they_were_read() -> None:
    record = packed({"st": "done", "ended": 1_700_000_000_000})
    words = ["n", record, "v", '"\u00e9 \u2603"']
    data: bytes = msgpack.packb(words, unicode_errors="surrogateescape")
    news = "ended" + data.decode("utf-8", "surrogateescape")
    assert written_in(news) == {"n": record, "v": '"\u00e9 \u2603"'}


@pytest.mark.parametrize("status", [None, *Status])
def test_of_a_record_it_is_seen_whether_it_says_that_a_node_is_done(status: Status | None) -> None:
    record = packed({"ended": 1} | ({} if status is None else {"st": status.value}))
    assert is_done(record) == (status is Status.DONE)
