"""Each rule of the seam does to deliveries what it says, and nothing to others."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import pytest

from mageflow_conformance.backends import seam
from mageflow_conformance.backends.seam import OVER, SEAM, Doing, FaultyApp
from mageflow_conformance.ledger import Ledger
from mageflow_core.backends import Delivery, Disposal, Handled, Job, Runner, TaskSpec
from mageflow_core.backends.local import AsyncioBackend

DONE = Handled(Disposal.DONE)


def job(number: int = 1, task: str = "step", attempt: int = 1) -> Job:
    return Job(f"run{number}", attempt, 1, task, "asyncio", None, None)


class Double:
    """A runner that writes down what it is given, and gives back how it was."""

    def __init__(self, *, holds: bool = False) -> None:
        self.given: list[Job] = []
        self.at_once = self.most = 0
        self.go = asyncio.Event()
        if not holds:
            self.go.set()

    async def run(self, delivery: Delivery) -> Handled:
        self.given.append(delivery.job)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.go.wait()
            await asyncio.sleep(0)
        finally:
            self.at_once -= 1
        return DONE


def behind(ledger: Ledger, double: Runner, *rules: dict[str, Any]) -> Runner:
    """What an adapter is given in place of the runner."""
    app = FaultyApp(rules=rules, ledger=ledger, warn_unclosed=False)
    backend: Any = app.make_backend("asyncio")
    backend.register(TaskSpec(name="step", fn=print, is_async=False), double)
    given: Runner = backend._runners["step"]  # by the adapter inside, which has got it
    return given


def said(ledger: Ledger) -> list[tuple[str, Any, Any]]:
    return [(row.what, row.more["do"], row.more["of"]) for row in ledger.rows()]


async def test_a_duplicate_is_there_twice_at_once_and_once_more_when_it_is_over(
    ledger: Ledger,
) -> None:
    # Given
    double = Double()
    runner = behind(ledger, double, {"do": "duplicate", "task": "step"})
    # When
    handled = await runner.run(Delivery(job()))
    # Then
    assert handled == DONE
    assert [each.key for each in double.given] == ["run1"] * 4
    assert double.most == 3
    # one of them is another sending, as when the engine has been given it twice
    assert len({each.id for each in double.given}) == 2
    assert double.given[-1] == job()
    assert said(ledger)[0] == (SEAM, "duplicate", "run1")


async def test_a_delayed_one_comes_after_its_time(ledger: Ledger) -> None:
    # Given
    double = Double()
    runner = behind(ledger, double, {"do": "delay", "task": "step", "seconds": 0.2})
    # When
    begun = asyncio.get_running_loop().time()
    await runner.run(Delivery(job()))
    # Then
    assert asyncio.get_running_loop().time() - begun >= 0.2
    assert double.given == [job()]


async def test_a_reordered_one_comes_when_the_next_of_its_task_is_over(ledger: Ledger) -> None:
    # Given
    double = Double()
    runner = behind(ledger, double, {"do": "reorder", "task": "step"})
    # When
    first = asyncio.create_task(runner.run(Delivery(job(1))))
    await asyncio.sleep(0)
    await runner.run(Delivery(job(2)))
    await first
    # Then
    assert [each.key for each in double.given] == ["run2", "run1"]


async def test_a_reordered_one_that_none_follows_is_told(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    monkeypatch.setattr(seam, "PATIENCE", 0.05)
    runner = behind(ledger, Double(), {"do": "reorder", "task": "step"})
    # When
    with pytest.raises(TimeoutError):
        await runner.run(Delivery(job()))
    # Then its end was not noted, from which a requirement sees that it did not happen
    assert [row.what for row in ledger.rows()] == [SEAM]


async def test_a_dropped_one_never_comes_and_the_engine_takes_it_for_done(ledger: Ledger) -> None:
    double = Double()
    runner = behind(ledger, double, {"do": "drop", "task": "step"})
    assert await runner.run(Delivery(job())) == DONE
    assert double.given == []


async def test_before_a_stale_one_come_other_attempts_of_it(ledger: Ledger) -> None:
    double = Double()
    runner = behind(ledger, double, {"do": "stale", "task": "step"})
    await runner.run(Delivery(job(attempt=3)))
    assert [each.attempt for each in double.given] == [2, 4, 3]


async def test_in_place_of_a_corrupt_one_comes_one_of_no_node(ledger: Ledger) -> None:
    double = Double()
    runner = behind(ledger, double, {"do": "corrupt", "task": "step"})
    await runner.run(Delivery(job()))
    assert [each.key for each in double.given] == ["xrun1"]


async def test_a_foreign_one_comes_as_from_another_namespace(ledger: Ledger) -> None:
    # Given a runner that gives back what is of another namespace
    class Picky(Double):
        async def run(self, delivery: Delivery) -> Handled:
            await super().run(delivery)
            return DONE if delivery.namespace is None else Handled(Disposal.RELEASE)

    runner = behind(ledger, Picky(), {"do": "foreign", "task": "step"})
    # Then the next one is of another, and the one behind it is not
    assert await runner.run(Delivery(job())) == Handled(Disposal.RELEASE)
    assert await runner.run(Delivery(job())) == DONE
    # And the ledger tells what became of it
    (over,) = ledger.of(OVER)
    assert (over.more["do"], over.more["handled"]) == ("foreign", "release")


async def test_a_rule_is_for_its_task_and_for_so_many_deliveries(ledger: Ledger) -> None:
    # Given
    double = Double()
    runner = behind(ledger, double, {"do": "drop", "task": "step", "times": 2})
    # When
    for each in (job(1), job(2, "other"), job(3), job(4)):
        await runner.run(Delivery(each))
    # Then
    assert [each.key for each in double.given] == ["run2", "run4"]
    assert [row.more["of"] for row in ledger.of(SEAM)] == ["run1", "run3"]


async def test_rules_are_used_up_one_after_the_other(ledger: Ledger) -> None:
    double = Double()
    rules = [{"do": "drop", "task": "step"}, {"do": "corrupt", "task": "step"}]
    runner = behind(ledger, double, *rules)
    for number in (1, 2, 3):
        await runner.run(Delivery(job(number)))
    assert [each.key for each in double.given] == ["xrun2", "run3"]


async def test_what_comes_while_a_delivery_is_held_goes_on(ledger: Ledger) -> None:
    # Given
    double = Double(holds=True)
    runner = behind(ledger, double, {"do": "stale", "task": "step"})
    held = asyncio.create_task(runner.run(Delivery(job(1))))
    await asyncio.sleep(0)
    # When
    other = asyncio.create_task(runner.run(Delivery(job(2))))
    await asyncio.sleep(0)
    double.go.set()
    await asyncio.gather(held, other)
    # Then
    assert {each.key for each in double.given} == {"run1", "run2"}


@pytest.mark.parametrize("doing", get_args(Doing))
async def test_the_ledger_has_that_a_rule_was_followed_and_when_that_was_over(
    ledger: Ledger, doing: str
) -> None:
    # Given
    runner = behind(ledger, Double(), {"do": doing, "task": "step"})
    # When
    deliveries = [asyncio.create_task(runner.run(Delivery(job(1))))]
    await asyncio.sleep(0)
    deliveries.append(asyncio.create_task(runner.run(Delivery(job(2)))))
    await asyncio.gather(*deliveries)
    # Then
    assert (SEAM, doing, "run1") in said(ledger)
    assert (OVER, doing, "run1") in said(ledger)


async def test_without_rules_nothing_is_in_between(ledger: Ledger) -> None:
    app = FaultyApp(ledger=ledger, warn_unclosed=False)
    assert type(app.make_backend("asyncio")) is AsyncioBackend


async def test_with_rules_all_else_of_the_backend_is_as_it_was(ledger: Ledger) -> None:
    # Given
    app = FaultyApp(rules=[{"do": "drop", "task": "step"}], ledger=ledger, warn_unclosed=False)
    # When
    backend: Any = app.make_backend("asyncio")
    # Then
    assert (backend.name, backend.caps) == (AsyncioBackend.name, AsyncioBackend.caps)
    assert backend.native is None
    assert list(backend.natives()) == []
    assert backend.adopt(print) is None
    assert backend.quiet.is_set()  # which is not of the protocol
    with pytest.raises(AttributeError):
        _ = backend.made_up
    with pytest.raises(TypeError, match="around another one"):
        type(backend).from_settings(None)
    await backend.open("worker")
    assert (await backend.health()).reachable
    backend.register(TaskSpec(name="step", fn=print, is_async=False), Double())
    assert await backend.submit_many([job()]) == [None]
    assert [each.key for each in backend.take_back()] == ["run1"]
    await backend.close()
