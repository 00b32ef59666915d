"""What the emulation keeps: workflows, workers and runs, in a file."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

QUEUED, RUNNING = "QUEUED", "RUNNING"
COMPLETED, FAILED, CANCELLED = "COMPLETED", "FAILED", "CANCELLED"
ENDED = (COMPLETED, FAILED, CANCELLED)

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS workflow (name TEXT PRIMARY KEY, definition BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS worker (id TEXT PRIMARY KEY, said TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS run (id TEXT PRIMARY KEY, ended INTEGER NOT NULL, said TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS open_runs ON run (ended);
CREATE TABLE IF NOT EXISTS child (place TEXT PRIMARY KEY, run TEXT NOT NULL);
"""


@dataclass(kw_only=True)
class Run:
    """One run of a workflow, which is one of its only step. places: seconds since the epoch.
    crashes: how often a worker was lost with it; failures: how often it has failed."""

    id: str
    number: int
    workflow: str
    action: str
    step: str
    input: str
    metadata: str
    priority: int
    due: float
    slots: dict[str, int]
    retries: int
    execution_timeout: float
    schedule_timeout: float
    queued_at: float
    parent: str = ""
    status: str = QUEUED
    worker: str = ""
    started_at: float = 0.0
    told_started: bool = False
    extended: float = 0.0
    crashes: int = 0
    failures: int = 0
    output: str = ""
    error: str = ""

    @property
    def retry_count(self) -> int:
        return self.crashes + self.failures

    @property
    def ended(self) -> bool:
        return self.status in ENDED


@dataclass(kw_only=True)
class Worker:
    id: str
    name: str
    actions: list[str]
    slots: dict[str, int]
    seen_at: float
    paused: bool = False
    # Whether a stream of it is open; `None` before the first one.
    heard: bool | None = field(default=None, compare=False)


class Record:
    """What was written is there after the process was killed. Used in one thread, until `close`."""

    def __init__(self, path: str) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        self._db.close()

    # --- read -----------------------------------------------------------------------------------
    def workflows(self) -> Iterator[tuple[str, bytes]]:
        yield from self._db.execute("SELECT name, definition FROM workflow")

    def workers(self) -> Iterator[Worker]:
        for (said,) in self._db.execute("SELECT said FROM worker"):
            yield Worker(**{**json.loads(said), "heard": False})

    def open_runs(self) -> Iterator[Run]:
        for (said,) in self._db.execute("SELECT said FROM run WHERE NOT ended"):
            yield Run(**json.loads(said))

    def run(self, run_id: str) -> Run | None:
        row = self._db.execute("SELECT said FROM run WHERE id = ?", (run_id,)).fetchone()
        return Run(**json.loads(row[0])) if row else None

    def runs_with(self, metadata: dict[str, Any]) -> list[Run]:
        """That have all of this among their metadata."""
        runs = [Run(**json.loads(said)) for (said,) in self._db.execute("SELECT said FROM run")]
        wanted = metadata.items()
        return [run for run in runs if wanted <= json.loads(run.metadata or "{}").items()]

    def last_number(self) -> int:
        (count,) = self._db.execute("SELECT count(*) FROM run").fetchone()
        return int(count)

    # --- write ----------------------------------------------------------------------------------
    def keep_workflow(self, name: str, definition: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO workflow VALUES (?, ?)", (name, definition))

    def keep_worker(self, worker: Worker) -> None:
        said = json.dumps(asdict(worker))
        self._db.execute("INSERT OR REPLACE INTO worker VALUES (?, ?)", (worker.id, said))

    def keep(self, *runs: Run) -> None:
        rows = [(run.id, run.ended, json.dumps(asdict(run))) for run in runs]
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR REPLACE INTO run VALUES (?, ?, ?)", rows)
        self._db.execute("COMMIT")

    def child(self, place: str, run_id: str) -> str:
        """Who has this place among its parent's children: the one that came first."""
        self._db.execute("INSERT OR IGNORE INTO child VALUES (?, ?)", (place, run_id))
        (first,) = self._db.execute("SELECT run FROM child WHERE place = ?", (place,)).fetchone()
        return str(first)
