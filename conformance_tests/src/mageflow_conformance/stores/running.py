"""Runs requirements against a store, and says how each went."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.harness import StoreHarness
from mageflow_conformance.stores.requirement import Check, Claim, Requirement
from mageflow_conformance.waiting import scaled

State = Literal["passed", "failed", "not applicable", "not run"]
MOST = 45.0  # seconds that one requirement may take


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """state: "not applicable" is only said where what holds instead was tried and does; "not run"
    where the harness cannot do what it takes.

    reason: of all but what has passed. calls: what was asked of the store, the evidence. seconds:
    how long it took. details: of what has failed, the traceback.
    """

    id: str
    level: str
    state: State
    reason: str = ""
    calls: int = 0
    seconds: float = 0.0
    details: str = ""


async def run_all(
    harness: StoreHarness, wanted: Sequence[Requirement], *, at_once: int = 6
) -> AsyncIterator[Outcome]:
    """Each in a namespace of its own, some at the same time; those that stop the server after all
    others, alone. Outcomes come in the order of the requirements."""
    room = asyncio.Semaphore(at_once)

    async def run_beside(requirement: Requirement) -> Outcome:
        async with room:
            return await run(requirement, harness)

    alone = [each for each in wanted if "restart" in each.wants]
    async with asyncio.TaskGroup() as group:
        beside = [group.create_task(run_beside(each)) for each in wanted if each not in alone]
        for task in beside:
            yield await task
    for requirement in alone:
        yield await run(requirement, harness)


async def run(requirement: Requirement, harness: StoreHarness) -> Outcome:
    why_not = missing_claim(requirement.claim, harness)
    if why_not and requirement.instead is not None:
        reason = f"{why_not}; instead: {requirement.instead.text}"
        return await _try(requirement, requirement.instead.check, harness, reason)
    missing = requirement.wants - harness.abilities
    if missing:
        reason = f"the harness of {harness.name} has not the ability {', '.join(sorted(missing))}"
        return _outcome(requirement, "not run", reason=reason)
    return await _try(requirement, requirement.check, harness, "")


def missing_claim(claim: Claim | None, harness: StoreHarness) -> str:
    """Why a requirement of this claim does not apply, if it does not."""
    if claim == "shared" and not harness.shared:
        return "the store says that it is not shared"
    if claim == "lasting" and not harness.lasting:
        return f"what is stored is kept {harness.durable}"
    return ""


async def _try(
    requirement: Requirement, check: Check, harness: StoreHarness, instead: str
) -> Outcome:
    bench = Bench(
        harness,
        policy=requirement.policy,
        lease=requirement.lease,
        patience=requirement.patience,
        hastened="hasten" in requirement.wants,
    )
    began = time.monotonic()
    reason = details = ""
    try:
        async with asyncio.timeout(scaled(MOST)):
            try:
                await bench.open()
                await check(bench)
            finally:
                await bench.close()
        if bench.calls == 0:
            reason = "it asked nothing of the store, and so has shown nothing"
    except Exception as error:  # noqa: BLE001  # whatever a store raises is its failure
        reason = _say(error)
        details = "".join(traceback.format_exception(error))
    took = round(time.monotonic() - began, 3)
    state: State = "failed" if reason else "not applicable" if instead else "passed"
    return _outcome(
        requirement,
        state,
        reason=f"{instead}: {reason}" if instead and reason else instead or reason,
        details=details,
        calls=bench.calls,
        seconds=took,
    )


def _say(error: Exception) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"it took longer than {scaled(MOST):g} s"
    text = str(error) or "an assertion of the requirement does not hold"
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"


def _outcome(
    requirement: Requirement,
    state: State,
    *,
    reason: str,
    details: str = "",
    calls: int = 0,
    seconds: float = 0.0,
) -> Outcome:
    return Outcome(
        id=requirement.id,
        level=requirement.level,
        state=state,
        reason=reason,
        calls=calls,
        seconds=seconds,
        details=details,
    )
