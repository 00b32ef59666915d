"""Watching: `mageflow show --watch`, and going on where the store is away for a while."""

import asyncio
import io
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from rich.console import Console

from mageflow import Mageflow, chain, sign, swarm
from mageflow.cli import live, patience
from mageflow.cli.picture import View
from mageflow.cli.show import show_it
from mageflow_core import Status
from mageflow_core.errors import RunNotFound, StoreUnavailable
from mageflow_core.stores.protocol import Store

Ran = Callable[..., Any]
Started = Callable[..., str]
Eventually = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "EVERY", 0.005)
    monkeypatch.setattr(patience, "PAUSE", 0.005)


@pytest.fixture
def go() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def mf(shared: type[Any], go: asyncio.Event) -> AsyncIterator[Mageflow]:
    async with Mageflow(shutdown_grace=0.0) as mf:

        @mf.task
        async def waits(n: int = 0) -> int:
            await go.wait()
            return n

        @mf.task
        def fails() -> None:
            raise ValueError("no such thing")

        yield mf


@pytest.fixture
async def store(mf: Mageflow) -> Store:
    return await mf.opened()


async def test_elsewhere_than_on_a_terminal_each_change_is_a_line(
    mf: Mageflow,
    store: Store,
    go: asyncio.Event,
    eventually: Eventually,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a swarm that runs, watched
    run = await swarm([sign("waits", n=n) for n in range(3)]).start()
    watcher = asyncio.create_task(show_it(store, run.id, View(), watching=True))
    said: list[str] = []

    def has(text: str) -> bool:
        said.append(capsys.readouterr().out)
        return text in "".join(said)

    await eventually(lambda: has("active 0/3"))
    # When its items end, then the watching ends with the run
    go.set()
    assert await watcher is Status.DONE
    has("")
    lines = "".join(said).splitlines()
    assert all(re.match(r"\d\d:\d\d:\d\d \w+ \d/3$", line) for line in lines)
    # And each line says something new
    states = [line.partition(" ")[2] for line in lines]
    assert states[-1] == "done 3/3"
    assert len(set(states)) == len(states)


async def test_on_a_terminal_the_picture_is_redrawn(
    mf: Mageflow,
    store: Store,
    go: asyncio.Event,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a terminal
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=120, legacy_windows=False)
    monkeypatch.setattr(live, "stdout", lambda: console)
    # When a run is watched there
    run = await chain(sign("waits", n=7), "fails").start()
    watcher = asyncio.create_task(show_it(store, run.id, View(history=True), watching=True))
    await eventually(lambda: "active\x1b[0m waits" in shown.getvalue())
    go.set()
    # Then its last picture is that of its end
    assert await watcher is Status.FAILED
    last = shown.getvalue().rpartition(f"run {run.id}")[2]
    assert "done\x1b[0m waits" in last
    assert "failed\x1b[0m fails" in last
    assert "ValueError: no such thing" in last
    assert "started" in last


async def test_a_node_is_watched_until_it_has_ended(
    mf: Mageflow, store: Store, go: asyncio.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a flow that goes on for long behind its first step
    run = await chain(sign("waits", n=1), "nobody-knows").start()
    go.set()
    # When that step is watched, then it ends although the run does not
    assert await show_it(store, f"{run.id}/0", View(), watching=True) is Status.DONE
    assert await run.status() is Status.ACTIVE
    assert capsys.readouterr().out.splitlines()[-1].endswith(" done")


async def test_as_json_it_is_waited_for_and_printed_once(
    mf: Mageflow, store: Store, go: asyncio.Event, capsys: pytest.CaptureFixture[str]
) -> None:
    run = await sign("waits", n=5).start()
    watcher = asyncio.create_task(
        show_it(store, run.id, View(full=True), watching=True, as_json=True)
    )
    await asyncio.sleep(0)
    go.set()
    assert await watcher is Status.DONE
    assert json.loads(capsys.readouterr().out)["tree"]["result"] == 5


async def test_who_stops_watching_leaves_the_run_alone(
    mf: Mageflow, store: Store, go: asyncio.Event, shared: type[Any], eventually: Eventually
) -> None:
    run = await sign("waits").start()
    watcher = asyncio.create_task(show_it(store, run.id, View(), watching=True))
    await eventually(lambda: "wait" in shared.calls)
    watcher.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watcher
    go.set()
    await run.settled(timeout=20)


@pytest.mark.usefixtures("mf")
async def test_a_store_that_is_away_is_waited_for(
    store: Store,
    go: asyncio.Event,
    shared: type[Any],
    eventually: Eventually,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Given a run that is watched
    run = await swarm([sign("waits", n=n) for n in range(3)]).start()
    watcher = asyncio.create_task(show_it(store, run.id, View(), watching=True))
    await eventually(lambda: " active 0/3" in capsys.readouterr().out)
    said: list[str] = []

    def complained() -> bool:
        said.append(capsys.readouterr().err)
        return "the store answers again" in "".join(said)

    # When the store is away for some calls, then it is said once, and that it is back
    shared.away = 5
    await eventually(complained)
    assert "".join(said).splitlines() == [
        "mageflow: double://user:***@host does not answer: is it there? (waiting for it)",
        "mageflow: the store answers again",
    ]
    # And the watching goes on to the end
    go.set()
    assert await watcher is Status.DONE


def test_how_a_watched_run_ended_is_the_exit_code(ran: Ran, started: Started) -> None:
    assert " done 2/2" in ran(0, "show", started(lambda: chain("add", "add")), "--watch").stdout
    failed = started(lambda: chain("add", "fails"))
    assert " failed 1/2, 1 failed" in ran(1, "show", failed, "--watch").stdout
    assert ran(1, "show", failed, "--watch", "--json").stdout.startswith("{")
    ran(0, "show", failed)


# --- patience ------------------------------------------------------------------------------------


async def test_a_call_is_made_until_it_is_answered(capsys: pytest.CaptureFixture[str]) -> None:
    answers: list[Any] = [StoreUnavailable("no answer"), StoreUnavailable("none"), 7]

    async def call() -> int:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return int(answer)

    assert await patience.answered(call) == 7
    assert capsys.readouterr().err.splitlines() == [
        "mageflow: no answer (waiting for it)",
        "mageflow: the store answers again",
    ]


async def test_an_answer_at_once_is_not_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    async def call() -> int:
        return 7

    assert await patience.answered(call) == 7
    assert capsys.readouterr() == ("", "")


async def test_what_is_no_silence_is_raised() -> None:
    async def call() -> None:
        raise RunNotFound("gone")

    with pytest.raises(RunNotFound):
        await patience.answered(call)


async def test_what_goes_wrong_in_the_looking_ends_the_waiting() -> None:
    waiting = asyncio.Event()
    ended = asyncio.Event()

    async def over() -> None:
        waiting.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def look() -> None:
        if waiting.is_set():
            raise RunNotFound("gone")

    with pytest.raises(RunNotFound):
        await patience.looking(over, look, every=0.001)
    async with asyncio.timeout(5):
        await ended.wait()


async def test_a_look_is_taken_before_and_after() -> None:
    looks: list[bool] = []
    go = asyncio.Event()

    async def look() -> None:
        looks.append(go.is_set())
        go.set()

    await patience.looking(go.wait, look, every=60)
    assert looks == [False, True]
