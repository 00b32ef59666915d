"""The dispatcher: what becomes due goes out, together, and again if it was not taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from mageflow_core import Mageflow, swarm
from mageflow_core.errors import BackendUnavailable, StoreUnavailable
from mageflow_core.machine import Job
from mageflow_core.runtime.dispatcher import Dispatcher


def job(key: str, backend: str = "") -> Job:
    return Job(key, 1, 1, "task", backend, None, None)


class Backend:
    def __init__(self, answer: Any = None) -> None:
        self.groups: list[list[str]] = []
        self.answer = answer

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        self.groups.append([each.key for each in jobs])
        if isinstance(self.answer, Exception):
            raise self.answer
        return [None] * len(jobs) if self.answer is None else self.answer(jobs)


class Store:
    def __init__(self) -> None:
        self.confirmed: list[list[str]] = []
        self.passed_on: list[list[str]] = []
        self.away = False

    async def sent(self, jobs: Sequence[Job]) -> None:
        self.confirmed.append([each.key for each in jobs])

    async def pass_on(self, jobs: Sequence[Job]) -> None:
        if self.away:
            raise StoreUnavailable
        self.passed_on.append([f"{each.key} {each.backend}" for each in jobs])


def dispatcher(store: Store, **backends: Backend) -> Dispatcher:
    made: Any = (store, backends, "main")
    return Dispatcher(*made)


async def test_jobs_of_one_turn_go_out_together() -> None:
    main, store = Backend(), Store()
    dispatch = dispatcher(store, main=main)
    running = asyncio.create_task(dispatch.run())
    dispatch.on_jobs([job("a"), job("b")])
    dispatch.on_jobs([job("c")])
    while not store.confirmed:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    assert main.groups == [["a", "b", "c"]]
    assert store.confirmed == [["a", "b", "c"]]
    running.cancel()


async def test_jobs_go_to_their_backends_in_groups() -> None:
    main, other, store = Backend(), Backend(), Store()
    dispatch = dispatcher(store, main=main, other=other)
    dispatch.on_jobs([job("a"), job("b", "other"), job("c", "main"), job("d", "other")])
    await dispatch.flush()
    assert main.groups == [["a", "c"]]
    assert other.groups == [["b", "d"]]


async def test_jobs_of_backends_that_are_not_open_here_are_passed_on_together() -> None:
    main, store = Backend(), Store()
    dispatch = dispatcher(store, main=main)
    dispatch.on_jobs([job("a", "elsewhere"), job("b"), job("c", "far")])
    await dispatch.flush()
    assert store.confirmed == [["b"]]
    assert store.passed_on == [["a elsewhere", "c far"]]
    assert dispatch.quiet


async def test_jobs_that_cannot_be_passed_on_are_left_to_be_sent_in_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a store that is away
    main, store = Backend(), Store()
    store.away = True
    dispatch = dispatcher(store, main=main)
    # When there are jobs for it to pass on, and others
    dispatch.on_jobs([job("a", "elsewhere"), job("b")])
    with caplog.at_level(logging.WARNING, "mageflow.dispatcher"):
        await dispatch.flush()
    # Then the log says so, and the others are sent
    assert "1 jobs of backends that are not open here could not be passed on" in caplog.text
    assert store.confirmed == [["b"]]


async def test_jobs_of_a_backend_that_is_withdrawn_are_passed_on_with_its_name() -> None:
    main, store = Backend(), Store()
    dispatch = dispatcher(store, main=main)
    dispatch.withdraw("main")
    dispatch.withdraw("never there")
    dispatch.on_jobs([job("a"), job("b", "main")])
    await dispatch.flush()
    assert main.groups == []
    assert store.passed_on == [["a main", "b main"]]


async def test_a_dispatcher_that_is_stopped_sends_what_there_is_and_ends() -> None:
    main, store = Backend(), Store()
    dispatch = dispatcher(store, main=main)
    running = asyncio.create_task(dispatch.run())
    await asyncio.sleep(0)
    dispatch.on_jobs([job("a")])
    dispatch.stop()
    await asyncio.wait_for(running, 10)
    assert store.confirmed == [["a"]]


async def test_an_error_that_nobody_expected_does_not_end_the_dispatcher(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a store with a bug
    main, store = Backend(), Store()
    dispatch = dispatcher(store, main=main)
    broken: Any = store
    whole = store.sent

    async def sent(jobs: Sequence[Job]) -> None:
        broken.sent = whole
        raise RuntimeError("a bug")

    broken.sent = sent
    running = asyncio.create_task(dispatch.run())
    # When jobs come, and more jobs
    with caplog.at_level(logging.ERROR, "mageflow.dispatcher"):
        dispatch.on_jobs([job("a")])
        while not main.groups:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0)
        dispatch.on_jobs([job("b")])
        dispatch.stop()
        await asyncio.wait_for(running, 10)
    # Then the log tells of it, and the later ones are sent
    assert "a bug" in caplog.text
    assert store.confirmed == [["b"]]


async def test_only_what_a_backend_has_taken_is_confirmed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = BackendUnavailable("the queue is full")
    main, store = Backend(lambda jobs: [None, full, None]), Store()
    dispatch = dispatcher(store, main=main)
    dispatch.on_jobs([job("a"), job("b"), job("c")])
    with caplog.at_level(logging.WARNING, "mageflow.dispatcher"):
        await dispatch.flush()
    assert store.confirmed == [["a", "c"]]
    assert "main did not take 1 jobs" in caplog.text
    assert "the queue is full" in caplog.text


@pytest.mark.parametrize(
    "answer", [ConnectionError("gone"), lambda jobs: [None]], ids=["raises", "answers too little"]
)
async def test_a_backend_that_breaks_its_promise_stops_nobody_else(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bad, good, store = Backend(answer), Backend(), Store()
    dispatch = dispatcher(store, main=bad, other=good)
    dispatch.on_jobs([job("a"), job("b"), job("c", "other")])
    with caplog.at_level(logging.WARNING, "mageflow.dispatcher"):
        await dispatch.flush()
    assert store.confirmed == [["c"]]
    assert "main did not take 2 jobs" in caplog.text


async def test_jobs_that_were_not_taken_are_sent_again_in_time(make_app: Any, clock: Any) -> None:
    # Given a backend that takes nothing at first
    mf: Mageflow = await make_app(clock=clock)
    site: Any = mf._site
    submit = site.backends["asyncio"].submit_many
    refused: list[int] = []

    async def refuse(jobs: Sequence[Job]) -> Sequence[Exception | None]:
        refused.append(len(jobs))
        if len(refused) == 1:
            return [BackendUnavailable()] * len(jobs)
        raise ConnectionError("still away")

    site.backends["asyncio"].submit_many = refuse

    @mf.task
    async def work() -> int:
        return 1

    run = await mf.start(swarm([work] * 3))
    while len(refused) < 1:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    # When it is tried again, and again
    clock.advance(11)
    while len(refused) < 2:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0)
    site.backends["asyncio"].submit_many = submit
    clock.advance(11)
    # Then the jobs go out once it takes them
    assert await run.result(timeout=10) == [1, 1, 1]
    assert refused == [3, 3]
