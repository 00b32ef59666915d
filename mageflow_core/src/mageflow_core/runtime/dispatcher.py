"""The dispatcher: hands jobs from the outbox to the backends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from mageflow_core.backends.protocol import TaskManager
from mageflow_core.errors import StoreUnavailable
from mageflow_core.failpoints import hit
from mageflow_core.machine import Job
from mageflow_core.stores.protocol import Store

log = logging.getLogger("mageflow.dispatcher")


class Dispatcher:
    """What becomes due in one turn of the event loop goes out together.

    A job that a backend does not take stays in the outbox, unconfirmed, and is sent again by
    the store's own time. One of a backend that is not open here is passed on to other processes.
    """

    def __init__(self, store: Store, backends: Mapping[str, TaskManager], default: str) -> None:
        self._store = store
        self._backends = dict(backends)
        self._default = default
        self._jobs: list[Job] = []
        self._wake = asyncio.Event()
        self._stopping = False

    @property
    def quiet(self) -> bool:
        return not self._jobs

    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self._jobs.extend(jobs)
        self._wake.set()

    def withdraw(self, backend: str) -> None:
        """Send nothing to this backend any more: its jobs are for other processes from now on."""
        self._backends.pop(backend, None)

    def stop(self) -> None:
        """Let `run` return when it has sent what there is."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Until it is stopped or cancelled."""
        while self._jobs or not self._stopping:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
            except Exception:  # without it this process would never send anything again
                log.exception("jobs could not be sent; they are sent again in time")

    async def flush(self) -> None:
        jobs, self._jobs = self._jobs, []
        by_backend: dict[str, list[Job]] = {}
        strange: list[Job] = []
        for job in jobs:
            name = job.backend or self._default
            if name in self._backends:
                by_backend.setdefault(name, []).append(job)
            else:  # with the name: what is the default here may be another one elsewhere
                strange.append(job._replace(backend=name))
        for name, group in by_backend.items():
            await self._send(name, self._backends[name], group)
        if strange:
            await self._pass_on(strange)

    async def _send(self, name: str, backend: TaskManager, jobs: list[Job]) -> None:
        hit("dispatcher.sending")
        try:
            errors = await backend.submit_many(jobs)
            sent = [job for job, error in zip(jobs, errors, strict=True) if error is None]
        except Exception as raised:  # noqa: BLE001 - one adapter's fault must not stop the others
            errors, sent = [raised] * len(jobs), []
        hit("dispatcher.submitted")
        failed = [error for error in errors if error is not None]
        if failed:
            log.warning("backend %s did not take %d jobs: %r", name, len(failed), failed[0])
        if sent:
            try:
                await self._store.sent(sent)
            except StoreUnavailable:
                log.warning("%d sent jobs could not be confirmed and are sent again", len(sent))
            hit("dispatcher.sent")

    async def _pass_on(self, jobs: list[Job]) -> None:
        hit("dispatcher.passing")
        try:
            await self._store.pass_on(jobs)
        except StoreUnavailable:
            log.warning(
                "%d jobs of backends that are not open here could not be passed on; they are "
                "sent again in time",
                len(jobs),
            )
        hit("dispatcher.passed")
