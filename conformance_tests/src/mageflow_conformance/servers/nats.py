"""One NATS server."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from mageflow_conformance.servers.local import LocalServer
from mageflow_conformance.servers.ports import HOST

PATIENCE = 1.0  # seconds


@dataclass(kw_only=True, eq=False)
class NatsServer(LocalServer):
    """A real server on a free port of the loopback, in a folder of its own, with JetStream.

    config: further lines of its configuration, as in {"max_payload": "64KB"}.

    Streams and their messages are kept over restarts: each is written to the disk before it is
    acknowledged.
    """

    config: Mapping[str, str] = field(default_factory=dict)

    kind: ClassVar[str] = "NATS"
    program: ClassVar[str] = "nats-server"
    taken: ClassVar[str] = "address already in use"

    @property
    def url(self) -> str:
        return f"nats://{HOST}:{self.port}"

    @property
    def version(self) -> str:
        return str(greeting(self.port)["version"])

    def _command(self, program: str) -> list[str]:
        path = self.folder / "nats.conf"
        path.write_text("\n".join(self._lines()) + "\n", "utf-8")
        return [program, "--config", str(path)]

    def _lines(self) -> Iterator[str]:
        yield f"listen: {json.dumps(f'{HOST}:{self.port}')}"
        yield f"server_name: {json.dumps(self.folder.name)}"
        store = json.dumps(str(self.folder), ensure_ascii=False)
        yield f"jetstream: {{ store_dir: {store}, sync_interval: always }}"
        for name, value in self.config.items():
            yield f"{name}: {value}"

    def is_ready(self) -> bool:
        """Whether this server greets its clients, which it does once all its streams are read."""
        try:
            return bool(greeting(self.port)["server_name"] == self.folder.name)
        except (OSError, ValueError, KeyError):
            return False


def greeting(port: int) -> dict[str, Any]:
    """What a server says of itself to each client before it is asked."""
    with (
        socket.create_connection((HOST, port), PATIENCE) as connection,
        connection.makefile("rb") as lines,
    ):
        said: dict[str, Any] = json.loads(lines.readline().removeprefix(b"INFO "))
        return said
