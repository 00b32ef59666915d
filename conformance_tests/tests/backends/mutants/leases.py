"""Workers that do not see to what is lost, or take for lost what is not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace as changed
from functools import partial
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.client import site as site_module
from mageflow_core.client.serving import Serving
from mageflow_core.errors import StoreUnavailable
from mageflow_core.failure import Cause
from mageflow_core.machine import Failed, Released
from mageflow_core.runtime.failing import failed
from mageflow_core.runtime.renewal import Renewal
from mageflow_core.runtime.runner import Runner
from mageflow_core.runtime.upkeep import LoopUpkeep
from mageflow_core.stores.redis.call import Call
from mageflow_core.stores.redis.store import RedisStore
from mageflow_core.stores.redis.upkeep import Upkeep
from mageflow_core.stores.redis.wire import Wire
from mutants.breaking import fails, in_script, instead, replace


@fails("B-FAIL-08")
def forgets_fences(_mf: Mageflow) -> None:
    """Takes an outcome from whoever tells it, also of what has ended."""
    in_script("report", "if node.claim ~= claim_id or node.fence ~= fence then", "if false then")


@fails("B-FAIL-12")
def stops_renewing(_mf: Mageflow) -> None:
    """Once a certain body has run in it: the other worker goes on."""
    blocked: list[bool] = []

    @replace(Runner, "_call")
    async def call(before: Any, self: Any, task: Any, *given: Any) -> Any:
        if task.name == "block":
            blocked.append(True)
        return await before(self, task, *given)

    @replace(Renewal, "_renew")
    async def renew(before: Any, self: Any) -> None:
        if not blocked:
            await before(self)


@fails("B-FAIL-12")
def renews_on_the_loop_of_the_bodies(_mf: Mageflow) -> None:
    instead(site_module, "ThreadUpkeep", LoopUpkeep)


@fails("B-FAIL-13")
def has_short_leases(mf: Mageflow) -> None:
    mf.settings = mf.settings.model_copy(update={"lease": 1.0})


@fails("B-FAIL-01", "B-FAIL-06", "B-SEAM-03", "B-SEAM-04", "B-SEAM-09")
def sends_nothing_again(_mf: Mageflow) -> None:
    in_script("resend", "function resend()\n", "function resend() do return {} end\n")


@fails("B-FAIL-02", "B-FAIL-03", "B-FAIL-04")
def loses_what_was_claimed_by_the_dead(_mf: Mageflow) -> None:
    in_script("lose", "queueing.queue_again(node,", "queueing.drop_claim(node,")


@fails("B-FAIL-07")
def runs_again_what_kills_its_workers(mf: Mageflow) -> None:
    mf.settings = mf.settings.model_copy(update={"max_crashes": 1_000})


@fails("B-FAIL-10")
def takes_a_stop_for_a_failure(_mf: Mageflow) -> None:
    @replace(Runner, "_attempt")
    async def attempt(before: Any, self: Any, task: Any, work: Any, *given: Any) -> Any:
        outcome, error = await before(self, task, work, *given)
        if isinstance(outcome, Released):
            stopped = RuntimeError("it was stopped")
            made: Failed = failed(stopped, work, Cause.BODY)
            return made, stopped
        return outcome, error


@fails("B-FAIL-05")
def acknowledges_before_it_has_reported(_mf: Mageflow) -> None:
    @replace(RedisStore, "report")
    async def report(before: Any, self: Any, *given: Any) -> None:
        task = asyncio.create_task(before(self, *given))
        _reporting.add(task)
        task.add_done_callback(_reporting.discard)


_reporting: set[asyncio.Task[Any]] = set()


@fails("B-SEAM-01")
def forgets_that_it_has_reported(_mf: Mageflow) -> None:
    """A body that has ended may be claimed again."""
    in_script("claim", "if node.st ~= 'queued' then", "if node.st ~= 'queued' and node.inner then")
    in_script("claim", "if node.attempt ~= attempt then", "if false then")


@fails("B-FAIL-11")
def ends_at_once_when_it_is_told_to_leave(_mf: Mageflow) -> None:
    @replace(Serving, "on_signal")
    def on_signal(_before: Any, _self: Any) -> None:
        os._exit(0)


def _asks(step: str, again: Callable[[tuple[Any, ...]], Awaitable[tuple[Any, ...]]]) -> None:
    """Where the reply to a step is lost, ask again with the arguments that this gives."""

    @replace(Wire, "call")
    async def call(before: Any, self: Any, script: Any, key: str, *given: Any) -> Any:
        if script.name != step:
            return await before(self, script, key, *given)
        once = Call("EVALSHA", script.sha, 1, key, *given, key=key, script=script, once=True)
        try:
            return await self._ask(once)
        except StoreUnavailable:
            return await before(self, script, key, *await again(given))


@fails("B-STORE-02")
def asks_for_another_claim_each_time(_mf: Mageflow) -> None:
    """And does not see that it holds one that it does not know of."""

    async def another(given: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*given[:3], f"{given[3]}-again", *given[4:])

    _asks("claim", another)

    @replace(Upkeep, "_let_go")
    async def let_go(_before: Any, _self: Any, *_: Any) -> None:
        """Nothing is looked for."""


@fails("B-STORE-03")
def runs_again_what_it_is_not_told_to_be_over(_mf: Mageflow) -> None:
    ran: dict[str, Callable[[], Awaitable[Any]]] = {}

    @replace(Runner, "_call")
    async def call(before: Any, self: Any, task: Any, work: Any, *given: Any) -> Any:
        ran[work.claim] = partial(before, self, task, work, *given)
        return await before(self, task, work, *given)

    async def after_another_body(given: tuple[Any, ...]) -> tuple[Any, ...]:
        with suppress(Exception):
            await ran[given[2]]()
        return given

    _asks("report", after_another_body)


@fails("B-SUBMIT-04")
def announces_nothing(_mf: Mageflow) -> None:
    @replace(RedisStore, "renew")
    async def renew(before: Any, self: Any, worker: Any) -> bool:
        held: bool = await before(self, changed(worker, tasks=frozenset()))
        return held


@fails("B-SUBMIT-05")
def says_nothing_of_tasks_that_it_does_not_know(_mf: Mageflow) -> None:
    @replace(RedisStore, "unknown")
    async def unknown(_before: Any, _self: Any, _key: str) -> None:
        """Nobody hears of it."""


@fails("B-SUBMIT-07")
def forgets_earlier_names(mf: Mageflow) -> None:
    named = mf.registry._named
    for task in list(mf.registry):
        for alias in task.aliases:
            del named[alias]
