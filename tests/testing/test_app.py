"""The app of a test: whose place it takes, what it shows, how it ends."""

import asyncio
import sys
import threading
import types

import pytest

from mageflow.testing import TestApp, VirtualClock, embedded
from mageflow.testing.finding import find_app
from mageflow_core import Mageflow, Status, branch, chain, swarm
from mageflow_core.client import ambient
from mageflow_core.errors import (
    AmbiguousApp,
    RunNotFound,
    SettingsError,
    UnknownTask,
    WaitTimeout,
)
from mageflow_core.signatures.ambient import current_app


@pytest.fixture
def mf() -> Mageflow:
    """An app such as a user has."""
    mf = Mageflow(max_crashes=9, slots=7)

    @mf.task(aliases=("plus",))
    async def add(a: int, b: int = 1) -> int:
        return a + b

    @mf.task
    async def big(x: int) -> bool:
        return x > 10

    return mf


@pytest.fixture
def mageflow_tasks(mf: Mageflow) -> Mageflow:
    return mf


# --- in place of the user's app --------------------------------------------------------------
async def test_module_functions_work_on_it(mageflow_app: TestApp, mf: Mageflow) -> None:
    other = Mageflow()

    assert current_app() is mageflow_app
    assert await chain("add", "add").run({"a": 1}, timeout=5) == 3
    assert other.registry is not mageflow_app.registry


async def test_what_is_asked_of_the_users_app_is_done_by_it(
    mageflow_app: TestApp, mf: Mageflow
) -> None:
    add = mf.registry.find("add")
    assert add is not None

    assert await add.run({"a": 1}) == 2
    run = await mf.start(add.sign(), {"a": 2})
    assert await run.result(timeout=5) == 3
    assert len(await mf.find()) == 2
    async with mf:
        assert await add.run({"a": 3}) == 4

    mageflow_app.assert_dispatched("add", times=3)
    assert await (await mageflow_app.load(run.id)).status() is Status.DONE


def test_sync_calls_of_the_users_app_are_done_by_it(mageflow_app: TestApp, mf: Mageflow) -> None:
    add = mf.registry.find("add")
    assert add is not None

    assert add.run_sync({"a": 1}) == 2
    with mf:
        assert mf.start_sync("add", {"a": 2}).result_sync(timeout=5) == 3

    mageflow_app.assert_dispatched("add", times=2)


async def test_its_tasks_are_those_of_the_users_app_and_no_others(
    mageflow_app: TestApp, mf: Mageflow
) -> None:
    other = Mageflow()
    other.task(name="elsewhere")(lambda: None)

    assert await (await mageflow_app.start("plus", {"a": 1})).result(timeout=5) == 2
    with pytest.raises(UnknownTask, match="elsewhere"):
        await mageflow_app.start("elsewhere")


async def test_tasks_that_are_registered_later_are_there_too(
    mageflow_app: TestApp, mf: Mageflow
) -> None:
    @mf.task
    async def late() -> str:
        return "here"

    assert await late.run() == "here"
    mageflow_app.assert_ran(late)


async def test_tasks_of_the_test_stay_in_the_test(mageflow_app: TestApp, mf: Mageflow) -> None:
    mageflow_app.task(name="own")(lambda: 3)

    assert await (await mageflow_app.start("own")).result(timeout=5) == 3
    assert mf.registry.find("own") is None


async def test_branches_work_and_are_not_in_the_records(
    mageflow_app: TestApp, mf: Mageflow
) -> None:
    flow = branch("big", then="add", otherwise=chain("add", "add"))

    assert await (await mageflow_app.start(flow, {"x": 20, "a": 1})).result(timeout=5) == 2
    assert [each.task for each in mageflow_app.attempts] == ["big", "add"]


def test_afterwards_all_is_as_it_was(mf: Mageflow) -> None:
    with embedded(mf) as outer:
        with embedded(mf) as inner:
            assert current_app() is inner
            assert mf.instead is inner
        assert current_app() is outer
        assert mf.instead is outer

    assert mf.instead is None


def test_test_apps_make_nothing_ambiguous(mf: Mageflow) -> None:
    other = Mageflow()
    with embedded(mf) as app:
        assert current_app() is app

    with pytest.raises(AmbiguousApp, match="apps exist"):
        current_app()
    assert other is not mf


def test_a_test_app_is_forgotten_although_somebody_keeps_it() -> None:
    with embedded() as kept:
        kept.task(name="own")(lambda: None)

    assert kept not in ambient._made


def test_settings_are_the_users_but_for_where_it_runs(mageflow_app: TestApp) -> None:
    settings = mageflow_app.settings

    assert (settings.max_crashes, settings.slots) == (9, 7)
    assert (settings.backend, settings.store) == ("asyncio", "memory://")
    assert settings.shutdown_grace == 0


def test_a_clock_can_be_given(mf: Mageflow) -> None:
    clock = VirtualClock(start=1_000.0)

    with embedded(mf, clock=clock) as app:
        assert app.clock is clock


# --- waiting ---------------------------------------------------------------------------------
async def test_settle_waits_for_all_runs_and_their_callbacks(
    mageflow_app: TestApp, mf: Mageflow
) -> None:
    @mageflow_app.task
    async def spawn() -> None:
        await chain("add").options(delay=600).on_success("big").start({"a": 1, "x": 1})

    await spawn.start()
    await mageflow_app.settle()

    mageflow_app.assert_ran("add", outcome="done")
    mageflow_app.assert_ran("big", outcome="done")


