"""A backend for workers of one machine: jobs are rows of a SQLite file that all of them share."""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from mageflow_core.backends import (
    Capabilities,
    Delivery,
    Disposal,
    Health,
    Job,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
    pack,
)
from mageflow_core.errors import BackendUnavailable, CorruptJob
from mageflow_core.settings import Settings

log = logging.getLogger("mageflow.spool")

TABLE = "CREATE TABLE IF NOT EXISTS jobs (id PRIMARY KEY, namespace, meta, visible_at REAL)"
PUT = "INSERT OR IGNORE INTO jobs VALUES (?, ?, ?, 0)"
TAKE = """UPDATE jobs SET visible_at = ? WHERE id IN (SELECT id FROM jobs
    WHERE namespace = ? AND visible_at <= ? ORDER BY rowid LIMIT ?) RETURNING id, meta"""
DELETE = "DELETE FROM jobs WHERE id = ?"
GIVE_BACK = "UPDATE jobs SET visible_at = ? WHERE id = ?"
COUNT = "SELECT count(*) FROM jobs WHERE namespace = ? AND visible_at = 0"
SHORTEST, LONGEST = 0.01, 0.25  # seconds between two looks


class SpoolSettings(BaseModel):
    """As `MAGEFLOW_SPOOL_PATH`, or in a table `[spool]` of mageflow.toml."""

    path: Path = Path("spool.db")
    again: float = 60.0  # seconds until a job that was taken and not deleted may be taken again


class SpoolBackend(TaskManager):
    """Keeps ids only: whatever becomes of the file, no run is lost with it."""

    name = "spool"
    caps = Capabilities(late_registration=True, gives_back=True, reports_waiting=True)

    def __init__(self, own: SpoolSettings, namespace: str) -> None:
        self._path, self._again = own.path, own.again
        self._namespace = namespace
        self._thread = ThreadPoolExecutor(1, "spool")  # SQLite blocks, and must not block the loop
        self._db: sqlite3.Connection
        self._runner: Runner

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        return cls(settings.of(cls.name, SpoolSettings), settings.namespace)

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        self._runner = runner

    async def open(self, role: Role) -> None:
        await self._call(self._connect)

    async def close(self) -> None:
        await self._call(self._db.close)

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        space = self._namespace
        rows = [(job.id, space, json.dumps(pack(job, space))) for job in jobs]
        try:
            await self._call(self._put, rows)
        except BackendUnavailable as error:
            return [error] * len(jobs)
        return [None] * len(jobs)

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        running: set[asyncio.Task[None]] = set()
        pause = SHORTEST
        try:
            while not stop.is_set():
                taken = await self._take(slots - len(running))
                for job_id, meta in taken:
                    task = asyncio.create_task(self._deliver(job_id, meta))
                    running.add(task)
                    task.add_done_callback(running.discard)
                pause = SHORTEST if taken else min(2 * pause, LONGEST)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), pause)
            if running:
                await asyncio.wait(running, timeout=grace)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    async def _take(self, free: int) -> Any:
        now = time.time()
        try:
            return await self._call(self._do, TAKE, now + self._again, self._namespace, now, free)
        except BackendUnavailable as error:  # an engine that is away must not end its workers
            log.warning("%s; looking again soon", error)
            return []

    async def _deliver(self, job_id: str, meta: str) -> None:
        end: tuple[Any, ...] = (DELETE, job_id)
        try:
            handled = await self._runner.run(Delivery.of(json.loads(meta)))
            if handled.disposal is Disposal.RELEASE:
                end = (GIVE_BACK, time.time() + 1, job_id)
        except CorruptJob:
            log.exception("row %s was thrown away", job_id)
        with suppress(BackendUnavailable):  # then it comes again, and is found out
            await self._call(self._do, *end)

    async def health(self) -> Health:
        try:
            ((waiting,),) = await self._call(self._do, COUNT, self._namespace)
        except BackendUnavailable as error:
            return Health(reachable=False, detail=str(error))
        return Health(reachable=True, detail=f"SQLite file {self._path}", waiting=waiting)

    async def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._thread, function, *arguments)
        except sqlite3.Error as error:
            raise BackendUnavailable(f"{self._path} cannot be used: {error}") from error

    def _connect(self) -> None:
        self._db = sqlite3.connect(self._path, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._do(TABLE)

    def _put(self, rows: list[tuple[Any, ...]]) -> None:
        with self._db:
            self._db.executemany(PUT, rows)

    def _do(self, statement: str, *values: Any) -> list[Any]:
        with self._db:
            return self._db.execute(statement, values).fetchall()
