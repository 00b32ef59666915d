"""The dispatcher: hands jobs from the outbox to the backends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from mageflow_core.backends.protocol import TaskManager
from mageflow_core.errors import StoreUnavailable
from mageflow_core.machine import Job
from mageflow_core.stores.protocol import Store

log = logging.getLogger("mageflow.dispatcher")


class Dispatcher:
    """What becomes due in one turn of the event loop goes out together.

    A job that a backend does not take stays in the outbox, unconfirmed, and is sent again by
    the store's own time; so does one of a backend that this process has not opened.
    """

    def __init__(self, store: Store, backends: Mapping[str, TaskManager], default: str) -> None:
        self._store = store
        self._backends = backends
        self._default = default
        self._jobs: list[Job] = []
        self._wake = asyncio.Event()

    @property
    def quiet(self) -> bool:
        return not self._jobs

    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self._jobs.extend(jobs)
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.flush()

    async def flush(self) -> None:
        jobs, self._jobs = self._jobs, []
        by_backend: dict[str, list[Job]] = {}
        for job in jobs:
            by_backend.setdefault(job.backend or self._default, []).append(job)
        for name, group in by_backend.items():
            backend = self._backends.get(name)
            if backend is not None:
                await self._send(name, backend, group)

    async def _send(self, name: str, backend: TaskManager, jobs: list[Job]) -> None:
        try:
            errors = await backend.submit_many(jobs)
            sent = [job for job, error in zip(jobs, errors, strict=True) if error is None]
        except Exception as raised:  # noqa: BLE001 - one adapter's fault must not stop the others
            errors, sent = [raised] * len(jobs), []
        failed = [error for error in errors if error is not None]
        if failed:
            log.warning("backend %s did not take %d jobs: %r", name, len(failed), failed[0])
        if sent:
            try:
                await self._store.sent(sent)
            except StoreUnavailable:
                log.warning("%d sent jobs could not be confirmed and are sent again", len(sent))
