"""What becomes of a message: acknowledged, given back, or left as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest
from taskiq import AckableMessage, Context, SimpleRetryMiddleware, TaskiqMessage
from taskiq.acks import AckController
from taskiq.receiver import Receiver

from mageflow_conformance.backends.bench import Bench
from mageflow_conformance.waiting import eventually
from mageflow_core.backends import Delivery, Disposal, Handled, Job, TaskSpec
from mageflow_taskiq import StreamBroker, TaskiqBackend
from mageflow_taskiq.deliveries import TaskiqDeliveries, message_of
from mageflow_taskiq.receiver import MageReceiver

JOB = Job("0" * 32, 1, 1, "work", "taskiq", None, None)


class Recording(StreamBroker):
    """Sends nothing, and keeps what it should have sent."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:9/0")
        self.kicked: list[TaskiqMessage] = []

    async def kick(self, message: Any) -> None:
        self.kicked.append(self.formatter.loads(message.message))


class Answering:
    """A runner that gives what it is told to."""

    def __init__(self, handled: Handled = Handled(Disposal.DONE)) -> None:  # noqa: B008 - immutable
        self.handled = handled
        self.given: list[Delivery] = []
        self.waits = asyncio.Event()
        self.waits.set()

    async def run(self, delivery: Delivery) -> Handled:
        self.given.append(delivery)
        await self.waits.wait()
        return self.handled


class Message:
    """One that can be acknowledged."""

    def __init__(self, broker: StreamBroker, said: TaskiqMessage | None = None) -> None:
        self.said = said or message_of(JOB, "mine", {})
        self.acknowledged = 0
        self._broker = broker

    async def ack(self) -> None:
        self.acknowledged += 1

    def context(self) -> Context:
        return Context(self.said, self._broker, AckController(self.ack))

    def taken(self) -> AckableMessage:
        data = self._broker.formatter.dumps(self.said).message
        return AckableMessage(data=data, ack=self.ack)


@pytest.fixture
def broker() -> Recording:
    return Recording()


async def test_what_is_released_is_sent_as_it_was_and_acknowledged(broker: Recording) -> None:
    deliveries = TaskiqDeliveries(broker)
    message = Message(broker)
    await deliveries.run_of(message.context())
    await eventually(lambda: message.acknowledged == 1)
    (again,) = broker.kicked
    changed = again.model_copy(update={"labels": message.said.labels})
    assert changed == message.said
    assert set(again.labels.items()) - set(message.said.labels.items()) == {("mf-returned", "1")}


async def test_a_message_that_is_no_job_is_acknowledged(broker: Recording) -> None:
    said = TaskiqMessage(task_id="x", task_name="mageflow:work", labels={}, args=[], kwargs={})
    message = Message(broker, said)
    handled = await TaskiqDeliveries(broker).run_of(message.context())
    assert handled.disposal is Disposal.SKIPPED
    assert message.acknowledged == 1


# --- through taskiq's receivers ------------------------------------------------------------------
def ours(backend: TaskiqBackend, broker: Recording) -> Receiver:
    return MageReceiver(broker, backend._attached.deliveries, slots=2)


def theirs(backend: TaskiqBackend, broker: Recording) -> Receiver:
    return Receiver(broker, max_async_tasks=2)


Make = Callable[[TaskiqBackend, Recording], Receiver]


class Results:
    """What a dashboard would show."""

    def __init__(self, broker: Any) -> None:
        self.saved: dict[str, Any] = {}
        broker.result_backend.set_result = self.set_result

    async def set_result(self, task_id: str, result: Any) -> None:
        self.saved[task_id] = result


@pytest.fixture(params=[ours, theirs])
def make(request: pytest.FixtureRequest) -> Make:
    found: Make = request.param
    return found


@pytest.fixture
def backend(broker: Recording, bench: Bench) -> TaskiqBackend:
    return TaskiqBackend(broker, bench.app().settings)


def register(backend: TaskiqBackend, runner: Answering, name: str = "work") -> None:
    spec = TaskSpec(name=name, fn=lambda: None, is_async=False)
    backend.register(spec, runner)


