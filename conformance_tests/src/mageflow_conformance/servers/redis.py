"""One Redis server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import quote

from mageflow_conformance.servers.local import LocalServer
from mageflow_conformance.servers.ports import HOST
from mageflow_conformance.servers.wire import Wire, WireError

Persistence = Literal["none", "aof"]


@dataclass(kw_only=True, eq=False)
class RedisServer(LocalServer):
    """A real server on a free port of the loopback, in a folder of its own.

    persistence: "none" writes nothing; "aof" writes each command before it is answered.
    password: of the default user. users: name → (password, ACL rules, as in "~app:* +@all").
    maxmemory: as in "64mb", with `maxmemory_policy`.
    config: further lines of its configuration.

    What was persisted is kept over restarts.
    """

    kind: ClassVar[str] = "Redis"
    program: ClassVar[str] = "redis-server"
    taken: ClassVar[str] = "Address already in use"

    persistence: Persistence = "none"
    password: str | None = None
    users: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    maxmemory: str | None = None
    maxmemory_policy: str = "noeviction"
    config: Mapping[str, str] = field(default_factory=dict)

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
    def version(self) -> str:
        return self.info("server")["redis_version"]

    # --- its life -----------------------------------------------------------------------------
    def _command(self, program: str) -> list[str]:
        path = self.folder / "redis.conf"
        path.write_text("\n".join(self._lines()) + "\n", "utf-8")
        return [program, str(path)]

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
        return self.is_ready() and self.info("server").get("process_id") == str(pid)

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
