"""The app that worker commands of the tests serve; it writes down what it does."""

from __future__ import annotations

from taskiq import AsyncBroker

from mageflow_conformance.backends.place import add_tasks, note
from mageflow_core import Mageflow

mf = Mageflow(warn_unclosed=False)
broker: AsyncBroker = mf.native
add_tasks(mf)


@broker.task(task_name="bench:native")
async def native(text: str) -> None:
    note(f"native {text}")
