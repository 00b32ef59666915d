"""Jobs as flat text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mageflow_core.backends import Delivery, Job, is_job, pack, unpack
from mageflow_core.errors import CorruptJob

JOB = Job("run/0", 2, 3, "fetch", "engine", None, None)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,127}", fullmatch=True)
KEYS = st.from_regex(r"[a-z0-9]{8,32}(/[A-Za-z0-9_]{1,9}|~[0-9]{1,3}){0,32}", fullmatch=True)
JOBS = st.builds(
    Job,
    key=KEYS,
    attempt=st.integers(1, 10**6),
    send=st.integers(1, 10**6),
    task=NAMES,
    backend=NAMES,
    queue=st.none() | NAMES,
    priority=st.sampled_from([None, "high", "normal", "low"]),
)


@given(JOBS, NAMES)
def test_a_job_comes_back_as_it_was_sent(job: Job, namespace: str) -> None:
    meta = pack(job, namespace)
    assert unpack(meta) == (job, namespace)
    assert is_job(meta)
    assert all(name.startswith("mf-") and value.isascii() for name, value in meta.items())


def test_what_is_sent_natively_is_no_job() -> None:
    assert not is_job({"key": "run/0", "priority": "high"})


def test_a_delivery_has_the_namespace_that_its_job_was_sent_in() -> None:
    delivery = Delivery.of({**pack(JOB, "shop"), "theirs": "too"}, native="context")
    assert delivery == Delivery(JOB, "context", "shop")


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("mf-attempt", "two", "two"),
        ("mf-attempt", "", "invalid literal"),
        ("mf-send", None, "invalid literal"),
        ("mf-task", "", "no task"),
        ("mf-ns", "", "no ns"),
        ("mf-key", "", "no key"),
    ],
)
def test_a_message_that_only_says_that_it_is_a_job_is_refused(
    field: str, value: str | None, why: str
) -> None:
    with pytest.raises(CorruptJob, match=why):
        unpack({**pack(JOB, "shop"), field: value})
