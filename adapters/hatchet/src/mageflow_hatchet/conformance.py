"""How the conformance suite gets at Hatchet: at the real engine, and at an emulation of it.

Loaded by `mageflow-conformance` alone, which is not needed to run flows.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from hatchet_sdk import ClientConfig, Context, Hatchet
from hatchet_sdk.config import ClientTLSConfig
from pydantic import BaseModel

from mageflow_conformance.backends import ServerHarness
from mageflow_conformance.backends.harness import SECRET, Fidelity
from mageflow_conformance.servers import HatchetServer, LocalServer
from mageflow_core.backends import portable
from mageflow_hatchet.stub.server import HatchetStub, token_of

TOKEN = "HATCHET_CLIENT_TOKEN"  # noqa: S105 - the name of a variable
Record = Callable[[int, int], object]


class Add(BaseModel):
    a: int
    b: int = 1


class HatchetNatives:
    """A task of Hatchet's on a client that is as Hatchet's own documentation makes it."""

    def __init__(self, hatchet: Hatchet, record: Record) -> None:
        @hatchet.task(name="Suite-Native_Add", input_validator=Add)
        async def native_add(given: Add, _context: Context) -> dict[str, int]:
            record(given.a, given.b)
            return {"a": given.a + given.b}

        self.client = hatchet
        self.task = native_add
        self.name = portable("Suite-Native_Add")

    async def call(self, a: int, b: int) -> None:
        await self.task.aio_run(Add(a=a, b=b), wait_for_result=False)

    async def close(self) -> None:
        """Its connections end with it."""


@dataclass
class _HatchetHarness(ServerHarness):
    """token, address: of the engine. url: of its REST API."""

    backend: ClassVar[str] = "hatchet"
    packages: ClassVar[tuple[str, ...]] = ("hatchet-sdk", "grpcio")
    modules: ClassVar[tuple[str, ...]] = ("hatchet_sdk",)
    context: ClassVar[str] = "hatchet_sdk.context.context:Context"
    serves: ClassVar[str | None] = "serves"
    native_results: ClassVar[str | None] = "a"

    token: str = ""
    address: str = ""

    def start(self) -> None:
        super().start()
        assert isinstance(self.server, HatchetServer | HatchetStub), "that is what is started"
        self.address, self.token = self.server.address, self.server.token

    # --- apps -----------------------------------------------------------------------------------
    def settings(self, namespace: str) -> dict[str, Any]:
        said: dict[str, Any] = {
            "token": self.token,
            "host_port": self.address,
            "server_url": self.url,
            "tls": "none",
            "queue": f"{namespace}.jobs",
        }
        return {self.backend: said}

    def unreachable(self, port: int) -> dict[str, Any]:
        address = f"127.0.0.1:{port}"
        said = {"token": token_of(address, f"http://{address}", SECRET), "tls": "none"}
        return {self.backend: said}

    def natives(self, namespace: str, record: Any) -> HatchetNatives:
        said = self.settings(namespace)[self.backend]
        config = ClientConfig(
            token=said["token"],
            host_port=said["host_port"],
            server_url=said["server_url"],
            tls_config=ClientTLSConfig(strategy="none"),
            namespace=namespace,
        )
        return HatchetNatives(Hatchet(config=config), record)

    def command(self, module: str) -> list[str]:
        """It has none: its workers are programs like this one."""
        lines = [f"from {module} import client", "client.worker('suite', slots=4).start()"]
        return [sys.executable, "-c", "\n".join(lines)]


@dataclass
class HatchetHarness(_HatchetHarness):
    """The real engine: one that answers, where the environment names it, else one of its own."""

    name: ClassVar[str] = "hatchet"
    server_class: ClassVar[type[LocalServer]] = HatchetServer

    def start(self) -> None:
        if not os.environ.get(TOKEN):
            super().start()
            return
        config = ClientConfig()
        self.token, self.address, self.url = config.token, config.host_port, config.server_url

    @property
    def restarts(self) -> bool:
        return not os.environ.get(TOKEN)


@dataclass
class HatchetStubHarness(_HatchetHarness):
    """An emulation, which says of the adapter what can be said without the engine."""

    name: ClassVar[str] = "hatchet-stub"
    fidelity: ClassVar[Fidelity] = "emulated"
    server_class: ClassVar[type[LocalServer]] = HatchetStub
