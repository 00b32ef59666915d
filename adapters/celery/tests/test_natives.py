"""Tasks that an existing Celery app has, and what becomes of them."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery_bench import Bench
from pydantic import BaseModel

from mageflow_conformance.waiting import eventually
from mageflow_core import ReturnValue, TaskSignature, chain, sign
from mageflow_core.errors import TaskFailed
from mageflow_core.signatures.ambient import entered


async def test_native_tasks_stand_in_flows_by_name_and_as_they_are(
    bench: Bench, native: Celery
) -> None:
    # Given tasks that the app has by itself, one of them after MageFlow was put around it
    @native.task(name="shop.tasks:Double", shared=False)  # type: ignore[untyped-decorator]
    def double(n: int) -> int:
        return 2 * n

    app = bench.app(native)

    @native.task(name="half", shared=False)  # type: ignore[untyped-decorator]
    def half(n: int) -> int:
        return n // 2

    @app.task
    async def add(n: int) -> int:
        return n + 1

    # When they are in one flow with a task of MageFlow's
    client = await bench.client()
    worker = await bench.worker(app)
    entered.set(app)
    flow = chain("shop.tasks.double", double, sign(half), add)
    run = await client.start(flow, {"n": 3})
    # Then it runs
    assert await run.result(timeout=20) == 7
    await worker.stop()
    # And they are what they were
    assert double(4) == 8


async def test_a_native_task_takes_a_whole_mapping_where_its_annotation_says_so(
    bench: Bench, native: Celery
) -> None:
    # Given a task that gives a mapping, and one that takes it as one
    @native.task(name="read", shared=False)  # type: ignore[untyped-decorator]
    def read() -> dict[str, int]:
        return {"a": 1, "b": 2}

    @native.task(name="store", shared=False)  # type: ignore[untyped-decorator]
    def store(row: ReturnValue[dict[str, int]]) -> int:
        return sum(row.values())

    # When one follows the other, then it has it
    app = bench.app(native)
    await bench.worker(app)
    client = await bench.client()
    run = await client.start(chain(TaskSignature(task="read"), TaskSignature(task="store")), {})
    assert await run.result(timeout=20) == 3
    # And Celery does not mind
    assert store({"a": 4}) == 4
    adopted = app.adopt(store)
    assert adopted is not None
    assert adopted({"a": 5}) == 5


def named(*names: str) -> Celery:
    app = Celery("names", broker="redis://127.0.0.1:9/0", set_as_current=False)

    def nothing() -> None: ...

    for name in names:
        app.task(name=name, shared=False)(nothing)
    return app


def test_names_are_made_portable_and_the_first_one_keeps_its_name(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        app = bench.app(named("shop:pay", "shop.Pay"))
        assert app.registry.find("shop.pay") is not None
    assert "'shop.Pay' cannot be signed" in caplog.text or "'shop:pay' cannot" in caplog.text


def test_what_celery_has_itself_is_no_task_of_a_flow(bench: Bench) -> None:
    app = bench.app(named("shop.pay"))
    names = {task.name for task in app.registry}
    assert "shop.pay" in names
    assert not [name for name in names if name.startswith("celery.")]


class Order(BaseModel):
    amount: int


async def test_the_request_and_its_retries_are_those_of_the_flow(
    bench: Bench, native: Celery, tmp_path: Path
) -> None:
    # Given tasks that ask Celery for their attempt, and for another one
    notes = tmp_path / "notes"

    def note(*said: Any) -> None:
        with notes.open("a") as file:
            print(*said, file=file)

    @native.task(  # type: ignore[untyped-decorator]
        name="bound", bind=True, max_retries=2, default_retry_delay=0.05, shared=False
    )
    def bound(self: Any, n: int) -> int:
        note("bound", self.request.retries, self.request.called_directly)
        if self.request.retries < 2:
            raise self.retry(exc=ValueError("again"))
        return n + int(self.request.retries)

    @native.task(  # type: ignore[untyped-decorator]
        name="auto",
        autoretry_for=(OSError,),
        max_retries=1,
        default_retry_delay=0.05,
        shared=False,
    )
    def auto(n: int) -> int:
        note("auto")
        raise OSError("never there")

    @native.task(name="plain", max_retries=5, shared=False)  # type: ignore[untyped-decorator]
    def plain(n: int) -> int:
        note("plain")
        raise ValueError("which Celery would not retry")

    @native.task(name="model", pydantic=True, shared=False)  # type: ignore[untyped-decorator]
    def model(order: Order) -> Order:
        return Order(amount=order.amount + 1)

    client = await bench.client()
    await bench.worker(bench.app(native))
    # When they run in flows
    assert await (await client.start(TaskSignature(task="bound"), {"n": 1})).result(timeout=20) == 3
    for task, error in (("auto", "OSError"), ("plain", "ValueError")):
        run = await client.start(TaskSignature(task=task), {"n": 1})
        with pytest.raises(TaskFailed, match=error):
            await run.result(timeout=20)
    order = await client.start(TaskSignature(task="model"), {"amount": 1})
    assert await order.result(timeout=20) == {"amount": 2}
    # Then each was tried as often as Celery would have, and sees the attempt
    assert notes.read_text().splitlines() == [
        "bound 0 False",
        "bound 1 False",
        "bound 2 False",
        "auto",
        "auto",
        "plain",
    ]


async def test_a_native_call_knows_nothing_of_flows(
    bench: Bench, native: Celery, tmp_path: Path
) -> None:
    # Given a worker of MageFlow's around an app with a task
    notes = tmp_path / "notes"

    @native.task(name="write", bind=True, shared=False)  # type: ignore[untyped-decorator]
    def write(self: Any, text: str) -> None:
        notes.write_text(f"{text} {self.request.is_eager} {os.getpid()}")

    client = await bench.client()
    await bench.worker(bench.app(native))
    # When it is called natively
    await asyncio.to_thread(write.delay, "hello")
    # Then it runs as Celery runs it, and no run is made of it
    await eventually(notes.exists, within=20)
    await eventually(lambda: notes.read_text().startswith("hello False"), within=5)
    assert await client.find() == []
