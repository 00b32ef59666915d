"""What tests of this adapter share: apps on the emulated engine, and what that has kept."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import cached_property
from typing import Any

from hatchet_sdk import ClientConfig, Hatchet
from hatchet_sdk.config import ClientTLSConfig

from mageflow_conformance.backends.bench import Bench
from mageflow_hatchet.stub.record import Record, Run
from mageflow_hatchet.stub.server import HatchetStub


def settings_of(engine: HatchetStub) -> dict[str, Any]:
    return {"token": engine.token, "tls": "none"}


class HatchetBench(Bench):
    def __init__(
        self, stack: AsyncExitStack, namespace: str, store: str, engine: HatchetStub
    ) -> None:
        super().__init__(stack, namespace, store, "hatchet", settings_of(engine))
        self.engine = engine

    def hatchet(self) -> Hatchet:
        """A client as somebody has it who knows nothing of MageFlow."""
        tls = ClientTLSConfig(strategy="none")
        return Hatchet(config=ClientConfig(token=self.engine.token, tls_config=tls))

    @cached_property
    def record(self) -> Record:
        """What the engine has kept."""
        record = Record(str(self.engine.folder / "runs.db"))
        self.stack.callback(record.close)
        return record

    def runs(self, **metadata: str) -> list[Run]:
        """Of this test, as Hatchet has them; metadata: without the prefix `mf-`."""
        said = {f"mf-{name}": value for name, value in metadata.items()}
        return self.record.runs_with({"mf-ns": self.namespace, **said})
