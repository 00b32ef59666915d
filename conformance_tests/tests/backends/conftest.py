"""A backend to try requirements on, with real processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mageflow_conformance.backends import Requirement, Stage, Trials
from mageflow_conformance.backends.harnesses import AsyncioHarness
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.servers import require_redis

Check = Callable[[Stage], Awaitable[None]]


@pytest.fixture(scope="module")
def trials() -> Iterator[Trials]:
    """While it lasts stores of this process are hastened: no longer than the tests that want it."""
    require_redis()
    with Trials(AsyncioHarness()) as trials:
        yield trials


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "ledger")
    yield made
    made.close()


@pytest.fixture
def on_stage(trials: Trials) -> Callable[[Check], Awaitable[None]]:
    """Has a check run on a stage of its own, and raises what it raises."""

    async def run(check: Check) -> None:
        raised: list[BaseException] = []

        async def tried(stage: Stage) -> None:
            try:
                await check(stage)
            except BaseException as error:
                raised.append(error)
                raise

        outcome = await trials.run(
            Requirement(id="B-TEST-00", text="It is tried.", check=tried, within=50)
        )
        if raised:
            raise raised[0]
        assert outcome.state == "passed", outcome.details or outcome.reason

    return run
