"""Telling that jobs were sent, for those that nobody claims at once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from mageflow_core.errors import StoreError
from mageflow_core.machine import Job
from mageflow_core.names import split_key
from mageflow_core.stores.redis.server import Server

log = logging.getLogger("mageflow.store")

WITHIN = 1.0  # seconds
AT_THE_END = 1.0


class Confirmations:
    """Waits a second: a claim says as much, and most jobs are claimed by then."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._within = WITHIN
        self._sent: dict[str, Job] = {}
        self._flushing: asyncio.Task[None] | None = None

    def add(self, jobs: Sequence[Job]) -> None:
        self._sent.update({job.key: job for job in jobs})
        if self._sent and self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def claimed(self, key: str) -> None:
        self._sent.pop(key, None)

    async def close(self) -> None:
        """Tells what it was told. Where the store does not take that in time, it is sent again by
        whoever finds it."""
        if self._flushing is not None:
            self._flushing.cancel()
            await asyncio.gather(self._flushing, return_exceptions=True)
        with suppress(StoreError, TimeoutError):
            async with asyncio.timeout(AT_THE_END):
                await self._confirm_all()

    async def _flush(self) -> None:
        while self._sent:
            await asyncio.sleep(self._within)
            count = len(self._sent)
            try:
                await self._confirm_all()
            except StoreError as error:
                log.warning("%d sent jobs are not confirmed and are sent again: %s", count, error)
        self._flushing = None

    async def _confirm_all(self) -> None:
        sent, self._sent = self._sent, {}
        try:
            await asyncio.gather(*map(self._confirm, sent.values()))
        except asyncio.CancelledError:
            self._sent = {**sent, **self._sent}
            raise

    async def _confirm(self, job: Job) -> None:
        run_id, path = split_key(job.key)
        await self._server.step("confirm", run_id, path, job.send)
