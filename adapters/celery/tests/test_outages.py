"""Brokers that are away for a while, or for good."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from celery_bench import Bench

from mageflow_celery import backend as module
from mageflow_conformance.servers import RabbitServer, RedisServer
from mageflow_conformance.waiting import eventually
from mageflow_core import TaskSignature
from mageflow_core.backends import Job
from mageflow_core.errors import BackendUnavailable

pytestmark = pytest.mark.timeout(150)
SERVERS: dict[str, Any] = {
    "redis": lambda: RedisServer(password="hush"),
    "rabbitmq": RabbitServer,
}


@pytest.fixture(scope="module", params=SERVERS)
def _engine(request: pytest.FixtureRequest) -> Iterator[Any]:
    with SERVERS[request.param]() as server:
        yield server


@pytest.fixture
def engine(_engine: Any) -> Any:
    """A server that nothing else uses; every test finds it running."""
    _engine.start()
    return _engine


@pytest.fixture
async def away(engine: Any, redis: RedisServer, namespace: str) -> AsyncIterator[Bench]:
    async with AsyncExitStack() as stack:
        said = {"url": engine.url, "pool": "threads"}
        yield Bench(stack, namespace, redis.url, "celery", said)


def job(number: int) -> Job:
    return Job(f"{number:032x}", 1, 1, "work", "celery", None, None)


@pytest.mark.parametrize("_engine", ["redis"], indirect=True)  # RabbitMQ's takes its time
async def test_a_worker_goes_on_after_a_restart(away: Bench, engine: Any) -> None:
    # Given a worker that has worked
    app = away.app()

    @app.task
    async def work(n: int) -> int:
        return n

    client = await away.client()
    await away.worker(app)
    assert await (await client.start(TaskSignature(task="work"), {"n": 1})).result(timeout=30) == 1
    # When its engine is restarted
    await asyncio.to_thread(engine.restart)
    # Then both it and the client go on by themselves; a job of meanwhile may have to be sent again
    run = await client.start(TaskSignature(task="work"), {"n": 2})
    assert await run.result(timeout=90) == 2


@pytest.mark.parametrize("_engine", ["redis"], indirect=True)
@pytest.mark.parametrize("pool", ["threads", "prefork"])
async def test_a_worker_that_is_at_work_goes_on_after_a_restart(
    away: Bench, engine: Any, tmp_path: Path, pool: str
) -> None:
    # Given a worker whose jobs are not acknowledged yet
    away.said = {**away.said, "pool": pool, "processes": 2}
    app = away.app()

    @app.task
    async def hold(n: int) -> int:
        (tmp_path / f"begun-{n}").touch()
        while not (tmp_path / "go").exists():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
        return n

    client = await away.client()
    worker = await away.worker(app)
    held = [await client.start(TaskSignature(task="hold"), {"n": n}) for n in range(2)]
    for n in range(2):
        await eventually((tmp_path / f"begun-{n}").exists, within=20)
    # When its engine is restarted, again and again
    for _ in range(2):
        await asyncio.to_thread(engine.restart)
        (tmp_path / "go").touch()
        assert [await run.result(timeout=20) for run in held] == [0, 1]
        # Then the same worker goes on
        held = [await client.start(TaskSignature(task="hold"), {"n": n}) for n in range(2)]
        assert [await run.result(timeout=60) for run in held] == [0, 1]
    await worker.stop()


async def test_jobs_that_cannot_be_sent_are_told_of_one_by_one(away: Bench, engine: Any) -> None:
    # Given a client whose engine is gone
    client = await away.client()
    backend: Any = client._site.backends["celery"]  # type: ignore[union-attr]
    assert await backend.submit_many([job(1)]) == [None]
    assert (await backend.health()).waiting == 1
    await asyncio.to_thread(engine.kill)
    # When jobs are sent, the event loop goes on
    sending = asyncio.create_task(backend.submit_many([job(2), job(3)]))
    errors = await asyncio.wait_for(sending, 60)
    # Then each has its error, which says where and shows no password
    assert len(errors) == 2
    for error in errors:
        assert isinstance(error, BackendUnavailable)
        assert f"127.0.0.1:{engine.port}" in str(error)
        assert "hush" not in str(error)
    # And so it says of itself, soon
    health = await asyncio.wait_for(backend.health(), 20)
    assert not health.reachable
    assert "cannot be used" in health.detail


async def test_a_frozen_broker_blocks_nobody(
    away: Bench, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a client whose broker does not answer any more
    client = await away.client()
    backend: Any = client._site.backends["celery"]  # type: ignore[union-attr]
    assert await backend.submit_many([job(1)]) == [None]
    monkeypatch.setattr("mageflow_celery.attached.SEND", 1.0)
    engine.pause()
    try:
        # When a job is sent
        (error,) = await asyncio.wait_for(backend.submit_many([job(2)]), 20)
        # Then it is told of in time
        assert isinstance(error, BackendUnavailable)
        assert not (await backend.health()).reachable
    finally:
        engine.resume()
    # And the next one is sent when it answers again
    await eventually(lambda: _sent(backend), within=30)


async def _sent(backend: Any) -> bool:
    return bool(await backend.submit_many([job(3)]) == [None])


async def test_an_app_does_not_open_without_its_engine(
    away: Bench, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.to_thread(engine.kill)
    app = away.app()
    where = f"127.0.0.1:{engine.port}"
    with monkeypatch.context() as patch:
        patch.setattr(module, "START", 2.0)
        for opening in (app.opened, lambda: app.serve(stop=asyncio.Event())):
            with pytest.raises(BackendUnavailable, match=f"{where}.* cannot be used") as told:
                await asyncio.wait_for(opening(), 40)
            assert "hush" not in str(told.value)
    # And opens when it is there
    await asyncio.to_thread(engine.start)
    await eventually(app.opened, within=20)
    await app.close()
