"""Worker processes, started by MageFlow's command and by taskiq's, and how they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from taskiq import AsyncBroker

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.backends.place import Place
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature

pytestmark = [
    pytest.mark.filterwarnings("ignore:the list .* forgets:RuntimeWarning"),
    pytest.mark.timeout(120),
]
DOUBLES = Path(__file__).parent / "doubles"
MAGEFLOW = ("mageflow", "worker", "taskiq_bench.commands")
TASKIQ = ("taskiq", "worker", "taskiq_bench.commands:broker", "--workers", "1")


@pytest.fixture
def place(any_bench: Bench, tmp_path: Path) -> Iterator[Place]:
    with closing(Place(any_bench, tmp_path, DOUBLES)) as made:
        yield made


def on(*kinds: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("any_bench", kinds, indirect=True)


EITHER = pytest.mark.parametrize(  # a process takes its time: not each of all pairs
    ("any_bench", "command"),
    [
        pytest.param("redis-stream", MAGEFLOW, id="redis-stream-mageflow"),
        pytest.param("redis-stream", TASKIQ, id="redis-stream-taskiq"),
        pytest.param("redis-list", MAGEFLOW, id="redis-list-mageflow"),
        pytest.param("rabbitmq", TASKIQ, id="rabbitmq-taskiq"),
        pytest.param("nats", TASKIQ, id="nats-taskiq"),
    ],
    indirect=["any_bench"],
)


@EITHER
async def test_either_command_runs_flows_and_ends_in_order(
    any_bench: Bench, place: Place, command: tuple[str, ...]
) -> None:
    # Given a worker that a command has started
    worker = place.start(*command)
    client = await any_bench.client()
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


async def test_what_a_killed_worker_had_is_run_by_another(any_bench: Bench, place: Place) -> None:
    # Given a worker that is killed while a body runs
    first = place.start(*MAGEFLOW, MAGEFLOW_LEASE="1")
    client = await any_bench.client(lease=1)
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


@on("redis-stream", "rabbitmq")
async def test_taskiqs_own_end_of_patience_puts_back_what_runs(
    any_bench: Bench, place: Place
) -> None:
    # Given a worker of taskiq's that waits for nothing at its end
    worker = place.start(*TASKIQ, "--wait-tasks-timeout", "0.1")
    client = await any_bench.client()
    run = await client.start(TaskSignature(task="hold", args={"name": "go"}))
    await eventually(place.noted, within=40)
    # When it ends while a body runs, and another one comes
    worker.terminate()
    assert worker.wait(30) == 0, place.log()
    place.let("go")
    place.start(*TASKIQ)
    # Then that one runs it, in place of the first one's lease
    assert await run.result(timeout=40) == "go"
    assert len(place.noted()) == 2
    assert (await run.view()).attempt == 1


@on("redis-stream", "nats")
async def test_native_calls_are_run_beside_flows(any_bench: Bench, place: Place) -> None:
    place.start(*TASKIQ)
    client = any_bench.app()
    broker: AsyncBroker = client.native

    @broker.task(task_name="bench:native")
    async def native(text: str) -> None: ...

    async with client:
        await native.kiq("hello")
        await eventually(lambda: place.noted() == [["native", "hello"]], within=40)
        assert await client.find() == []


@on("redis-stream")
async def test_a_worker_that_cannot_work_says_why(any_bench: Bench, place: Place) -> None:
    # Given taskiq's command for an app whose store no other process sees
    place.start(*TASKIQ, MAGEFLOW_STORE="memory://")
    # Then it does not work in silence
    why = "store is 'memory://', which no other process sees"
    await eventually(lambda: why in place.log(), within=40)
