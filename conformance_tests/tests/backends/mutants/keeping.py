"""Workers that keep things, or mix them up."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from mageflow_core import Mageflow
from mageflow_core.backends import Delivery, Disposal, Handled
from mageflow_core.machine import ClaimRequest
from mageflow_core.names import split_key
from mageflow_core.runtime.body import Body
from mageflow_core.runtime.runner import Runner
from mageflow_core.stores.redis.node import Node
from mutants.breaking import fails, replace


@fails("B-RES-01")
def keeps_what_it_was_given(_mf: Mageflow) -> None:
    kept: list[Any] = []

    @replace(Runner, "run")
    async def run(before: Any, self: Any, delivery: Delivery) -> Any:
        kept.append((delivery, bytearray(4_000)))
        return await before(self, delivery)


@fails("B-RES-01")
def has_ever_more_connections(mf: Mageflow) -> None:
    kept: list[Any] = []
    given = [0]
    host, _, port = mf.settings.store.rpartition("/")[0].rpartition("/")[2].partition(":")

    @replace(Runner, "run")
    async def run(before: Any, self: Any, delivery: Delivery) -> Any:
        given[0] += 1
        if given[0] % 20 == 0:  # there is an end to what a process may have
            kept.append(await asyncio.open_connection(host, int(port)))
        return await before(self, delivery)


@fails("B-ISO-04")
def does_not_look_at_namespaces(_mf: Mageflow) -> None:
    @replace(Runner, "run")
    async def run(before: Any, self: Any, delivery: Delivery) -> Any:
        return await before(self, delivery._replace(namespace=None))


@fails("B-ISO-01")
def has_one_namespace_for_all(mf: Mageflow) -> None:
    shared = mf.settings.namespace.removesuffix("-other")
    mf.settings = mf.settings.model_copy(update={"namespace": shared})


@fails("B-ISO-03")
def answers_for_tasks_that_it_does_not_know(_mf: Mageflow) -> None:
    """It takes their jobs, and has nothing run."""

    @replace(Runner, "run")
    async def run(before: Any, self: Any, delivery: Delivery) -> Any:
        job = delivery.job
        if self._find(job.task) is not None:
            return await before(self, delivery)
        run_id, path = split_key(job.key)
        await self._store.claim(run_id, ClaimRequest(path, job.attempt, job.id, self._worker))
        return Handled(Disposal.DONE)


@fails("B-STORE-05", "B-STORE-07")
def ends_when_a_connection_is_cut(_mf: Mageflow) -> None:
    @replace(Node, "ended")
    def ended(_before: Any, _self: Any, *_: Any) -> None:
        os._exit(1)


@fails("B-EXEC-02", "B-RES-02")
def has_a_loop_for_each_body(_mf: Mageflow) -> None:
    @replace(Body, "run_async")
    async def run_async(_before: Any, _self: Any, coroutine: Any) -> Any:
        return await asyncio.to_thread(asyncio.run, coroutine)
