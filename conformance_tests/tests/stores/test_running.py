"""What the outcome of a requirement is, whatever happens in it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_conformance.stores import (
    Bench,
    Instead,
    MemoryHarness,
    Outcome,
    Requirement,
    StoreHarness,
    run,
    run_all,
    running,
)
from mageflow_conformance.stores.builders import task
from mageflow_core.machine import Policy
from mageflow_core.stores.protocol import Store, StoreOptions

Check = Callable[[Bench], Awaitable[None]]


async def asks(bench: Bench) -> None:
    await bench.store.counts()


async def asks_nothing(bench: Bench) -> None:
    assert bench.store.now()


def requirement(check: Check = asks, **how: Any) -> Requirement:
    how = {
        "id": "S-TEST-01",
        "text": "…",
        "policy": Policy(),
        "lease": 30.0,
        "patience": 1.0,
        **how,
    }
    return Requirement(check=check, **how)


def tried(check: Check = asks, **how: Any) -> Awaitable[Outcome]:
    return run(requirement(check, **how), MemoryHarness("memory://"))


async def test_a_check_that_ends_has_passed_with_what_it_asked_as_evidence() -> None:
    outcome = await tried()
    assert (outcome.id, outcome.level, outcome.state) == ("S-TEST-01", "core", "passed")
    assert (outcome.reason, outcome.details) == ("", "")
    assert outcome.calls > 0


async def test_a_failed_assertion_is_told_with_its_text_and_place() -> None:
    # Given
    async def fails(bench: Bench) -> None:
        flow = await bench.start(task())
        raise AssertionError(f"run {flow.id} is not as it should be")

    # When
    outcome = await tried(fails)
    # Then
    assert outcome.state == "failed"
    assert outcome.reason.endswith("is not as it should be")
    assert "in fails" in outcome.details


async def test_whatever_a_store_raises_is_its_failure() -> None:
    # Given
    async def breaks(bench: Bench) -> None:
        await bench.store.counts()
        raise ZeroDivisionError("of the store")

    # When
    outcome = await tried(breaks)
    # Then
    assert (outcome.state, outcome.reason) == ("failed", "ZeroDivisionError: of the store")


async def test_a_check_that_asks_nothing_of_the_store_has_shown_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a bench that asks nothing by itself either
    async def quiet(bench: Bench) -> None:
        """No worker is announced."""

    monkeypatch.setattr(Bench, "open", quiet)

    async def nothing(bench: Bench) -> None:
        """Not even the time."""

    # When
    outcome = await tried(nothing)
    # Then
    assert outcome.state == "failed"
    assert "asked nothing" in outcome.reason


async def test_a_check_that_does_not_end_fails_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given
    monkeypatch.setattr(running, "MOST", 0.05)

    async def hangs(bench: Bench) -> None:
        await asyncio.Event().wait()

    # When
    outcome = await tried(hangs)
    # Then
    assert (outcome.state, outcome.reason) == ("failed", "it took longer than 0.05 s")


async def test_what_a_harness_cannot_do_is_not_run_and_says_so() -> None:
    # When
    outcome = await run(
        requirement(wants=frozenset({"size", "restart"})), StoreHarness("memory://")
    )
    # Then
    assert outcome.state == "not run"
    assert outcome.reason == "the harness of memory has not the ability restart, size"
    assert outcome.calls == 0


async def test_of_a_store_that_does_not_make_a_claim_something_else_is_tried() -> None:
    # Given
    seen = []

    async def holds_instead(bench: Bench) -> None:
        seen.append(await bench.store.workers())

    instead = Instead(text="it says so", check=holds_instead)
    # When
    outcome = await tried(claim="shared", instead=instead, wants=frozenset({"restart"}))
    # Then
    assert (outcome.level, outcome.state) == ("extended", "not applicable")
    assert outcome.reason == "the store says that it is not shared; instead: it says so"
    assert len(seen) == 1


async def test_what_holds_instead_must_hold() -> None:
    # Given
    async def does_not_hold(bench: Bench) -> None:
        raise AssertionError("it does not say so")

    instead = Instead(text="it says so", check=does_not_hold)
    # When
    outcome = await tried(claim="lasting", instead=instead)
    # Then
    assert outcome.state == "failed"
    assert outcome.reason.endswith("instead: it says so: it does not say so")
    assert "until this process ends" in outcome.reason


async def test_a_store_that_cannot_be_opened_fails() -> None:
    # Given
    class Closed(MemoryHarness):
        def make(self, options: StoreOptions, *, hastened: bool) -> Store:
            raise OSError("out of order")

    # When
    outcome = await run(requirement(), Closed("memory://"))
    # Then
    assert (outcome.state, outcome.reason) == ("failed", "OSError: out of order")


async def test_outcomes_come_in_order_and_what_stops_the_server_runs_alone_at_the_end() -> None:
    # Given
    running_now: set[str] = set()
    together: dict[str, int] = {}

    def check(name: str) -> Check:
        async def run_it(bench: Bench) -> None:
            running_now.add(name)
            for _ in range(5):
                await bench.store.counts()
                await asyncio.sleep(0)
                together[name] = max(together.get(name, 0), len(running_now))
            running_now.discard(name)

        return run_it

    class Restarts(MemoryHarness):
        abilities = MemoryHarness.abilities | {"restart"}

    wants: frozenset[Any] = frozenset({"restart"})
    wanted = [
        requirement(check("a"), id="S-TEST-01"),
        requirement(check("b"), id="S-TEST-02", wants=wants),
        requirement(check("c"), id="S-TEST-03"),
        requirement(check("d"), id="S-TEST-04"),
    ]
    # When
    outcomes = [each.id async for each in run_all(Restarts("memory://"), wanted, at_once=2)]
    # Then
    assert outcomes == ["S-TEST-01", "S-TEST-03", "S-TEST-04", "S-TEST-02"]
    assert together["b"] == 1
    assert max(together.values()) == 2
