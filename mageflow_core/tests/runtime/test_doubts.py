"""Signals that were missed: running bodies are asked for, and stopped if their claims are gone."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest
from sharing import site_of

from mageflow_core import Context, Mageflow, Run, Status, swarm
from mageflow_core.errors import RunNotFound, StoreUnavailable
from mageflow_core.runtime import doubts
from mageflow_core.runtime.body import Body
from mageflow_core.runtime.doubts import AT_ONCE, Doubts

Until = Callable[..., Awaitable[None]]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doubts, "PAUSE", 0)


class Store:
    """Holds the claims in `held`; counts who asks at the same time."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.raises: list[Exception] = []
        self.asked: list[str] = []
        self.asking = self.most = 0

    async def holds(self, key: str, claim: str) -> bool:
        self.asked.append(key)
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0)
        self.asking -= 1
        if self.raises:
            raise self.raises.pop()
        return claim in self.held


class Asking:
    """Doubts that are running, over bodies with claims of the same names."""

    def __init__(self, *names: str) -> None:
        self.store = Store()
        self.bodies = {name: self.body(name) for name in names}
        store: Any = self.store
        self.doubts = Doubts(store, self.bodies)

    def body(self, name: str) -> Body:
        body = Body(name, "")
        body.claim = name
        return body

    async def __aenter__(self) -> Self:
        self.task = asyncio.create_task(self.doubts.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    def stopped(self) -> list[str]:
        return [name for name, body in self.bodies.items() if body.stopped is not None]


async def test_only_bodies_whose_claims_do_not_hold_are_stopped(until: Until) -> None:
    async with Asking("a", "b", "c") as asking:
        asking.store.held = {"a", "c"}
        asking.doubts.doubt_all()
        await until(lambda: len(asking.store.asked) == 3)
        await until(asking.stopped)
        assert asking.stopped() == ["b"]
        assert asking.bodies["b"].stopped == "interrupt"


async def test_nobody_is_asked_for_without_a_doubt() -> None:
    async with Asking("a") as asking:
        for _ in range(10):
            await asyncio.sleep(0)
        assert asking.store.asked == []


async def test_each_doubt_asks_again(until: Until) -> None:
    async with Asking("a") as asking:
        asking.store.held = {"a"}
        for count in (1, 2):
            asking.doubts.doubt_all()
            await until(lambda count=count: len(asking.store.asked) == count)
        asking.store.held = set()
        asking.doubts.doubt_all()
        await until(asking.stopped)


async def test_many_bodies_are_asked_for_a_few_at_a_time(until: Until) -> None:
    names = [str(number) for number in range(100)]
    async with Asking(*names) as asking:
        asking.doubts.doubt_all()
        await until(lambda: len(asking.stopped()) == 100)
        assert asking.store.most == AT_ONCE


async def test_a_body_whose_claim_is_on_its_way_is_asked_for_when_it_is_granted(
    until: Until,
) -> None:
    # Given a body that has no claim yet
    async with Asking("a") as asking:
        body = asking.bodies["a"]
        body.claim = None
        # When there are doubts
        asking.doubts.doubt_all()
        for _ in range(10):
            await asyncio.sleep(0)
        assert asking.store.asked == []
        # Then it is asked for once it has one
        body.claim = "a"
        asking.doubts.claimed(body)
        await until(asking.stopped)


async def test_a_body_that_is_claimed_without_doubts_is_not_asked_for() -> None:
    async with Asking("a") as asking:
        asking.doubts.claimed(asking.bodies["a"])
        for _ in range(10):
            await asyncio.sleep(0)
        assert asking.store.asked == []


async def test_it_goes_on_asking_while_the_store_is_away(until: Until) -> None:
    async with Asking("a") as asking:
        asking.store.raises = [StoreUnavailable() for _ in range(3)]
        asking.doubts.doubt_all()
        await until(asking.stopped)
        assert asking.store.asked == ["a"] * 4


async def test_a_body_that_has_ended_meanwhile_is_left_alone(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with Asking("a", "b") as asking:
        asking.bodies["b"].over = True
        asking.doubts.doubt_all()
        await until(lambda: asking.store.asked)
        asking.bodies["a"].over = True
        await until(lambda: not asking.store.asking)
        await asyncio.sleep(0)
        assert asking.store.asked == ["a"]
        assert asking.stopped() == []
    assert caplog.text == ""


async def test_a_run_that_is_gone_holds_no_claim(until: Until) -> None:
    async with Asking("a") as asking:
        asking.store.held = {"a"}
        asking.store.raises = [RunNotFound()]
        asking.doubts.doubt_all()
        await until(asking.stopped)


async def test_a_bug_of_the_store_keeps_nobody_else_from_being_asked_for(
    until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with Asking("a", "b") as asking:
        asking.store.raises = [RuntimeError("a bug")]
        asking.doubts.doubt_all()
        await until(asking.stopped)
        assert asking.stopped() == ["b"]
        asking.doubts.doubt_all()
        await until(lambda: len(asking.stopped()) == 2)
    assert "a: whether its claim still holds could not be asked" in caplog.text


# --- behind apps ----------------------------------------------------------------------------------


class Deaf:
    """Two processes whose signals do not arrive, and a body in the first one."""

    def __init__(self, working: Mageflow, other: Mageflow) -> None:
        self.working, self.other = working, other
        self.began, self.ended = asyncio.Event(), asyncio.Event()
        site = site_of(working)
        self.site = site
        world = site.store.world
        world.deaf = True
        (self.twin,) = [handle for handle in world.handles if handle.worker]

        @working.task
        async def hold() -> None:
            self.began.set()
            try:
                await asyncio.Event().wait()
            finally:
                self.ended.set()

        self.hold = hold

    async def begin(self) -> Run[Any]:
        """The run, as the other process has it."""
        run = await self.working.start(self.hold)
        await self.began.wait()
        loaded: Run[Any] = await self.other.load(run.key)
        return loaded


@pytest.fixture
async def deaf(make_process: Any) -> Deaf:
    return Deaf(await make_process(), await make_process(worker=False))


@pytest.mark.parametrize(
    ("verb", "status"), [("cancel", Status.CANCELED), ("interrupt", Status.INTERRUPTED)]
)
async def test_a_body_whose_signal_was_missed_is_stopped_when_the_silence_is_known(
    deaf: Deaf, has_status: Until, verb: str, status: Status
) -> None:
    # Given a body that does not hear that it is to stop
    run = await deaf.begin()
    await getattr(run, verb)()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not deaf.ended.is_set()
    # When the store tells the upkeep that signals may have been missed
    deaf.twin.tell("on_silence")
    # Then it stops, and the run is as it was steered
    await asyncio.wait_for(deaf.ended.wait(), 10)
    await has_status(run, status)


async def test_a_body_whose_claim_holds_goes_on_after_a_silence(deaf: Deaf, until: Until) -> None:
    run = await deaf.begin()
    await run.suspend()  # which does not stop what runs
    deaf.site.on_silence()
    await until(lambda: deaf.site.store.world.calls["holds", "MainThread"])
    for _ in range(20):
        await asyncio.sleep(0)
    assert not deaf.ended.is_set()
    await run.resume()
    await run.cancel()
    deaf.site.on_silence()
    await asyncio.wait_for(deaf.ended.wait(), 10)


async def test_sync_bodies_hear_of_it_too(make_process: Any, until: Until) -> None:
    # Given a sync body that looks whether it is to stop
    mf: Mageflow = await make_process()
    began = asyncio.Event()
    loop = asyncio.get_running_loop()

    @mf.task
    def work(ctx: Context) -> str:
        loop.call_soon_threadsafe(began.set)
        while not ctx.cancelled():
            threading.Event().wait(0.001)
        return "stopped"

    site = site_of(mf)
    site.store.world.deaf = True
    run = await mf.start(swarm(work))
    await began.wait()
    # When it is canceled, and the signal does not arrive
    await run.cancel()
    site.on_silence()
    # Then it stops all the same
    view = await run.wait(timeout=10)
    assert view.status is Status.CANCELED
    await until(lambda: not site.runner.bodies)


async def test_a_zombie_changes_nothing(make_process: Any, until: Until) -> None:
    # Given a process whose lease was lost while it ran a body
    first: Mageflow = await make_process()
    second: Mageflow = await make_process()
    site = site_of(first)
    world = site.store.world
    began, go_on = asyncio.Event(), asyncio.Event()

    async def here() -> str:
        began.set()
        await go_on.wait()
        return "the zombie's"

    async def there() -> str:
        return "the other's"

    first.task(name="work")(here)
    second.task(name="work")(there)
    run = await first.start("work")
    await began.wait()
    site.dispatcher.withdraw("asyncio")
    with world.lock:
        world._current = site_of(second).store
        await world._expire(site.worker.id, crashed=True)
    assert await run.result(timeout=10) == "the other's"
    # When its body goes on, and returns
    go_on.set()
    await until(lambda: not site.runner.bodies)
    # Then its outcome was refused
    assert await run.result() == "the other's"
    assert (await run.view()).worker == site_of(second).worker.id
