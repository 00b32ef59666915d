"""What the servers here have in common: a port, a folder, a log, and their life."""

from __future__ import annotations

import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from mageflow_conformance.servers.errors import ServerFailed
from mageflow_conformance.servers.ports import free_port
from mageflow_conformance.servers.process import ServerProcess
from mageflow_conformance.servers.programs import find_program
from mageflow_conformance.waiting import eventually_sync

PORTS = 5  # attempts to get one that nobody takes in between
LOG_END = 4_000  # characters


@dataclass(kw_only=True, eq=False)
class LocalServer(ABC):
    """A server on a free port of the loopback, in a folder of its own.

    The port is kept over restarts, and what the server keeps. `close()` ends it and removes its
    folder, as leaving `with` does. All calls block; `Aio` is for event loops.
    """

    kind: ClassVar[str]  # for people
    program: ClassVar[str]
    taken: ClassVar[str]  # what it says where another process has its port
    ready: ClassVar[float] = 20.0  # seconds that it may take to answer

    port: int = field(default=0, init=False)
    _folder: Path | None = field(default=None, init=False)
    _process: ServerProcess | None = field(default=None, init=False)

    # --- what each kind says of itself ----------------------------------------------------------
    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def version(self) -> str:
        """Of the program, as the running server says."""

    @abstractmethod
    def _command(self, program: str) -> list[str]:
        """To start it on its port, in its folder. May write there what that takes."""

    def _environment(self) -> Mapping[str, str] | None:
        """Of its process; that of this one unless it is said."""
        return None

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it answers now. Quick, and raises nothing, also where nobody listens."""

    def _is_up(self, pid: int) -> bool:  # noqa: ARG002  # for those that tell theirs
        """Whether this process answers, and not another that has its port."""
        return self.is_ready()

    def settle(self) -> None:  # noqa: B027  # for those that write it down at once, nothing
        """Wait until a kill takes nothing with it that was acknowledged, for those that write it
        down later. Blocks."""

    def _free_port(self) -> int:
        return free_port()

    # --- where it is ------------------------------------------------------------------------------
    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix=f"mageflow-{self.kind.lower()}-"))
        return self._folder

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    # --- its life -----------------------------------------------------------------------------
    def start(self) -> None:
        """Returns when it answers. Of one that runs, nothing.

        Raises `MissingServer` and `ServerFailed`.
        """
        if self._process is not None and self._process.runs:
            return
        for _ in range(PORTS):
            fixed = self.port != 0
            self.port = self.port or self._free_port()
            if self._launch():
                return
            if fixed or self.taken not in self.log:
                break
            self.port = 0
        raise ServerFailed(f"{self.program} ended at once:\n{self.log[-LOG_END:]}")

    def _launch(self) -> bool:
        """Whether it came to answer, and did not end at once, as it does on a taken port."""
        command = self._command(find_program(self.program))
        process = self._process = ServerProcess(
            command, log=self.folder / "log", environment=self._environment()
        )
        eventually_sync(
            lambda: not process.runs or self._is_up(process.pid),
            within=self.ready,
            about=f"a {self.kind} that answers",
        )
        if process.runs:
            return True
        process.stop()
        return False

    def stop(self) -> None:
        """End it as an administrator would: what is persisted is complete."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self) -> None:
        """End it by SIGKILL. Of one that does not run, nothing."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing."""
        self._running().pause()

    def resume(self) -> None:
        self._running().resume()

    def close(self) -> None:
        """End it at once, and remove its folder."""
        self.kill()  # one that is asked to end may take its time, or wait for others
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _running(self) -> ServerProcess:
        if self._process is None:
            raise ServerFailed(f"this {self.kind} does not run: start() it first")
        return self._process
