"""One Hatchet engine, on a Postgres of its own."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from mageflow_conformance.servers.errors import ServerFailed
from mageflow_conformance.servers.local import LocalServer
from mageflow_conformance.servers.ports import HOST, free_port
from mageflow_conformance.servers.postgres import PostgresServer
from mageflow_conformance.servers.programs import find_program

PATIENCE = 2.0  # seconds
TENANT = "707d0855-80ab-4e1f-a156-f1c4546cbf52"  # that it makes when it is set up
# What an engine that is built by hand says of its version has its clients take it for an old one.
VERSION = "v0.104.7"
# An engine looks after ten seconds for tenants that nobody serves, and takes two minutes to find
# out that one was killed which did, and half a one to have what that had leased: it is told at
# once.
FORGET = (
    'DELETE FROM "Lease"',
    'DELETE FROM "ControllerPartition"',
    'DELETE FROM "SchedulerPartition"',
    'DELETE FROM "TenantWorkerPartition"',
)
TAKE = (
    'UPDATE "Tenant" SET "controllerPartitionId" = (SELECT id FROM "ControllerPartition" LIMIT 1)',
    'UPDATE "Tenant" SET "schedulerPartitionId" = (SELECT id FROM "SchedulerPartition" LIMIT 1)',
    'UPDATE "Tenant" SET "workerPartitionId" = (SELECT id FROM "TenantWorkerPartition" LIMIT 1)',
)
# What a shell may have set for a Hatchet of its own.
FOREIGN = ("HATCHET_", "SERVER_", "DATABASE_", "LITE_")


@dataclass(kw_only=True, eq=False)
class HatchetServer(LocalServer):
    """The real engine with its REST API, on free ports of the loopback, in a folder of its own.

    Its programs `hatchet-lite`, `hatchet-admin` and `hatchet-migrate` have to be on PATH, and
    those of Postgres. What it has acknowledged is kept over restarts and kills.
    """

    kind: ClassVar[str] = "Hatchet"
    program: ClassVar[str] = "hatchet-lite"
    taken: ClassVar[str] = "address already in use"
    ready: ClassVar[float] = 90.0

    token: str = field(default="", init=False)
    _database: PostgresServer = field(default_factory=PostgresServer, init=False)
    _ports: dict[str, int] = field(default_factory=dict, init=False)

    @property
    def url(self) -> str:
        """Where its REST API is."""
        return f"http://{HOST}:{self._ports['runtime']}"

    @property
    def address(self) -> str:
        """Where gRPC is."""
        return f"{HOST}:{self.port}"

    @property
    def version(self) -> str:
        return f"{VERSION.removeprefix('v')} on Postgres {self._database.version}"

    def start(self) -> None:
        self._database.start()
        anew = self._process is None or not self._process.runs
        if anew and self.token:
            self._database.execute(*FORGET)
        super().start()
        if anew:
            self._database.execute(*TAKE)
        self.token = self.token or self._admin(
            "token", "create", "--name", "mageflow", "--tenant-id", TENANT
        )

    def stop(self) -> None:
        super().stop()
        self._database.stop()

    def kill(self) -> None:
        super().kill()
        self._database.kill()

    def close(self) -> None:
        super().close()
        self._database.close()

    # --- its life -----------------------------------------------------------------------------
    def _command(self, program: str) -> list[str]:
        config = self.folder / "config"
        if not self._ports:
            names = ("api", "frontend", "runtime", "health")
            self._ports = {name: free_port() for name in names}
        if not config.exists():
            (self.folder / "static").mkdir()
            (self.folder / "static" / "index.html").touch()  # without one it ends
            self._run("hatchet-migrate")
            setup = ("quickstart", "--skip", "certs", f"--generated-config-dir={config}")
            self._run("hatchet-admin", *setup, "--overwrite=false")
        return [program, "--config", str(config)]

    def _admin(self, *arguments: str) -> str:
        return self._run("hatchet-admin", "--config", str(self.folder / "config"), *arguments)

    def _run(self, program: str, *arguments: str) -> str:
        ran = subprocess.run(  # noqa: S603
            [find_program(program), *arguments],
            check=False,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self._environment(),
            timeout=self.ready,
        )
        if ran.returncode:
            raise ServerFailed(f"{program} {arguments[:1]} failed:\n{ran.stdout}{ran.stderr}")
        return ran.stdout.strip()

    def _environment(self) -> Mapping[str, str]:
        ports = self._ports
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN)}
        return inherited | {
            "DATABASE_URL": self._database.url,
            "SERVER_MSGQUEUE_KIND": "postgres",
            "SERVER_GRPC_INSECURE": "t",
            "SERVER_GRPC_BIND_ADDRESS": HOST,
            "SERVER_GRPC_PORT": str(self.port),
            "SERVER_GRPC_BROADCAST_ADDRESS": self.address,
            "SERVER_INTERNAL_CLIENT_INTERNAL_GRPC_BROADCAST_ADDRESS": self.address,
            "SERVER_PORT": str(ports["api"]),
            "SERVER_URL": self.url,
            "SERVER_HEALTHCHECK_PORT": str(ports["health"]),
            "SERVER_AUTH_COOKIE_DOMAIN": "localhost",
            "SERVER_AUTH_COOKIE_INSECURE": "t",
            "SERVER_AUTH_SET_EMAIL_VERIFIED": "t",
            "SERVER_SECURITY_CHECK_ENABLED": "false",  # else it calls home
            "SERVER_VERSION_OVERRIDE": VERSION,
            "LITE_STATIC_ASSET_DIR": str(self.folder / "static"),
            "LITE_FRONTEND_PORT": str(ports["frontend"]),
            "LITE_RUNTIME_PORT": str(ports["runtime"]),
        }

    def is_ready(self) -> bool:
        """Whether both the engine and its REST API say so."""
        health = f"http://{HOST}:{self._ports['health']}/ready"
        return answers(health) and answers(f"{self.url}/api/ready")


def answers(url: str) -> bool:
    """Whether this says 200 now."""
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as reply:  # noqa: S310 - on the loopback
            return bool(reply.status == 200)  # noqa: PLR2004
    except (OSError, urllib.error.URLError, ValueError):
        return False
