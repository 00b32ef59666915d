"""Worker processes of one adapter, for its own tests: started by commands, and what they note."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from mageflow_conformance.backends.bench import Bench
from mageflow_core import Context, Mageflow

NOTES = "BENCH_NOTES"

Command = subprocess.Popen[str]


class Place:
    """Where the commands of a test are started, and where they write what they do.

    folder: an empty one. modules: where the module is that the commands name; what it notes, it
    notes with `note`.
    """

    def __init__(self, bench: Bench, folder: Path, modules: Path) -> None:
        self._bench = bench
        self._folder = folder
        self._modules = modules
        self._notes = folder / "notes"
        self._notes.touch()
        self._log = folder / "log"
        self._started: list[Command] = []

    def start(self, *command: str, **variables: str) -> Command:
        """`python -m command`, for an app of the bench's settings; in a session of its own, as it
        may start others."""
        prefix = f"MAGEFLOW_{self._bench.backend}_"
        environment = {
            **{name: value for name, value in os.environ.items() if name[:9] != "MAGEFLOW_"},
            **{f"{prefix}{key}".upper(): str(value) for key, value in self._bench.said.items()},
            "MAGEFLOW_BACKEND": self._bench.backend,
            "MAGEFLOW_STORE": self._bench.store,
            "MAGEFLOW_NAMESPACE": self._bench.namespace,
            NOTES: str(self._notes),
            "PYTHONPATH": str(self._modules),
            "PYTHONUNBUFFERED": "1",
            **variables,
        }
        with self._log.open("a") as log:
            process = subprocess.Popen(  # noqa: S603  # the commands are the tests'
                [sys.executable, "-m", *command],
                cwd=self._folder,
                env=environment,
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def log(self) -> str:
        """What all of them have said."""
        return self._log.read_text()

    def noted(self) -> list[list[str]]:
        """The words of each note."""
        return [line.split() for line in self._notes.read_text().splitlines()]

    def let(self, name: str) -> None:
        """Let the task `hold` of this name end."""
        (self._folder / name).touch()

    def close(self) -> None:
        """End them, and what they have started."""
        for process in self._started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


# --- in such a process ----------------------------------------------------------------------------
def note(text: str) -> None:
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(f"{text}\n")


def add_tasks(mf: Mageflow) -> None:
    """`hold`, which notes its name, attempt and command, and ends when it is let; and `quick`."""

    @mf.task
    async def hold(ctx: Context, name: str) -> str:
        note(f"{name} {ctx.attempt} {os.getsid(0)}")
        while not Path(os.environ[NOTES]).with_name(name).exists():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        return name

    @mf.task
    def quick(n: int) -> int:
        return n + 1
