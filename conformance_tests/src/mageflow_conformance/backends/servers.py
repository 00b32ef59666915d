"""Harnesses of engines that are servers, which the suite starts itself."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, ClassVar

from mageflow_conformance.backends.harness import Harness
from mageflow_conformance.servers import LocalServer


class ServerHarness(Harness):
    """server_class, server_options: the engine, as one of `mageflow_conformance.servers`, and how
    it is made. packages: the distributions that its client is of. server: made anew by each
    harness; worker processes only know where it is."""

    server_class: ClassVar[type[LocalServer]]
    server_options: ClassVar[Mapping[str, Any]] = {}
    packages: ClassVar[tuple[str, ...]] = ()

    server: LocalServer | None = None

    def start(self) -> None:
        self.server = self.server_class(**self.server_options)
        self.server.start()
        self.url = self.server.url

    def stop(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def down(self) -> None:
        server = self._started()
        server.settle()
        server.kill()

    def up(self) -> None:
        self._started().start()

    def _started(self) -> LocalServer:
        if self.server is None:
            raise LookupError(f"{self.name}: the engine is restarted where it was started")
        return self.server

    @property
    def restarts(self) -> bool:
        return True

    def versions(self) -> dict[str, str]:
        found = {package: version(package) for package in self.packages}
        if self.server is not None:
            found[self.server.kind] = self.server.version
        return found