async def test_settle_says_what_has_not_settled(mageflow_app: TestApp) -> None:
    run = await swarm(["add"], open=True).start({"a": 1})

    with pytest.raises(WaitTimeout) as info:
        await mageflow_app.settle(timeout=0.1)

    said = str(info.value)
    assert "not settled after 0.1 s" in said
    assert f"{run.id} swarm: active\n  /0 add: done" in said
    assert "1. swarm(add) with message {'a': 1}" in said


async def test_settle_passes_over_runs_that_are_gone(mageflow_app: TestApp) -> None:
    run = await chain("add").options(ttl=1).start({"a": 1})
    await run.result(timeout=5)
    await mageflow_app.advance(2)

    await mageflow_app.settle()

    with pytest.raises(RunNotFound):
        await run.status()
    assert await mageflow_app.show() == f"{run.id}: gone, its TTL has passed"


async def test_idle_waits_for_bodies_and_moves_no_time(mageflow_app: TestApp) -> None:
    began = mageflow_app.clock.now()
    await swarm(["add"] * 50, max_concurrency=3).start({"a": 1})
    await chain("add").options(delay=1).start({"a": 1})

    await mageflow_app.idle()

    mageflow_app.assert_ran("add", times=50, outcome="done")
    assert mageflow_app.clock.now() == began


async def test_idle_says_which_bodies_still_run(mageflow_app: TestApp) -> None:
    @mageflow_app.task
    async def endless() -> None:
        await asyncio.Event().wait()

    run = await endless.start()

    with pytest.raises(WaitTimeout, match=f"bodies still run after 0.05 s: {run.key}"):
        await mageflow_app.idle(timeout=0.05)


def test_sync_code_can_wait(mageflow_app: TestApp) -> None:
    mageflow_app.start_sync(chain("add", "add").options(delay=60), {"a": 1})
    mageflow_app.idle_sync()
    mageflow_app.assert_not_ran("add")

    mageflow_app.settle_sync()

    mageflow_app.assert_ran("add", times=2)


# --- showing ---------------------------------------------------------------------------------
async def test_a_tree_is_shown_with_statuses_attempts_and_errors(mageflow_app: TestApp) -> None:
    @mageflow_app.task(retries=1)
    async def fail() -> None:
        raise ValueError("broken")

    run = await chain("add", swarm([fail, "add"], stop_after_n_failures=1), "add").start({"a": 1})
    await run.wait(timeout=5)

    said = await mageflow_app.show(run)
    root, first, inner, failed, *_, skipped = said.splitlines()
    assert root.startswith(f"{run.id} chain: failed (")
    assert first == "  /0 add: done"
    assert inner.startswith("  /1 swarm: failed (")
    assert failed == "    /0 fail: failed, attempt 2 (ValueError: broken)"
    assert skipped == "  /2 add: skipped"
    assert said == await mageflow_app.show(run.id)


async def test_wide_trees_are_cut(mageflow_app: TestApp) -> None:
    run = await swarm(["add"] * 150).start({"a": 1})
    await run.result(timeout=5)

    assert (await mageflow_app.show(run)).splitlines()[-1] == "  … 50 more"


# --- closing ---------------------------------------------------------------------------------
async def test_it_can_be_closed_and_used_again(mageflow_app: TestApp) -> None:
    async with mageflow_app:
        assert await (await mageflow_app.start("add", {"a": 1})).result(timeout=5) == 2

    assert await (await mageflow_app.start("add", {"a": 1})).result(timeout=5) == 2
    mageflow_app.assert_dispatched("add", times=2)


def test_it_ends_with_a_loop_that_is_open_but_does_not_run(mf: Mageflow) -> None:
    loop = asyncio.new_event_loop()
    try:
        with embedded(mf) as app:
            run = loop.run_until_complete(app.start("add", {"a": 1}))
            assert loop.run_until_complete(run.result(timeout=5)) == 2
        assert asyncio.all_tasks(loop) == set()
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def test_no_thread_is_left_of_sync_use(mf: Mageflow) -> None:
    @mf.task
    def in_thread() -> str:
        return threading.current_thread().name

    with embedded(mf):
        name = in_thread.run_sync()
        assert name in {thread.name for thread in threading.enumerate()}

    left = {thread.name for thread in threading.enumerate()}
    assert "mageflow-loop" not in left
    assert name not in left


# --- finding ---------------------------------------------------------------------------------
@pytest.fixture
def module(mf: Mageflow, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType("made_up_flows")
    module.mf = mf  # type: ignore[attr-defined] # a module is what one puts in it
    module.place = types.SimpleNamespace(inner=mf)  # type: ignore[attr-defined] # likewise
    module.number = 3  # type: ignore[attr-defined] # likewise
    monkeypatch.setitem(sys.modules, "made_up_flows", module)
    return module


@pytest.mark.parametrize("said", ["made_up_flows:mf", "made_up_flows:place.inner"])
def test_an_app_is_found_by_name(module: types.ModuleType, mf: Mageflow, said: str) -> None:
    assert find_app(said) is mf


def test_an_app_is_itself_and_none_is_none(mf: Mageflow) -> None:
    assert find_app(mf) is mf
    assert find_app(None) is None


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("made_up_flows", "say 'module:name'"),
        ("made_up_flows:", "say 'module:name'"),
        (":mf", "say 'module:name'"),
        ("made_up_flows:other", "made_up_flows has no 'other'"),
        ("made_up_flows:number", "is no Mageflow but of type int"),
        (3, "3 is no app"),
    ],
)
def test_what_names_no_app_is_refused(module: types.ModuleType, said: object, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        find_app(said)


def test_a_module_that_is_not_there_is_told_as_python_tells_it() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        find_app("no_such_module:mf")
