"""How the conformance suite gets at the spool: ten lines, and an entry point."""

import sqlite3
from tempfile import TemporaryDirectory
from typing import Any

from mageflow_conformance.backends import Harness


class SpoolHarness(Harness):
    name = "spool"
    backend = "spool"
    redelivery = 2.0

    def start(self) -> None:
        self._folder = TemporaryDirectory(prefix="spool-")
        self.url = f"{self._folder.name}/spool.db"

    def stop(self) -> None:
        self._folder.cleanup()

    def settings(self, namespace: str) -> dict[str, Any]:
        return {"spool": {"path": self.url, "again": self.redelivery}}

    def versions(self) -> dict[str, str]:
        return {"SQLite": sqlite3.sqlite_version}
