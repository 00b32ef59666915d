"""A process whose purpose is to work: it serves until it is told to stop, and leaves in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sharing import site_of

from mageflow_core import Mageflow, chain
from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.local import AsyncioBackend
from mageflow_core.client import backends, serving
from mageflow_core.client.site import Site
from mageflow_core.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    SettingsError,
)

Until = Callable[..., Awaitable[None]]


class Remote(AsyncioBackend):
    """As a backend would be whose jobs go through a broker."""

    caps = Capabilities()
    roles: list[str] = []  # noqa: RUF012 - one for all that are made in a test
    ends: Callable[[], None] | None = None

    async def open(self, role: Any) -> None:
        self.roles.append(role)
        await super().open(role)

    async def serve(self, **how: Any) -> None:
        if self.ends is not None:
            return self.ends()
        return await super().serve(**how)


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> type[Remote]:
    monkeypatch.setattr(Remote, "roles", [])
    monkeypatch.setattr(Remote, "ends", None)
    monkeypatch.setattr(backends, "load_backend", lambda _: Remote)
    return Remote


async def test_it_works_until_it_is_stopped(make_process: Any, until: Until) -> None:
    # Given a process that serves
    mf: Mageflow = await make_process(opened=False)
    client: Mageflow = await make_process(worker=False)

    @mf.task
    async def add(a: int, b: int = 1) -> int:
        return a + b

    stop = asyncio.Event()
    serve = asyncio.create_task(mf.serve(stop=stop))
    await until(lambda: mf._site is not None)
    # When another one starts a flow
    run = await client.start(chain("add", "add"), {"a": 1})
    # Then it runs there, until it is told to stop
    assert await run.result(timeout=10) == 3
    stop.set()
    await asyncio.wait_for(serve, 10)
    assert mf._site is None
    assert await site_of(client).store.workers() == []


async def test_an_app_that_is_open_already_serves(make_process: Any) -> None:
    mf: Mageflow = await make_process()

    @mf.task
    async def work() -> int:
        return 1

    stop = asyncio.Event()
    serve = asyncio.create_task(mf.serve(stop=stop))
    assert await work.run() == 1
    stop.set()
    await serve
    assert mf._site is None


async def test_it_can_serve_again(make_process: Any) -> None:
    mf: Mageflow = await make_process(opened=False)
    stop = asyncio.Event()
    stop.set()
    for _ in range(2):
        await mf.serve(stop=stop)
        assert mf._site is None


# --- what cannot work -----------------------------------------------------------------------------


async def test_a_store_that_nobody_else_sees_is_refused_by_its_setting() -> None:
    with pytest.raises(SettingsError, match=r"store is 'memory://'.*nothing would ever come"):
        await Mageflow().serve()


async def test_a_backend_of_other_processes_wants_a_store_that_they_see(
    remote: type[Remote],
) -> None:
    with pytest.raises(SettingsError, match="name a store that processes share"):
        await Mageflow(store="memory://").opened()
    assert remote.roles == [], "nothing was opened"


async def test_an_app_that_is_not_to_work_does_not_serve(make_process: Any) -> None:
    mf: Mageflow = await make_process(worker=False)
    with pytest.raises(SettingsError, match="worker is false"):
        await mf.serve()


async def test_outside_of_the_main_thread_signals_are_refused(make_process: Any) -> None:
    mf: Mageflow = await make_process(opened=False)
    with pytest.raises(ConfigurationError, match="give serve\\(\\) a stop event"):
        await asyncio.to_thread(asyncio.run, mf.serve())
    assert mf._site is None


async def test_an_app_that_was_opened_as_a_client_does_not_serve(
    make_process: Any, remote: type[Remote]
) -> None:
    mf: Mageflow = await make_process()
    with pytest.raises(ConfigurationError, match="open already, and does not work"):
        await mf.serve(stop=asyncio.Event())
    assert remote.roles == ["client"]
    assert await mf.find() == [], "it is as open as it was"


# --- other backends -------------------------------------------------------------------------------


async def test_only_serving_works_on_a_backend_that_is_not_embedded(
    make_process: Any, remote: type[Remote], until: Until
) -> None:
    mf: Mageflow = await make_process(opened=False)

    @mf.task
    async def work() -> int:
        return 1

    # Given an app that was only opened
    async with mf:
        assert site_of(mf).working is None
    # When it serves, then it works
    stop = asyncio.Event()
    serve = asyncio.create_task(mf.serve(stop=stop))
    await until(lambda: mf._site is not None)
    assert await work.run() == 1
    stop.set()
    await serve
    # Then it does not any more when it is opened the next time
    async with mf:
        assert site_of(mf).working is None
    assert remote.roles == ["client", "worker", "client"]


async def test_a_backend_that_fails_ends_it_with_what_it_has_failed_with(
    make_process: Any, remote: type[Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise BackendUnavailable("the broker is gone")

    monkeypatch.setattr(remote, "ends", fail)
    mf: Mageflow = await make_process(opened=False)
    with pytest.raises(ExceptionGroup) as failed:
        await asyncio.wait_for(mf.serve(stop=asyncio.Event()), 10)
    assert failed.group_contains(BackendUnavailable, match="the broker is gone")
    assert mf._site is None


async def test_a_backend_that_ends_by_itself_is_no_orderly_end(
    make_process: Any, remote: type[Remote], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "ends", lambda *_: None)
    mf: Mageflow = await make_process(opened=False)
    with pytest.raises(BackendError, match="'asyncio' stopped serving by itself"):
        await asyncio.wait_for(mf.serve(stop=asyncio.Event()), 10)
    assert mf._site is None


# --- how it ends ----------------------------------------------------------------------------------


class Held:
    """A process that serves, with a body in it that ends only when it is stopped."""

    def __init__(self, mf: Mageflow) -> None:
        self.mf = mf
        self.began = asyncio.Event()
        self.stopped: list[str] = []

        @mf.task
        async def hold() -> None:
            self.began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.stopped.append("hold")
                raise

        self.hold = hold

    async def begin(self, client: Mageflow) -> None:
        await self.mf.find()  # which waits until it is open
        await client.start("hold")
        await self.began.wait()


@pytest.fixture
async def held(make_process: Any) -> Held:
    return Held(await make_process(opened=False, shutdown_grace=3600))


async def test_breaking_it_off_stops_bodies_at_once(held: Held, make_process: Any) -> None:
    serve = asyncio.create_task(held.mf.serve(stop=asyncio.Event()))
    await held.begin(await make_process(worker=False))
    serve.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serve
    assert held.stopped == ["hold"]
    assert held.mf._site is None


async def test_closing_the_app_ends_it(held: Held, make_process: Any) -> None:
    serve = asyncio.create_task(held.mf.serve(stop=asyncio.Event()))
    await held.begin(await make_process(worker=False))
    await held.mf.close(grace=0)
    await asyncio.wait_for(serve, 10)
    assert held.stopped == ["hold"]


async def test_a_second_signal_cuts_the_grace_short(held: Held, make_process: Any) -> None:
    # Given a process that was told to stop, and lets its bodies end
    stop = asyncio.Event()
    told = serving.Serving(held.mf, stop)
    serve = asyncio.create_task(told.run())
    await held.begin(await make_process(worker=False))
    told.on_signal()
    for _ in range(20):
        await asyncio.sleep(0)
    assert held.stopped == []
    # When it is told again
    told.on_signal()
    # Then it stops them
    await asyncio.wait_for(serve, 10)
    assert held.stopped == ["hold"]


async def test_a_hurried_end_does_not_wait_for_threads_that_cannot_be_stopped(
    make_process: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Given a sync body that does not end, and an hour of grace
    from mageflow_core.runtime import worker

    monkeypatch.setattr(worker, "UNWIND", 0.01)
    monkeypatch.setattr(worker, "THREADS_END", 0.01)
    mf: Mageflow = await make_process(opened=False, shutdown_grace=3600)
    began, gate = threading.Event(), threading.Event()

    @mf.task
    def hold() -> None:
        began.set()
        gate.wait(30)

    async with mf:
        await hold.start()
        assert await asyncio.to_thread(began.wait, 10)
        threads = site_of(mf).threads
        # When the app is closed in a hurry
        await asyncio.wait_for(mf.close(grace=0), 10)
    # Then it has not waited
    assert "sync bodies still run" in caplog.text
    gate.set()
    assert threads.close(10) == []


async def test_a_store_that_does_not_answer_keeps_nobody_from_stopping(
    make_process: Any, until: Until
) -> None:
    # Given a process that cannot be opened yet
    mf: Mageflow = await make_process(opened=False)
    whole = Site._make_store
    asked = asyncio.Event()

    def slow(self: Any) -> Any:
        store: Any = whole(self)

        async def never(_: Any) -> None:
            asked.set()
            await asyncio.Event().wait()

        store.open = never
        return store

    stop = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Site, "_make_store", slow)
        serve = asyncio.create_task(mf.serve(stop=stop))
        await asked.wait()
        # When it is told to stop, then it does
        stop.set()
        await asyncio.wait_for(serve, 10)
    assert mf._site is None


async def test_handlers_of_signals_are_put_back(make_process: Any, until: Until) -> None:
    mf: Mageflow = await make_process(opened=False)
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    serve = asyncio.create_task(mf.serve())
    await until(lambda: mf._site is not None)
    assert signal.getsignal(signal.SIGTERM) != before[0]
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(serve, 10)
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


# --- a process of its own -------------------------------------------------------------------------

SERVES = """
    import asyncio, logging, sys, threading
    sys.path.insert(0, {here!r})
    from sharing import World, install
    from mageflow_core import Mageflow

    install()
    logging.basicConfig(level="INFO", format="%(message)s")
    mf = Mageflow(store="shared://one", shutdown_grace={grace})

    @mf.task
    async def work():
        print("began", flush=True)
        try:
            await asyncio.sleep({takes})
            print("ended", flush=True)
        except asyncio.CancelledError:
            print("stopped", flush=True)
            raise

    async def main():
        client = Mageflow(store="shared://one", worker=False)
        async with client:
            serving = asyncio.create_task(mf.serve())
            while not await client._site.store.workers():
                await asyncio.sleep(0.01)
            await client.start("work")
            await serving
        ours = [each.name for each in threading.enumerate() if each.name.startswith("mageflow")]
        print(World.all["shared://one"].handles, ours, flush=True)

    asyncio.run(main())
    print("over", flush=True)
