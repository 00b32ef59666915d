"""A replica of a Redis server, which can take its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mageflow_conformance.servers.errors import ServerFailed
from mageflow_conformance.servers.ports import HOST
from mageflow_conformance.servers.redis import RedisServer, quoted
from mageflow_conformance.servers.wire import WireError
from mageflow_conformance.waiting import eventually_sync

SYNCED = 20.0  # seconds


@dataclass(kw_only=True, eq=False)
class RedisReplica(RedisServer):
    """Follows `of`, which has to run when this one is started, until it is promoted.

    Replication is asynchronous, as it is in Redis: `catch_up()` waits until it has everything.
    """

    of: RedisServer
    _promoted: bool = field(default=False, init=False)

    def _lines(self) -> Iterator[str]:
        yield from super()._lines()
        if not self._promoted:
            yield f"replicaof {HOST} {self.of.port}"
        if self.of.password is not None:
            yield f"masterauth {quoted(self.of.password)}"

    def start(self) -> None:
        """Returns when it has a first copy of what it follows."""
        super().start()
        if not self._promoted:
            eventually_sync(self.is_linked, within=SYNCED, about="a replica that is in sync")

    def is_linked(self) -> bool:
        try:
            return self.info("replication").get("master_link_status") == "up"
        except (OSError, WireError):
            return False

    def catch_up(self) -> None:
        """Returns when it has all that its master had when this was called."""
        if self._promoted:
            raise ServerFailed("this replica was promoted: there is nothing to catch up with")
        wanted = int(self.of.info("replication")["master_repl_offset"])

        def has_all() -> bool:
            return int(self.info("replication")["slave_repl_offset"]) >= wanted

        eventually_sync(has_all, within=SYNCED, about="a replica that has everything")

    def promote(self) -> None:
        """Make it a master of its own, which it stays over restarts."""
        self.call("REPLICAOF", "NO", "ONE")
        self._promoted = True
