"""Worker processes, started by MageFlow's command and as Hatchet's documentation does it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hatchet_bench import HatchetBench
from hatchet_sdk import EmptyModel

from mageflow_conformance.backends.place import Place
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature

pytestmark = pytest.mark.timeout(120)
DOUBLES = Path(__file__).parent / "doubles"
MAGEFLOW = ("mageflow", "worker", "hatchet_bench.commands")
HATCHET = ("hatchet_bench.commands",)
EITHER = pytest.mark.parametrize("command", [MAGEFLOW, HATCHET], ids=["mageflow", "hatchet"])


@pytest.fixture
def place(bench: HatchetBench, tmp_path: Path) -> Iterator[Place]:
    made = Place(bench, tmp_path, DOUBLES)
    yield made
    made.close()


@EITHER
async def test_either_command_runs_flows_and_ends_in_order(
    bench: HatchetBench, place: Place, command: tuple[str, ...]
) -> None:
    # Given a worker that a command has started
    worker = place.start(*command)
    client = await bench.client()
    # When tasks run, in it and in a thread of it
    held = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    quick = await client.start(TaskSignature(task="quick", args={"n": 1}))
    assert await quick.result(timeout=40) == 2
    await eventually(place.noted, within=20)
    # And it is told to end while one of them runs
    worker.terminate()
    place.let("go")
    # Then that one ends before it does
    assert await held.result(timeout=20) == "go"
    assert worker.wait(30) == 0, place.log()
    assert len(place.noted()) == 1


@EITHER
async def test_native_calls_are_run_beside_flows(
    bench: HatchetBench, place: Place, command: tuple[str, ...]
) -> None:
    place.start(*command)
    hatchet = bench.hatchet()
    native: Any = hatchet.stubs.task(name="Bench-Native", input_validator=EmptyModel)
    client = await bench.client()
    quick = await client.start(TaskSignature(task="quick", args={"n": 1}))
    assert await quick.result(timeout=40) == 2
    given = EmptyModel.model_validate({"text": "hello"})
    await native.aio_run(given, wait_for_result=False)
    await eventually(lambda: place.noted() == [["native", "hello"]], within=40)


async def test_what_a_killed_worker_had_is_run_by_another(
    bench: HatchetBench, place: Place
) -> None:
    # Given a worker that is killed while a body runs
    first = place.start(*MAGEFLOW, MAGEFLOW_LEASE="1")
    client = await bench.client(lease=1)
    run = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=40)
    first.kill()
    first.wait()
    # When another one works, and nothing else is sent
    second = place.start(*MAGEFLOW, MAGEFLOW_LEASE="1")
    place.let("go")
    # Then it runs there
    assert await run.result(timeout=60) == "go"
    assert [note[2] for note in place.noted()] == [str(first.pid), str(second.pid)]
    second.terminate()
    assert second.wait(30) == 0, place.log()


async def test_what_a_worker_prints_is_its_own(bench: HatchetBench, place: Place) -> None:
    worker = place.start(*MAGEFLOW)
    client = await bench.client()
    quick = await client.start(TaskSignature(task="quick", args={"n": 1}))
    assert await quick.result(timeout=40) == 2
    worker.terminate()
    assert worker.wait(30) == 0
    assert "start step" not in place.log()
