"""What a check plays on: real processes, with apps as the harness says."""

from __future__ import annotations

import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mageflow_conformance.backends import Stage, Trials
from mageflow_conformance.backends.harnesses import AsyncioHarness
from mageflow_conformance.backends.life import LOGGED, REFUSED, harness_at
from mageflow_conformance.backends.seam import SEAM
from mageflow_conformance.flows import call, roles
from mageflow_conformance.processes import Died
from mageflow_core import Status

OnStage = Callable[[Callable[[Stage], Awaitable[None]]], Awaitable[None]]

BREAKING = """
from mageflow_conformance.ledger import Ledger

def renamed(mf):
    mf._ledger.note("broken", fields=list(mf.settings.namespace))
"""


async def test_a_worker_has_said_that_it_works_and_runs_what_is_started(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        # When
        worker = await stage.worker()
        # Then
        (row,) = stage.ledger.of(roles.SERVING)
        assert (row.pid, bool(row.worker)) == (worker.pid, True)
        run = await stage.mf.start(call("echo", value=[1]))
        assert await run.result(timeout=20) == [1]
        evidence = await stage.kept(run)
        assert evidence is not None

    await on_stage(check)


async def test_the_app_of_this_process_runs_nothing(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        assert stage.mf.worker_id is None
        run = await stage.mf.start(call("step"), {"n": 1})
        worker = await stage.worker()
        await run.result(timeout=20)
        assert {row.pid for row in stage.ledger.rows()} == {worker.pid}

    await on_stage(check)


async def test_a_worker_ends_in_order_when_it_is_asked_to(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        worker = await stage.worker()
        await worker.stop()
        assert not worker.runs

    await on_stage(check)


async def test_a_worker_has_settings_of_its_own(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        first, second = await stage.worker(slots=1), await stage.worker(slots=2)
        store = await stage.mf.opened()
        slots = {worker.pid: worker.slots for worker in await store.workers()}
        assert slots == {first.pid: 1, second.pid: 2}

    await on_stage(check)


async def test_a_worker_has_variables_of_its_own(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        doomed = await stage.worker(environment={"MAGEFLOW_FAILPOINTS": "worker.left=kill"})
        with pytest.raises(Died, match="ended with -9"):
            await doomed.stop()
        other = await stage.worker()
        await other.stop()

    await on_stage(check)


async def test_a_worker_that_cannot_work_is_told_with_what_it_printed(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        with pytest.raises(Died, match="slots cannot be 'many'"):
            await stage.worker(slots="many")
        await stage.worker()

    await on_stage(check)


async def test_a_bare_worker_does_not_know_the_tasks(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        await stage.worker(bare=True)
        run = await stage.mf.start(call("step"), {"n": 1})
        store = await stage.mf.opened()
        assert all("step" not in worker.tasks for worker in await store.workers())
        assert await run.status() == Status.QUEUED
        await stage.worker()
        assert await run.result(timeout=20) == {"n": 2}

    await on_stage(check)


async def test_a_worker_may_know_some_tasks_alone(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        await stage.worker(knows=["work"])
        store = await stage.mf.opened()
        (worker,) = await store.workers()
        assert {task for task in worker.tasks if "." not in task} == {"work"}
        run = await stage.mf.start(call("work"), {"n": 1})
        assert await run.result(timeout=20) == {"n": 2}

    await on_stage(check)


async def test_what_a_worker_logs_comes_to_the_ledger_where_that_is_asked_for(
    on_stage: OnStage,
) -> None:
    async def check(stage: Stage) -> None:
        for logs in (False, True):
            worker = await stage.worker(logs=logs)
            await worker.stop()
        assert {row.pid for row in stage.ledger.of(LOGGED)} == {worker.pid}
        works = next(r for r in stage.ledger.of(LOGGED) if r.more["text"].endswith(" works"))
        assert (works.more["logger"], works.more["level"]) == ("mageflow.worker", "INFO")
        assert works.key is None

    await on_stage(check)


async def test_a_worker_that_cannot_open_says_why(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        worker = stage.launch(store="redis://127.0.0.1:1/0", store_patience=0.1)
        await worker.exited(1)
        (row,) = stage.ledger.of(REFUSED)
        assert (row.pid, row.more["error"]) == (worker.pid, "StoreUnavailable")
        assert "127.0.0.1:1" in row.more["text"]

    await on_stage(check)


async def test_a_bare_app_starts_by_name(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        stranger = await stage.watch(bare=True)
        assert stranger.registry.find("step") is None
        assert stage.mf.registry.find("step") is not None
        await stage.worker()

    await on_stage(check)


async def test_rules_reach_the_worker(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        await stage.worker(rules=[{"do": "duplicate", "task": "step"}])
        run = await stage.mf.start(call("step"), {"n": 1})
        await run.result(timeout=20)
        (row,) = await stage.ledger.has(f"{SEAM}-over")
        assert row.more["do"] == "duplicate"

    await on_stage(check)


async def test_the_clock_of_a_worker_may_be_wrong(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        await stage.worker(skew=3_600.0)
        store = await stage.mf.opened()
        (worker,) = await store.workers()
        assert worker.started_at > stage.mf.clock.now() + 3_000

    await on_stage(check)


async def test_the_store_can_be_reached_by_way_of_a_proxy(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        proxy = await stage.proxy()
        await stage.worker(store=proxy.url)
        run = await stage.mf.start(call("step"), {"n": 1})
        assert await run.result(timeout=20) == {"n": 2}

    await on_stage(check)


async def test_that_others_were_killed_or_frozen_is_no_evidence(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        worker = await stage.worker()
        before = stage.witnesses
        await worker.freeze()
        worker.thaw()
        await worker.kill()
        assert {row.what for row in stage.ledger.rows()} >= {"killed", "frozen", "thawed"}
        assert stage.witnesses == before == 1
        assert worker.ended.result(0) == -signal.SIGKILL

    await on_stage(check)


async def test_where_the_engine_has_no_client_there_are_no_natives(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        await stage.worker()
        with pytest.raises(AssertionError, match="a client of its own"):
            await stage.natives()

    await on_stage(check)


class WithCommand(AsyncioHarness):
    """Of which the command is one that runs the app itself."""

    def command(self, module: str) -> list[str] | None:
        program = (
            f"import asyncio, {module} as m\nassert m.client is None\nasyncio.run(m._mf.serve())"
        )
        return [sys.executable, "-c", program]


class EndsAtOnce(AsyncioHarness):
    def command(self, module: str) -> list[str] | None:
        return [sys.executable, "-c", "print('no'); exit(3)"]


async def test_the_engines_own_command_is_given_the_app(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        stage.harness = WithCommand()
        process = await stage.hosted()
        run = await stage.mf.start(call("step"), {"n": 1})
        assert await run.result(timeout=20) == {"n": 2}
        await stage.kept(run)
        assert {row.pid for row in stage.ledger.rows()} == {process.pid}
        await process.stop()

    await on_stage(check)


async def test_a_command_that_ends_is_told(on_stage: OnStage) -> None:
    async def check(stage: Stage) -> None:
        await stage.worker()
        stage.harness = EndsAtOnce()
        with pytest.raises(Died, match=r"ended with 3; it has printed:\nno"):
            await stage.hosted()

    await on_stage(check)


# --- the harness ----------------------------------------------------------------------------------
@dataclass
class WithFields(AsyncioHarness):
    number: int = 0

    def settings(self, namespace: str) -> dict[str, Any]:
        return {"slots": self.number}


def test_a_worker_has_a_copy_of_the_harness_with_its_fields() -> None:
    # Given
    place = "mageflow_conformance.backends.harnesses:AsyncioHarness"
    # When
    made = harness_at(place, {"url": "somewhere"})
    # Then
    assert (type(made), made.url) == (AsyncioHarness, "somewhere")


@pytest.mark.parametrize(
    ("place", "error"),
    [("no_such_module:Harness", ModuleNotFoundError), ("json:Missing", AttributeError)],
)
def test_a_harness_that_is_not_there_ends_the_worker(place: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        harness_at(place, {})


async def test_the_settings_of_the_harness_are_those_of_all_apps(trials: Trials) -> None:
    # Given
    harness = WithFields(number=7)
    found = []

    async def check(stage: Stage) -> None:
        found.append(stage.mf.settings.slots)
        assert stage.caps.embedded

    # When
    trials.harness, before = harness, trials.harness
    try:
        await trials.run(requirement_of_check(check))
    finally:
        trials.harness = before
    # Then
    assert found == [7]


def requirement_of_check(check: Any) -> Any:
    from mageflow_conformance.backends import Requirement

    return Requirement(id="B-TEST-02", text="It is tried.", check=check)


# --- broken ones ----------------------------------------------------------------------------------
async def test_what_breaks_an_app_is_given_the_one_of_each_worker(tmp_path: Path) -> None:
    # Given
    (tmp_path / "theirs.py").write_text(BREAKING, "utf-8")
    rows = []

    async def check(stage: Stage) -> None:
        worker = await stage.worker()
        rows.extend(stage.ledger.of("broken"))
        assert [row.pid for row in rows] == [worker.pid]

    # When
    with Trials(AsyncioHarness(), breaks="theirs:renamed", path=[str(tmp_path)]) as trials:
        outcome = await trials.run(requirement_of_check(check))
    # Then
    assert outcome.state == "passed", outcome.details
    assert len(rows) == 1
    assert "theirs" not in sys.modules  # it is none of this process's business
