"""What Celery finds under the names of jobs, and what it says of them."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Ignore, NotRegistered

from mageflow_celery.attached import Attached, outcome_of
from mageflow_core import Mageflow
from mageflow_core.backends import Disposal, Handled

REDIS = "redis://127.0.0.1:9/0"


@pytest.fixture
def native() -> Celery:
    made = Celery("shop", broker=REDIS, set_as_current=False)
    made.conf.task_acks_late = False
    made.conf.task_annotations = {"*": {"acks_late": False, "max_retries": 5}}
    Mageflow(made, store=REDIS, warn_unclosed=False)
    return made


def test_a_job_of_any_task_is_found_and_acknowledged_late(native: Celery) -> None:
    job = native.tasks["mageflow:not-known-here"]
    assert job is native.tasks["mageflow:not-known-here"]
    assert job.acks_late
    assert job.reject_on_worker_lost
    assert job.ignore_result
    assert job.max_retries == 0
    assert job.__trace__ is not None


@pytest.mark.parametrize("disposal", [Disposal.SKIPPED, Disposal.RELEASE])
def test_a_delivery_that_runs_nothing_ends_for_celery_and_leaves_nothing_behind(
    native: Celery, monkeypatch: pytest.MonkeyPatch, disposal: Disposal
) -> None:
    # Given a process in which a job is skipped, or given back
    class Home:
        def run(self, *_: Any) -> Handled:
            return Handled(disposal)

    monkeypatch.setattr(Attached, "home", Home())
    trace = native.tasks["mageflow:work"].__trace__
    # When it comes often
    gc.collect()
    gc.disable()
    try:
        for number in range(20):
            kept, info, _, shown = trace(str(number), (), {}, {"id": str(number)})
            # Then it ends as what has not failed, which says what it was
            assert info is None
            assert kept == shown.strip("'")
        # And there is nothing that only a whole collection would find
        assert gc.collect() < 20
    finally:
        gc.enable()
    assert kept == {"skipped": "skipped", "release": "given back"}[disposal]


def test_other_tasks_are_found_as_before(native: Celery) -> None:
    @native.task(name="shop.add", shared=False)  # type: ignore[untyped-decorator]
    def add(a: int, b: int) -> int:
        return a + b

    assert native.tasks["shop.add"].run(1, 2) == 3
    assert not native.tasks["shop.add"].acks_late
    with pytest.raises(NotRegistered):
        native.tasks["shop.subtract"]


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), Ignore("me"), MemoryError()])
def test_what_would_mean_something_else_to_celery_is_a_failure(error: Any) -> None:
    assert type(outcome_of(Handled(Disposal.FAILED, error))) is RuntimeError


def test_an_error_of_a_body_is_shown_as_it_is() -> None:
    error = ValueError("as it was told")
    assert outcome_of(Handled(Disposal.FAILED, error)) is error
    assert outcome_of(Handled(Disposal.SKIPPED)) is None


def test_celery_logs_the_kind_of_an_error_of_a_job_alone(
    native: Celery, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("celery.app.trace")
    text = "Task %(name)s[%(id)s] raised unexpected: %(exc)s"
    for name in ("mageflow:pay", "shop.pay"):
        error = ValueError("swordfish")
        logger.error(text, {"name": name, "id": "1", "exc": repr(error)}, exc_info=error)
    job, other = (logging.Formatter().format(record) for record in caplog.records)
    assert "ValueError" in job
    assert "swordfish" not in job
    assert "swordfish" in other
