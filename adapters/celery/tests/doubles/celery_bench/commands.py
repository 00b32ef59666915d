"""The app that worker commands of the tests serve; it writes down what it does."""

from __future__ import annotations

from celery import Celery

from mageflow_conformance.backends.place import add_tasks, note
from mageflow_core import Mageflow, Retry

mf = Mageflow(warn_unclosed=False)
client: Celery = mf.native
add_tasks(mf)


@mf.task(retries=Retry(retries=1, delay=0))
def fail() -> None:
    raise ValueError("swordfish")


@client.task(name="bench:native", shared=False)  # type: ignore[untyped-decorator]
def native(text: str) -> None:
    note(f"native {text}")