@pytest.mark.parametrize("task", ["work", "unheard-of"])
async def test_jobs_of_known_and_unknown_tasks_reach_the_runner(
    backend: TaskiqBackend, broker: Recording, make: Make, task: str
) -> None:
    # Given a worker that knows one task
    runner = Answering()
    register(backend, runner)
    job = JOB._replace(task=task)
    message = Message(broker, message_of(job, "mine", {}))
    # When a job comes
    await make(backend, broker).callback(message.taken())
    # Then it is for the runner to say what is to become of it
    assert [each.job for each in runner.given] == [job]
    assert message.acknowledged == 1


async def test_failures_are_saved_and_not_tried_again_by_taskiq(
    backend: TaskiqBackend, broker: Recording, make: Make
) -> None:
    # Given a broker that tries everything again that fails
    broker.add_middlewares(SimpleRetryMiddleware(default_retry_label=True))
    results = Results(broker)
    register(backend, Answering(Handled(Disposal.FAILED, ValueError("no"))))
    message = Message(broker)
    # When a job fails for good
    await make(backend, broker).callback(message.taken())
    # Then it is shown as failed, acknowledged, and over
    result = results.saved[JOB.id]
    assert (result.is_err, str(result.error)) == (True, "no")
    assert message.acknowledged == 1
    assert broker.kicked == []


async def test_a_duplicate_does_not_change_what_is_shown(
    backend: TaskiqBackend, broker: Recording, make: Make
) -> None:
    results = Results(broker)
    runner = Answering(Handled(Disposal.FAILED, ValueError("no")))
    register(backend, runner)
    await make(backend, broker).callback(Message(broker).taken())
    runner.handled = Handled(Disposal.SKIPPED)
    await make(backend, broker).callback(Message(broker).taken())
    assert str(results.saved[JOB.id].error) == "no"


async def test_a_job_that_is_cancelled_is_neither_acknowledged_nor_shown_as_over(
    backend: TaskiqBackend, broker: Recording, make: Make
) -> None:
    # Given a job whose runner is at work
    results = Results(broker)
    runner = Answering()
    runner.waits.clear()
    register(backend, runner)
    message = Message(broker)
    running = asyncio.create_task(make(backend, broker).callback(message.taken()))
    await eventually(lambda: runner.given)
    # When it is cancelled
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    # Then the engine may give it to others
    assert message.acknowledged == 0
    assert results.saved == {}


async def test_jobs_are_acknowledged_late_whatever_the_worker_was_told(
    backend: TaskiqBackend, broker: Recording
) -> None:
    # Given taskiq's receiver, told to acknowledge what it has not begun
    from taskiq.acks import AcknowledgeType

    runner = Answering()
    runner.waits.clear()
    register(backend, runner)
    receiver = Receiver(broker, max_async_tasks=2, ack_type=AcknowledgeType.WHEN_RECEIVED)
    message = Message(broker)
    running = asyncio.create_task(receiver.callback(message.taken()))
    await eventually(lambda: runner.given)
    assert message.acknowledged == 0
    runner.waits.set()
    await running
    assert message.acknowledged == 1


async def test_no_task_of_taskiqs_is_found_that_was_not(
    backend: TaskiqBackend, broker: Recording
) -> None:
    register(backend, Answering())
    assert broker.find_task("work") is None
    assert broker.find_task("mageflow:work") is broker.get_all_tasks()["mageflow:work"]
    assert list(backend.natives()) == []


class Deaf(Recording):
    """Reads until something comes, and loses whoever stops that."""

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        self.reading = True
        while not self.closed.is_set():
            with suppress(asyncio.CancelledError):
                await self.closed.wait()
        yield Message(self).taken()

    def __init__(self) -> None:
        super().__init__()
        self.reading = False
        self.closed = asyncio.Event()


async def test_a_worker_stops_though_its_broker_does_not_hear_of_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a broker whose reads go on when they are cancelled
    monkeypatch.setattr("mageflow_taskiq.receiver.LAST", 0.05)
    broker = Deaf()
    backend = TaskiqBackend(broker, bench.app().settings)
    stop = asyncio.Event()
    serving = asyncio.create_task(backend.serve(slots=1, stop=stop, grace=0))
    await eventually(lambda: broker.reading)
    # When the worker is to stop
    stop.set()
    # Then it does
    await asyncio.wait_for(serving, 10)
    broker.closed.set()
