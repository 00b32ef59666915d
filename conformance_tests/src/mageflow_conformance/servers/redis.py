"""One Redis server."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote

from mageflow_conformance.servers.errors import ServerFailed
from mageflow_conformance.servers.ports import HOST, free_port
from mageflow_conformance.servers.process import ServerProcess
from mageflow_conformance.servers.programs import find_program
from mageflow_conformance.servers.wire import Wire, WireError
from mageflow_conformance.waiting import eventually_sync

READY = 20.0  # seconds
PORTS = 5  # attempts to get one that nobody takes in between
LOG_END = 2_000  # characters
TAKEN = "Address already in use"

Persistence = Literal["none", "aof"]


@dataclass(kw_only=True, eq=False)
class RedisServer:
    """A real server on a free port of the loopback, in a folder of its own.

    persistence: "none" writes nothing; "aof" writes each command before it is answered.
    password: of the default user. users: name → (password, ACL rules, as in "~app:* +@all").
    maxmemory: as in "64mb", with `maxmemory_policy`.
    config: further lines of its configuration.

    The port is kept over restarts, and what was persisted with it. `close()` ends it and removes
    its folder, as leaving `with` does. All calls block; `Aio` is for event loops.
    """

    persistence: Persistence = "none"
    password: str | None = None
    users: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    maxmemory: str | None = None
    maxmemory_policy: str = "noeviction"
    config: Mapping[str, str] = field(default_factory=dict)

    port: int = field(default=0, init=False)
    _folder: Path | None = field(default=None, init=False)
    _process: ServerProcess | None = field(default=None, init=False)

    # --- where it is --------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """For the default user."""
        login = f":{quote(self.password, safe='')}@" if self.password else ""
        return f"redis://{login}{HOST}:{self.port}/0"

    def url_of(self, user: str) -> str:
        password, _ = self.users[user]
        return f"redis://{quote(user, safe='')}:{quote(password, safe='')}@{HOST}:{self.port}/0"

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def folder(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="mageflow-redis-"))
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
            if fixed or TAKEN not in self.log:
                break
            self.port = 0
        raise ServerFailed(f"redis-server ended at once:\n{self.log[-LOG_END:]}")

    def _free_port(self) -> int:
        return free_port()

    def _launch(self) -> bool:
        """Whether it came to answer, and did not end at once, as it does on a taken port."""
        program = find_program("redis-server")
        path = self.folder / "redis.conf"
        path.write_text("\n".join(self._lines()) + "\n", "utf-8")
        process = self._process = ServerProcess([program, str(path)], log=self.folder / "log")
        eventually_sync(
            lambda: not process.runs or self._is_up(process.pid),
            within=READY,
            about="a Redis that answers",
        )
        if process.runs:
            return True
        process.stop()
        return False

    def _lines(self) -> Iterator[str]:
        yield f"bind {HOST}"
        yield f"port {self.port}"
        yield f"dir {quoted(str(self.folder))}"
        yield 'save ""'
        yield f"appendonly {'yes' if self.persistence == 'aof' else 'no'}"
        yield "appendfsync always"
        yield "repl-diskless-sync-delay 0"
        yield f"maxmemory-policy {self.maxmemory_policy}"
        if self.maxmemory is not None:
            yield f"maxmemory {self.maxmemory}"
        if self.password is not None:
            yield f"requirepass {quoted(self.password)}"
        for name, (password, rules) in self.users.items():
            yield f"user {name} on {quoted('>' + password)} {rules}"
        for name, value in self.config.items():
            yield f"{name} {value}"

    def is_ready(self) -> bool:
        try:
            return bool(self.call("PING") == "PONG")
        except (OSError, WireError):  # not there yet, or loading what was persisted
            return False

    def _is_up(self, pid: int) -> bool:
        """Whether this process answers, and not another that has its port."""
        return self.is_ready() and self.info("server").get("process_id") == str(pid)

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
        self.kill()  # a master that is asked to end waits for its replicas
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
            raise ServerFailed("this Redis does not run: start() it first")
        return self._process

    # --- asking it ----------------------------------------------------------------------------
    def call(self, *command: str | int) -> Any:
        """What it answers to a command, as the default user. Raises `WireError` and `OSError`."""
        return Wire(self.port, password=self.password).call(*command)

    def info(self, section: str = "everything") -> dict[str, str]:
        lines = str(self.call("INFO", section)).splitlines()
        pairs = [line.partition(":") for line in lines if line and not line.startswith("#")]
        return {name: value for name, _, value in pairs}


def quoted(value: str) -> str:
    """As Redis's configuration reads it."""
    return json.dumps(value, ensure_ascii=False)