"""


@contextmanager
def process(tmp_path: Path, *, grace: float, takes: float) -> Iterator[subprocess.Popen[str]]:
    """A worker that has begun a body."""
    here = str(Path(__file__).parent.parent / "doubles")
    code = textwrap.dedent(SERVES).format(here=here, grace=grace, takes=takes)
    script = tmp_path / "serves.py"
    script.write_text(code, "utf-8")
    with subprocess.Popen(
        [sys.executable, "-W", "error", str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "began\n"
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_bodies_end_and_the_process_ends_with_zero(
    tmp_path: Path, number: signal.Signals
) -> None:
    with process(tmp_path, grace=30, takes=0.3) as running:
        running.send_signal(number)
        out, err = running.communicate(timeout=30)
    assert out.splitlines()[0] == "ended"
    assert out.splitlines()[-1] == "over"
    assert running.returncode == 0
    assert "a second signal stops its tasks at once" in err
    assert "Traceback" not in err


def test_a_signal_leaves_no_handle_and_no_thread(tmp_path: Path) -> None:
    with process(tmp_path, grace=30, takes=0.1) as running:
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=30)
    assert out.splitlines() == ["ended", "[] []", "over"]


def test_a_second_signal_stops_bodies_at_once_and_the_process_ends_with_zero(
    tmp_path: Path,
) -> None:
    began = time.monotonic()
    with process(tmp_path, grace=600, takes=600) as running:
        assert running.stderr is not None
        running.send_signal(signal.SIGTERM)
        while "a second signal stops" not in running.stderr.readline():
            continue
        running.send_signal(signal.SIGTERM)
        out, err = running.communicate(timeout=30)
    assert out.splitlines()[0] == "stopped"
    assert out.splitlines()[-1] == "over"
    assert running.returncode == 0
    assert "stopping at once" in err
    assert time.monotonic() - began < 30
