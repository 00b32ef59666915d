"""Serving on a backend whose engine runs bodies in processes of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mageflow_core import Mageflow
from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.local import AsyncioBackend
from mageflow_core.backends.protocol import Host
from mageflow_core.client import backends, serving
from mageflow_core.errors import (
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    StoreUnavailable,
)

Until = Callable[..., Awaitable[None]]


class Elsewhere(AsyncioBackend):
    """Tells what is asked of it, and runs nothing."""

    caps = Capabilities(own_processes=True)
    told: list[str] = []  # noqa: RUF012 - one for all that are made in a test
    hosts: list[Host] = []  # noqa: RUF012 - likewise
    ends: Callable[[], None] | None = None
    away = False

    def host(self, host: Host) -> None:
        self.hosts.append(host)

    async def open(self, role: Any) -> None:
        if self.away:
            raise BackendUnavailable("the broker is away")
        self.told.append(f"open as {role}")
        await super().open(role)

    async def close(self) -> None:
        self.told.append("close")
        await super().close()

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        self.told.append(f"serve {slots} with {grace:g} s")
        if self.ends is not None:
            return self.ends()
        try:
            await stop.wait()
            await asyncio.sleep(grace)
        except asyncio.CancelledError:
            self.told.append("break off")
            raise
        return None


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> type[Elsewhere]:
    for name in ("told", "hosts"):
        monkeypatch.setattr(Elsewhere, name, [])
    monkeypatch.setattr(backends, "load_backend", lambda _: Elsewhere)
    return Elsewhere


TRIED = ["open as client", "close"]


async def test_nothing_is_open_in_the_process_that_serves(
    make_process: Any, elsewhere: type[Elsewhere], until: Until
) -> None:
    # Given an app whose backend has processes of its own
    mf: Mageflow = await make_process(opened=False, slots=3, shutdown_grace=0)
    stop = asyncio.Event()
    # When it serves
    serve = asyncio.create_task(mf.serve(stop=stop))
    await until(lambda: mf.elsewhere)
    # Then the engine was tried, and the backend serves with nothing open; it has its host
    assert mf.elsewhere == {"asyncio"}
    await until(lambda: len(elsewhere.told) == 3)
    assert elsewhere.told == [*TRIED, "serve 3 with 1 s"]
    assert mf.worker_id is None
    assert not mf.is_open
    assert len(elsewhere.hosts) == 1
    # And it ends when the backend has
    stop.set()
    await asyncio.wait_for(serve, 10)
    assert not mf.elsewhere


async def test_it_may_be_opened_as_a_client_meanwhile(
    make_process: Any, elsewhere: type[Elsewhere], until: Until
) -> None:
    mf: Mageflow = await make_process(opened=False, shutdown_grace=0)
    stop = asyncio.Event()
    serve = asyncio.create_task(mf.serve(stop=stop))
    await until(lambda: mf.elsewhere)
    assert await mf.find() == []
    assert mf.worker_id is None
    stop.set()
    await asyncio.wait_for(serve, 10)
    assert not mf.is_open, "it was closed with what it served"


async def test_a_second_signal_breaks_it_off(
    make_process: Any, elsewhere: type[Elsewhere], until: Until
) -> None:
    mf: Mageflow = await make_process(opened=False, shutdown_grace=3600)
    told = serving.Serving(mf, asyncio.Event())
    serve = asyncio.create_task(told.run())
    await until(lambda: len(elsewhere.told) == 3)
    told.on_signal()
    await asyncio.sleep(0)
    assert not serve.done()
    told.on_signal()
    await asyncio.wait_for(serve, 10)
    assert elsewhere.told[-1] == "break off"


async def test_what_cannot_be_reached_is_said_before_anything_is_started(
    make_process: Any, elsewhere: type[Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "redis://127.0.0.1:9/0"
    with pytest.raises(StoreUnavailable):
        await Mageflow(store=nowhere, store_patience=0.1).serve(stop=asyncio.Event())
    monkeypatch.setattr(elsewhere, "away", True)
    mf: Mageflow = await make_process(opened=False)
    with pytest.raises(BackendUnavailable, match="the broker is away"):
        await mf.serve(stop=asyncio.Event())
    assert elsewhere.told == []
    assert not mf.is_open


async def test_an_app_that_is_open_already_does_not_serve(
    make_process: Any, elsewhere: type[Elsewhere]
) -> None:
    mf: Mageflow = await make_process()
    with pytest.raises(ConfigurationError, match="open already"):
        await mf.serve(stop=asyncio.Event())
    assert await mf.find() == [], "it is as open as it was"


async def test_a_backend_that_ends_by_itself_is_no_orderly_end(
    make_process: Any, elsewhere: type[Elsewhere], monkeypatch: pytest.MonkeyPatch
) -> None:
    mf: Mageflow = await make_process(opened=False)
    monkeypatch.setattr(elsewhere, "ends", lambda *_: None)
    with pytest.raises(BackendError, match="'asyncio' stopped serving by itself"):
        await asyncio.wait_for(mf.serve(stop=asyncio.Event()), 10)

    def fail(*_: Any) -> None:
        raise BackendError("its process has died")

    monkeypatch.setattr(elsewhere, "ends", fail)
    with pytest.raises(BackendError, match="its process has died"):
        await asyncio.wait_for(mf.serve(stop=asyncio.Event()), 10)


async def test_a_host_has_the_slots_that_the_engine_gives_it_and_ends_when_it_is_hurried(
    make_process: Any, elsewhere: type[Elsewhere], until: Until
) -> None:
    # Given a process of the engine's
    mf: Mageflow = await make_process(opened=False, slots=100, shutdown_grace=3600)
    mf.backends.of_own_processes()
    (host,) = elsewhere.hosts
    # When it hosts the app
    await host.begin(slots=1)
    # Then it is a worker with as many slots
    (info,) = await (await mf.opened()).workers()
    assert (info.id, info.slots) == (mf.worker_id, 1)
    # And an end that has an hour is over when another one has less
    ending = asyncio.create_task(host.end())
    await until(lambda: not mf.is_open)
    await host.end(0)
    await asyncio.wait_for(ending, 10)
