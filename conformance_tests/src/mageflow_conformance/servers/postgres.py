"""One Postgres server."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mageflow_conformance.servers.errors import ServerFailed
from mageflow_conformance.servers.local import LocalServer
from mageflow_conformance.servers.ports import HOST
from mageflow_conformance.servers.programs import find_program

PATIENCE = 1.0  # seconds
PROTOCOL = 3 << 16  # version 3.0
USER = "postgres"
UNPRIVILEGED = 65534  # nobody's: Postgres refuses to run as root


@dataclass(kw_only=True, eq=False)
class PostgresServer(LocalServer):
    """A real server on a free port of the loopback, in a folder of its own, which trusts all who
    reach it there. Its only user is `postgres`; its time zone is UTC.

    What it has acknowledged is kept when its process is killed, and not when the machine is.
    """

    kind: ClassVar[str] = "Postgres"
    program: ClassVar[str] = "postgres"
    taken: ClassVar[str] = "Address already in use"
    ready: ClassVar[float] = 60.0

    connections: int = 250

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@{HOST}:{self.port}/{USER}?sslmode=disable"

    @property
    def version(self) -> str:
        program = find_program(self.program)
        said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)  # noqa: S603
        return said.stdout.split()[2]

    def execute(self, *statements: str) -> None:
        """As its user. Raises `ServerFailed`."""
        commands = [part for each in statements for part in ("--command", each)]
        options = ["--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1"]
        ran = subprocess.run(  # noqa: S603
            [find_program("psql"), self.url, *options, *commands],
            check=False,
            capture_output=True,
            text=True,
        )
        if ran.returncode:
            raise ServerFailed(f"psql failed:\n{ran.stderr}")

    def kill(self) -> None:
        """Its processes end by themselves without the first of them, and hold its port and memory
        until they have."""
        process = self._process
        if process is not None:
            children = _children(process.pid)
            super().kill()
            for pid in children:
                _wait_for(pid)

    def _command(self, program: str) -> list[str]:
        data = self.folder / "data"
        if not data.exists():
            if os.geteuid() == 0:
                os.chown(self.folder, UNPRIVILEGED, UNPRIVILEGED)
            make = [find_program("initdb"), f"--pgdata={data}", f"--username={USER}"]
            made = subprocess.run(  # noqa: S603
                [*_unprivileged(), *make, "--auth=trust", "--encoding=UTF8", "--no-sync"],
                check=False,
                capture_output=True,
                text=True,
                cwd=self.folder,
            )
            if made.returncode:
                raise ServerFailed(f"initdb failed:\n{made.stderr}")
        (data / "postmaster.pid").unlink(missing_ok=True)  # of one that was killed
        options = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "max_connections": self.connections,
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "off",  # what it has written outlives its processes all the same
            "jit": "off",
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [*_unprivileged(), program, "-D", str(data), *given]

    def is_ready(self) -> bool:
        """Whether it lets its user in."""
        said = f"user\0{USER}\0database\0{USER}\0\0".encode()
        try:
            with socket.create_connection((HOST, self.port), PATIENCE) as connection:
                connection.settimeout(PATIENCE)
                connection.sendall(struct.pack("!II", 8 + len(said), PROTOCOL) + said)
                return connection.recv(1) == b"R"  # it asks for no password, and says so
        except OSError:
            return False


def _unprivileged() -> list[str]:
    """In front of a command that must not run as root. It becomes that command, pid and all."""
    if os.geteuid() != 0:
        return []
    user = str(UNPRIVILEGED)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--"]


def _children(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii")
    except OSError:  # not on Linux, or gone
        return []
    return [int(each) for each in listed.split()]


def _wait_for(pid: int) -> None:
    """Until a process that is no child of this one has ended."""
    from mageflow_conformance.waiting import eventually_sync  # noqa: PLC0415

    eventually_sync(lambda: not Path(f"/proc/{pid}").exists(), within=20, about=f"the end of {pid}")
