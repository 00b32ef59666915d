"""The names of what is kept in Redis."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from redis.crc import key_slot

from mageflow_core.stores.redis.keys import BUCKETS, Keys, bucket_of

KEYS = Keys("shop")
IDS = st.text(min_size=1)


@given(IDS)
def test_all_of_a_run_is_in_one_slot(run_id: str) -> None:
    keys = [KEYS.run(run_id), KEYS.staged(run_id, "x"), KEYS.value(run_id, "/0")]
    keys.append(KEYS.bucket(bucket_of(run_id)))
    assert len({key_slot(key.encode("utf-8", "surrogatepass")) for key in keys}) == 1


@given(IDS)
def test_all_keys_begin_with_the_namespace_in_braces_and_all_channels_without(
    run_id: str,
) -> None:
    keys = [KEYS.run(run_id), KEYS.staged(run_id, "x"), KEYS.value(run_id, "$"), KEYS.bucket(3)]
    keys += [KEYS.meta, KEYS.workers]
    assert all(key.startswith("{shop:") for key in keys)
    channels = [KEYS.control, KEYS.due, KEYS.channel(run_id), KEYS.inbox(run_id)]
    assert all(channel.startswith("shop:") for channel in channels)
    assert len({*keys, *channels}) == len(keys) + len(channels)


def test_what_is_of_no_run_is_in_one_slot_too() -> None:
    assert len({key_slot(key.encode()) for key in (KEYS.meta, KEYS.workers)}) == 1


def test_two_namespaces_have_no_key_in_common_even_if_one_begins_like_the_other() -> None:
    other = Keys("shop-2")
    for one, two in ((KEYS.run("r"), other.run("r")), (KEYS.control, other.control)):
        assert one != two
        assert not two.startswith("{shop:")
        assert not two.startswith("shop:")


def test_runs_are_spread_over_all_buckets_evenly() -> None:
    counts = Counter(bucket_of(f"{number:032x}") for number in range(64_00))
    assert set(counts) == set(range(BUCKETS))
    assert min(counts.values()) > 50
    assert max(counts.values()) < 160


def test_a_runs_bucket_never_changes() -> None:
    # What is stored is found again only as long as these stay as they are.
    assert BUCKETS == 64
    assert [bucket_of(run_id) for run_id in ("", "r", "018f2b3c", "kä")] == [0, 29, 41, 47]


def test_the_keys_of_a_run_are_as_they_were_when_it_was_stored() -> None:
    assert KEYS.run("r") == "{shop:29}:r:r"
    assert KEYS.value("r", "/0~1") == "{shop:29}:v:r/0~1"
    assert KEYS.bucket(29) == "{shop:29}:jobs"
