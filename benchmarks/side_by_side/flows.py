"""MageFlow's side: an app with tasks that do nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow import Mageflow, Run, Signature, Task, chain, swarm

SLOTS = 100
WITHIN = 600  # seconds that anything may take


class Flows:
    """settings: of the app; which backend it is, for one."""

    def __init__(self, **settings: Any) -> None:
        self.app = Mageflow(slots=SLOTS, warn_unclosed=False, **settings)

        @self.app.task
        async def step(x: int) -> int:
            return x

        @self.app.task
        async def item() -> None: ...

        self.step: Task[Any, Any, int] = step
        self.item: Task[Any, Any, None] = item

    def work(self) -> None:
        asyncio.run(self.app.serve())

    async def single(self, count: int) -> None:
        await self._all_of(self.step.sign(x=1), count)

    async def chains(self, count: int) -> None:
        await self._all_of(chain(self.step.sign(x=1), self.step, self.step), count)

    async def fan_out(self, width: int, *, then: bool = True) -> None:
        callbacks = [self.item] if then else []
        wide = swarm([self.item] * width, max_concurrency=SLOTS, success_callbacks=callbacks)
        run = await wide.start()
        await run.settled(timeout=WITHIN)

    async def _all_of(self, signature: Signature[Any], count: int) -> None:
        runs: list[Run[Any]] = await asyncio.gather(*(signature.start() for _ in range(count)))
        await asyncio.gather(*(run.result(timeout=WITHIN) for run in runs))
