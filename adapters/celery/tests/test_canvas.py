"""Nested shapes that a canvas of Celery's is known to have trouble with, as flows of its tasks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from celery_bench import Bench

from mageflow_core import Mageflow, Run, Signature, Status, TaskSignature, chain, swarm

INC: TaskSignature[Any] = TaskSignature(task="inc")
TOTAL: TaskSignature[Any] = TaskSignature(task="total")
BOOM: TaskSignature[Any] = TaskSignature(task="boom")
TOLD: TaskSignature[Any] = TaskSignature(task="told")


class Shop:
    """Native tasks with a worker of two processes, and what ran there."""

    def __init__(self, client: Mageflow, notes: Path) -> None:
        self._client = client
        self._notes = notes
        self.told, self.fails = (each.bind(notes=str(notes)) for each in (TOLD, BOOM))

    async def run(self, flow: Signature[Any]) -> Run[Any]:
        """One that has ended, with its callbacks."""
        run = await self._client.start(flow.bind(notes=str(self._notes)), {"n": 1})
        await run.settled(timeout=30)
        return run

    def ran(self) -> dict[str, int]:
        return dict(Counter(self._notes.read_text().splitlines()))


@pytest.fixture
async def shop(any_bench: Bench, tmp_path: Path) -> Shop:
    def native() -> Celery:
        app = Celery("shop", broker=any_bench.said["url"], set_as_current=False)
        app.conf.update(
            task_default_queue=any_bench.queue,
            worker_prefetch_multiplier=1,
            worker_hijack_root_logger=False,
        )
        for body in (inc, total, boom, told):
            app.task(name=body.__name__, shared=False)(body)
        return app

    client = await any_bench.client(native())
    await any_bench.worker(any_bench.app(native()))
    notes = tmp_path / "notes"
    notes.touch()
    return Shop(client, notes)


# --- the tasks, which are in the worker's processes -----------------------------------------------
def note(notes: str, name: str) -> None:
    with Path(notes).open("a") as file:
        file.write(f"{name}\n")


def inc(n: int, notes: str) -> int:
    note(notes, "inc")
    return n + 1


def total(values: list[int | None], notes: str) -> int:
    note(notes, "total")
    return sum(filter(None, values))


def boom(n: int, notes: str) -> int:
    note(notes, "boom")
    raise ValueError(n)


def told(n: int, notes: str) -> None:
    note(notes, f"told {n}")


# --- the shapes -----------------------------------------------------------------------------------
async def test_chords_in_chains_in_a_group_with_failures_inside(shop: Shop) -> None:
    flow = swarm(
        [
            chain(INC, swarm([INC, BOOM, INC]), TOTAL),
            chain(INC, swarm([INC, BOOM, INC], stop_after_n_failures=1, max_concurrency=1), TOTAL),
            chain(INC, INC),
        ]
    )
    run = await shop.run(flow)
    # The first chord tolerates its failure, the second one ends its chain, the third goes on
    assert await run.result(timeout=1) == [6, None, 3]
    assert [await run[n].status() for n in range(3)] == [Status.DONE, Status.FAILED, Status.DONE]
    assert await run[1][2].status() is Status.SKIPPED
    assert shop.ran() == {"inc": 7, "boom": 2, "total": 1}


async def test_a_group_of_chains_followed_by_a_task_inside_a_chord(shop: Shop) -> None:
    inner = chain(swarm([chain(INC, INC), chain(INC, INC)]), TOTAL)
    run = await shop.run(chain(swarm([inner, INC]), TOTAL))
    assert await run.result(timeout=1) == 8
    assert shop.ran() == {"inc": 5, "total": 2}


async def test_error_callbacks_inside_chords(shop: Shop) -> None:
    # What is bound to a flow is bound to what is in it, and callbacks are beside it
    failing = swarm([BOOM.on_error(shop.told), chain(INC, BOOM)]).on_error(shop.told, shop.fails)
    inner = chain(swarm([INC, chain(INC, BOOM.on_error(shop.told))]), TOTAL)
    run = await shop.run(chain(swarm([chain(failing, TOTAL), inner, INC]), TOTAL))
    # A failed callback changes nothing of what it was told of
    assert await run.result(timeout=1) == 4
    assert [await run[0][n].status() for n in (0, 1)] == [Status.FAILED, Status.DONE]
    ran = shop.ran()
    assert sum(times for name, times in ran.items() if name.startswith("told")) == 3
    assert (ran["total"], ran["boom"]) == (2, 4)
