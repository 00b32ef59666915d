"""What has really happened: a line for each thing that some process did, in one file."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mageflow_conformance.waiting import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One thing that happened.

    t: seconds of the machine's monotonic clock, which all its processes share. pid: who wrote it.
    process: the one that a nursery has started, of which the writer is a part, itself or a child.
    worker: the id of the worker in that process. what: a word. key, attempt, fence: of the body
    that it is about, where it is about one. more: what else was said.
    """

    t: float
    pid: int
    what: str
    process: int = 0
    worker: str | None = None
    key: str | None = None
    attempt: int | None = None
    fence: int | None = None
    more: dict[str, Any] = field(default_factory=dict)


class Ledger:
    """An append-only file that any number of processes write and read.

    Each row is one write of one line to the file's end, so that rows of several processes never
    mix, and a row is there once `note` has returned, whatever then becomes of its writer. Any
    thread may use it. Not guaranteed: that it outlives the machine.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._written: tuple[int, int] | None = None  # process, and its descriptor
        self._read = 0
        self._rows: list[Row] = []

    # --- writing --------------------------------------------------------------------------------
    def note(
        self,
        what: str,
        *,
        worker: str | None = None,
        key: str | None = None,
        attempt: int | None = None,
        fence: int | None = None,
        **more: Any,
    ) -> None:
        said = {"worker": worker, "key": key, "attempt": attempt, "fence": fence, "more": more}
        here = {"pid": os.getpid(), "process": os.getsid(0)}  # each has a session of its own
        row = {"t": time.monotonic(), **here, "what": what, **said}
        line = json.dumps({name: value for name, value in row.items() if value not in (None, {})})
        os.write(self._descriptor(), f"{line}\n".encode())

    def _descriptor(self) -> int:
        if self._written is None or self._written[0] != os.getpid():
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._written = (os.getpid(), os.open(self.path, flags, 0o600))
        return self._written[1]

    def close(self) -> None:
        """Let go of the file in this process; it may be written and read again."""
        if self._written is not None and self._written[0] == os.getpid():
            os.close(self._written[1])
        self._written = None

    # --- reading --------------------------------------------------------------------------------
    def rows(self) -> list[Row]:
        """All that is there, in the order in which it was written."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._read)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    self._read += len(line)
                    self._rows.append(Row(**json.loads(line)))
        return list(self._rows)

    def of(self, what: str, *, below: str = "", **more: Any) -> list[Row]:
        """Rows of this kind; below: of this key or those below it; more: that say this too."""
        return [
            row
            for row in self.rows()
            if row.what == what
            and (not below or (row.key is not None and is_at_or_below(row.key, below)))
            and all(row.more.get(name) == value for name, value in more.items())
        ]

    async def has(
        self,
        what: str,
        count: int = 1,
        *,
        below: str = "",
        within: float = 10.0,
        **more: Any,
    ) -> list[Row]:
        """Wait until there are so many rows of this kind; gives all of them."""

        def enough() -> list[Row]:
            found = self.of(what, below=below, **more)
            return found if len(found) >= count else []

        about = f"{count} rows {what!r} in {self.path}"
        rows: list[Row] = await eventually(enough, within=within, about=about)
        return rows


def is_at_or_below(key: str, top: str) -> bool:
    return key == top or (key.startswith(top) and key[len(top)] in "/~")


def by_key(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        if row.key is not None:
            found.setdefault(row.key, []).append(row)
    return found
