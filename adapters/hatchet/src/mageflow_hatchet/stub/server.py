"""The emulated engine as a process of its own, which tests kill and start again."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import dataclass, field
from typing import ClassVar

from mageflow_conformance.servers import LocalServer
from mageflow_conformance.servers.hatchet import answers
from mageflow_conformance.servers.ports import HOST, free_port
from mageflow_hatchet.stub.engine import LOST
from mageflow_hatchet.stub.service import TENANT, VERSION


@dataclass(kw_only=True, eq=False)
class HatchetStub(LocalServer):
    """On free ports of the loopback, in a folder of its own. scale, lost: see `Engine`."""

    kind: ClassVar[str] = "Hatchet-stub"
    program: ClassVar[str] = sys.executable
    taken: ClassVar[str] = "address already in use"
    ready: ClassVar[float] = 60.0

    scale: float = 1.0
    lost: float = LOST
    _api_port: int = field(default=0, init=False)

    @property
    def url(self) -> str:
        """Where its REST API is."""
        return f"http://{HOST}:{self._api_port}"

    @property
    def address(self) -> str:
        """Where gRPC is."""
        return f"{HOST}:{self.port}"

    @property
    def token(self) -> str:
        return token_of(self.address, self.url)

    @property
    def version(self) -> str:
        return f"emulation of {VERSION.removeprefix('v')}"

    def _command(self, program: str) -> list[str]:
        self._api_port = self._api_port or free_port()
        ports = [f"--port={self.port}", f"--api-port={self._api_port}"]
        file = self.folder / "runs.db"
        module = "mageflow_hatchet.stub"
        times = [f"--scale={self.scale}", f"--lost={self.lost}"]
        return [program, "-m", module, *ports, f"--file={file}", *times]

    def is_ready(self) -> bool:
        return answers(f"{self.url}/api/ready")


def token_of(address: str, url: str, signature: str = "unsigned") -> str:
    """One that says where an engine is, and that no engine has made."""
    said = {"sub": TENANT, "grpc_broadcast_address": address, "server_url": url}

    def part(value: dict[str, str]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'none'})}.{part(said)}.{signature}"
