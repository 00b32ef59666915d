"""When native tasks that call `self.retry()` are tried again in flows, and how often."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery_bench import Bench

from mageflow_core import TaskSignature
from mageflow_core.errors import TaskFailed

ROUNDED = 0.005  # seconds: times are kept in thousandths of them
ELSE = {"max_retries": 1, "default_retry_delay": 600}  # what the tasks say, and calls do not


def note(task: Any, notes: str) -> None:
    with Path(notes).open("a") as file:
        print(task.name, task.request.retries, time.time(), file=file)


def later(self: Any, notes: str) -> None:
    note(self, notes)
    if self.request.retries == 0:
        self.retry(countdown=0.8)
    if self.request.retries < 3:
        self.retry(eta=datetime.now(UTC) + timedelta(seconds=0.4), max_retries=3)


def back_off(self: Any, notes: str) -> None:
    note(self, notes)
    if self.request.retries == 0:
        raise OSError("not there")


def never(self: Any, notes: str) -> None:
    note(self, notes)
    self.retry(countdown=0, exc=KeyError("asked"), max_retries=2)


def silent(self: Any, notes: str) -> None:
    note(self, notes)
    self.retry(countdown=0)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def begun(notes: Path) -> list[float]:
    """When each attempt began; they are in order, whatever Celery makes of their number."""
    words = [line.split() for line in notes.read_text().splitlines()]
    assert [number for _, number, _ in words] == [str(n) for n in range(len(words))]
    return [float(at) for _, _, at in words]


@pytest.mark.parametrize(("body", "delays"), [(later, [0.8, 0.4, 0.4]), (back_off, [1.0])])
async def test_an_attempt_begins_when_it_was_asked_for(
    bench: Bench, native: Celery, notes: Path, body: Any, delays: list[float]
) -> None:
    # Given a task whose calls of `retry` say something else than it does itself
    options = {"autoretry_for": (OSError,), "retry_backoff": 1, "retry_jitter": False}
    native.task(name="asks", bind=True, shared=False, **ELSE, **options)(body)
    client = await bench.client()
    await bench.worker(bench.app(native))
    # When it runs in a flow
    run = await client.start(TaskSignature(task="asks"), {"notes": str(notes)})
    await run.result(timeout=20)
    # Then there is as much time between its attempts
    between = [after - before for before, after in pairwise(begun(notes))]
    assert len(between) == len(delays)
    for found, asked in zip(between, delays, strict=True):
        assert asked - ROUNDED < found < asked + 10


@pytest.mark.parametrize(
    ("body", "error"), [(never, "KeyError"), (silent, "MaxRetriesExceededError")]
)
async def test_it_fails_as_in_celery_when_it_was_tried_as_often_as_was_asked(
    bench: Bench, native: Celery, notes: Path, body: Any, error: str
) -> None:
    native.task(name="asks", bind=True, shared=False, **ELSE)(body)
    client = await bench.client()
    await bench.worker(bench.app(native))
    run = await client.start(TaskSignature(task="asks"), {"notes": str(notes)})
    with pytest.raises(TaskFailed, match=error):
        await run.result(timeout=20)
    assert len(begun(notes)) == {never: 3, silent: 2}[body]


async def test_retries_of_a_signature_stand_before_those_of_the_task(
    bench: Bench, native: Celery, notes: Path
) -> None:
    native.task(name="asks", bind=True, shared=False, max_retries=9)(silent)
    client = await bench.client()
    await bench.worker(bench.app(native))
    run = await client.start(TaskSignature(task="asks").options(retries=1), {"notes": str(notes)})
    with pytest.raises(TaskFailed, match="attempt 2"):
        await run.result(timeout=20)
    assert len(begun(notes)) == 2
