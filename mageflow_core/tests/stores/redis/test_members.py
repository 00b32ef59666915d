"""Live workers, and how things are shared out among them."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mageflow_core.stores.protocol import WorkerInfo
from mageflow_core.stores.redis.keys import BUCKETS
from mageflow_core.stores.redis.members import described, members_of, owner

NAMES = st.text(min_size=1, max_size=8)
WORKERS = st.sets(NAMES, min_size=1, max_size=12)


def shares(workers: set[str]) -> dict[int, str | None]:
    """Of the buckets, as `Upkeep` shares them out."""
    return {bucket: owner(str(bucket), workers) for bucket in range(BUCKETS)}


# --- sharing ------------------------------------------------------------------------------------
@given(WORKERS, st.randoms(use_true_random=False))
def test_everybody_agrees_on_who_has_a_thing(workers: set[str], chance: Any) -> None:
    seen_by_another = list(workers)
    chance.shuffle(seen_by_another)
    for bucket, name in shares(workers).items():
        assert name in workers
        assert owner(str(bucket), seen_by_another) == name


@given(WORKERS, NAMES)
def test_where_one_comes_or_goes_only_what_it_has_changes_hands(
    workers: set[str], name: str
) -> None:
    without = shares(workers - {name})
    for bucket, owner_of_it in shares(workers | {name}).items():
        assert owner_of_it in (name, without[bucket])


def test_nobody_has_anything_where_there_is_nobody() -> None:
    assert owner("3", []) is None


def test_everybody_gets_a_share() -> None:
    counts = Counter(shares({f"host-{n}-{n:08x}" for n in range(8)}).values())
    assert len(counts) == 8
    assert max(counts.values()) <= 3 * BUCKETS / 8


# --- what is said -------------------------------------------------------------------------------
FULL = WorkerInfo(
    id="w",
    tasks=frozenset({"b", "a"}),
    slots=4,
    backends=frozenset({"y", "x"}),
    host="h",
    pid=7,
    started_at=1.5,
    running=2,
    seen_at=3.5,
)


def test_a_worker_is_read_as_it_said_of_itself() -> None:
    assert members_of(["w", described(FULL), "w seen", "3500"]) == [FULL]


def test_what_is_said_is_the_same_each_time_and_has_no_more_than_it_must() -> None:
    said = json.loads(described(FULL))
    assert said["tasks"] == ["a", "b"]
    assert said["backends"] == ["x", "y"]
    assert "id" not in said
    assert "seen_at" not in said


def test_workers_come_by_their_ids_whatever_order_the_server_has() -> None:
    one, two = (described(WorkerInfo(id="", tasks=frozenset(), slots=n)) for n in (1, 2))
    found = members_of(["z", two, "a seen", "1000", "a", one, "z seen", "2000"])
    assert [(each.id, each.slots, each.seen_at) for each in found] == [("a", 1, 1.0), ("z", 2, 2.0)]


def test_what_a_newer_worker_says_besides_is_left_out() -> None:
    said = json.dumps({**json.loads(described(FULL)), "mood": "good"})
    assert members_of(["w", said, "w seen", "3500"]) == [FULL]


def test_what_an_older_worker_does_not_say_has_its_default() -> None:
    said = json.dumps({"tasks": ["a"], "slots": 1, "backends": []})
    assert members_of(["w", said]) == [WorkerInfo(id="w", tasks=frozenset({"a"}), slots=1)]
