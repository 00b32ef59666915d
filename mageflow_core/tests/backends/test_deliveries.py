"""What becomes of a message: acknowledged, given back, or left as it is."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from mageflow_conformance.waiting import eventually
from mageflow_core.backends import Deliveries, Delivery, Disposal, Handled, Job, delivered, pack
from mageflow_core.backends.deliveries import RETURNS, Delivered

JOB = Job("0" * 32, 1, 1, "work", "fake", None, None)
META = pack(JOB, "mine")


class Engine:
    """Acknowledges by the context that it gave, and takes jobs back; or neither, where it fails."""

    def __init__(self) -> None:
        self.acknowledged: list[object] = []
        self.sent: list[tuple[Delivery, Mapping[str, str]]] = []
        self.fails = False

    async def acknowledge(self, native: object) -> None:
        if self.fails:
            raise ConnectionError("gone")
        self.acknowledged.append(native)

    async def send_again(self, delivery: Delivery, meta: Mapping[str, str]) -> None:
        if self.fails:
            raise ConnectionError("gone")
        self.sent.append((delivery, meta))


class Answering:
    """A runner that gives what it is told to."""

    def __init__(self, disposal: Disposal = Disposal.DONE) -> None:
        self.disposal = disposal
        self.given: list[Delivery] = []
        self.seen: Delivered | None = None
        self.waits = asyncio.Event()
        self.waits.set()

    async def run(self, delivery: Delivery) -> Handled:
        self.given.append(delivery)
        self.seen = delivered()
        await self.waits.wait()
        return Handled(self.disposal)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def deliveries(engine: Engine) -> Deliveries:
    return Deliveries(engine.send_again, engine.acknowledge)


@pytest.mark.parametrize("disposal", [Disposal.DONE, Disposal.SKIPPED, Disposal.FAILED])
async def test_what_is_over_is_acknowledged(
    engine: Engine, deliveries: Deliveries, disposal: Disposal
) -> None:
    deliveries.runner = runner = Answering(disposal)
    await deliveries.run("x", META, "context")
    assert engine.acknowledged == ["context"]
    assert runner.given == [Delivery(JOB, "context", "mine")]


async def test_a_body_finds_what_it_runs_of(deliveries: Deliveries) -> None:
    deliveries.runner = runner = Answering()
    await deliveries.run("x", META, "context")
    assert runner.seen == Delivered(JOB, "context", asyncio.get_running_loop())
    assert delivered() is None


async def test_what_is_released_goes_to_the_end_of_the_queue_and_then_is_acknowledged(
    engine: Engine, deliveries: Deliveries
) -> None:
    # Given a job that is released, for the third time
    deliveries.runner = Answering(Disposal.RELEASE)
    meta = {**META, RETURNS: "2"}
    await deliveries.run("x", meta, "context")
    # Then this delivery is over, and its slot free, before it is given back
    assert engine.acknowledged == []
    assert not deliveries.running
    await eventually(lambda: engine.acknowledged == ["context"])
    # And what was sent is the same job, once more often released
    assert engine.sent == [(Delivery(JOB, "context", "mine"), {**META, RETURNS: "3"})]


async def test_an_engine_that_acknowledges_by_itself_is_told_nothing(engine: Engine) -> None:
    deliveries = Deliveries(engine.send_again)
    await deliveries.run("x", META, "context")
    await deliveries.settle(within=5)
    assert engine.acknowledged == []
    assert len(engine.sent) == 1


async def test_what_cannot_be_given_back_is_left_to_the_engine(
    engine: Engine, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    engine.fails = True
    await deliveries.run("x", META, "context")
    await eventually(lambda: "message x could not be given back: gone" in caplog.text)
    assert engine.acknowledged == []


async def test_what_cannot_be_acknowledged_is_told_of(
    engine: Engine, deliveries: Deliveries, caplog: pytest.LogCaptureFixture
) -> None:
    deliveries.runner = Answering()
    engine.fails = True
    assert await deliveries.run("x", META, "context") == Handled(Disposal.DONE)
    assert "message x could not be acknowledged, and comes again: gone" in caplog.text


async def test_what_nobody_takes_is_left_to_the_core_in_the_end(
    engine: Engine, deliveries: Deliveries
) -> None:
    await deliveries.run("x", {**META, RETURNS: "100000"}, "context")
    await deliveries.settle(within=5)
    assert engine.acknowledged == ["context"]
    assert engine.sent == []


async def test_a_worker_that_closes_gives_back_at_once(
    engine: Engine, deliveries: Deliveries
) -> None:
    # Given jobs that came when no app was open, and which others should have
    for number in range(3):
        await deliveries.run("x", {**META, RETURNS: "50"}, number)
    # When there is no time
    await asyncio.wait_for(deliveries.settle(within=5), 2)
    # Then they are with others before it is gone
    assert len(engine.sent) == 3
    assert sorted(map(str, engine.acknowledged)) == ["0", "1", "2"]


async def test_a_worker_that_refuses_gives_back_what_comes_and_lets_what_runs_end(
    engine: Engine, deliveries: Deliveries
) -> None:
    # Given a job that runs
    deliveries.runner = runner = Answering()
    runner.waits.clear()
    running = asyncio.create_task(deliveries.run("m1", META, "first"))
    await eventually(lambda: len(runner.given) == 1)
    # When another comes while the worker refuses
    with deliveries.refusing():
        handled = await deliveries.run("m2", META, "second")
        # Then that is given back, and the first one ends as it would
        assert handled.disposal is Disposal.RELEASE
        runner.waits.set()
        assert (await running).disposal is Disposal.DONE
    await deliveries.settle(10)
    assert [delivery.native for delivery, _ in engine.sent] == ["second"]
    assert len(runner.given) == 1
    # And afterwards it takes what comes
    assert (await deliveries.run("m3", META, "third")).disposal is Disposal.DONE


@pytest.mark.parametrize("meta", [{}, {"mf-key": "k"}, {"mf-key": "0" * 32, "mf-attempt": "x"}])
async def test_a_message_that_is_no_job_is_thrown_away_and_told_of(
    engine: Engine,
    deliveries: Deliveries,
    meta: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    deliveries.runner = runner = Answering()
    with caplog.at_level(logging.ERROR):
        handled = await deliveries.run("x", meta, "context")
    assert handled.disposal is Disposal.SKIPPED
    assert engine.acknowledged == ["context"]
    assert "message x was thrown away" in caplog.text
    assert runner.given == []


@pytest.mark.parametrize("grace", [0.0, None])
async def test_a_worker_ends_what_runs_when_its_grace_is_over(
    engine: Engine, deliveries: Deliveries, grace: float | None
) -> None:
    # Given a job that runs
    deliveries.runner = runner = Answering()
    runner.waits.clear()
    running = asyncio.create_task(deliveries.run("x", META, "context"))
    await eventually(lambda: deliveries.running)
    # When its worker is to stop
    stop = asyncio.Event()
    stop.set()
    serving = asyncio.create_task(deliveries.serve(stop, grace))
    if grace is None:  # it has as long as it takes
        done: tuple[set[Any], set[Any]] = await asyncio.wait([serving], timeout=0.05)
        assert not done[0]
        runner.waits.set()
    await asyncio.wait_for(serving, 5)
    with suppress(asyncio.CancelledError):
        await running
    # Then it is neither acknowledged nor given back, or over
    assert running.cancelled() == (grace == 0)
    assert engine.acknowledged == ([] if grace == 0 else ["context"])
    assert engine.sent == []
