"""A Redis Cluster of a few servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from mageflow_conformance.servers.ports import HOST, free_port_pair
from mageflow_conformance.servers.redis import Persistence, RedisServer, quoted
from mageflow_conformance.servers.wire import WireError
from mageflow_conformance.waiting import eventually_sync

SLOTS = 16_384
FORMED = 30.0  # seconds


@dataclass(kw_only=True, eq=False)
class ClusterNode(RedisServer):
    """Knows the others by the file that it writes, also after a restart."""

    node_timeout: float

    def _free_port(self) -> int:
        return free_port_pair()

    def _lines(self) -> Iterator[str]:
        yield from super()._lines()
        yield "cluster-enabled yes"
        yield "cluster-config-file nodes.conf"
        yield f"cluster-node-timeout {int(self.node_timeout * 1_000)}"
        yield "cluster-allow-replica-migration no"
        if self.password is not None:
            yield f"masterauth {quoted(self.password)}"

    @property
    def id(self) -> str:
        return str(self.call("CLUSTER", "MYID"))

    def follow(self, master: ClusterNode) -> None:
        """Become its replica, once it is heard of."""
        master_id = master.id

        def told() -> bool:
            try:
                return bool(self.call("CLUSTER", "REPLICATE", master_id) == "OK")
            except WireError:  # a node that it does not know yet
                return False

        eventually_sync(told, within=FORMED, about="a replica in a Redis Cluster")
        eventually_sync(self.is_linked, within=FORMED, about="a replica that is in sync")

    def is_linked(self) -> bool:
        return self.info("replication").get("master_link_status") == "up"

    def take_over(self) -> None:
        """A replica takes the place of its master, which may be gone."""
        self.call("CLUSTER", "FAILOVER", "TAKEOVER")

    def is_formed(self, size: int) -> bool:
        """Whether it sees all nodes, and every slot served."""
        try:
            lines = str(self.call("CLUSTER", "INFO")).splitlines()
        except (OSError, WireError):
            return False
        info = {name: value for name, _, value in (line.partition(":") for line in lines)}
        return info["cluster_state"] == "ok" and info["cluster_known_nodes"] == str(size)


@dataclass(kw_only=True, eq=False)
class RedisCluster:
    """Masters that share all slots evenly, each with `replicas` replicas.

    node_timeout: seconds after which the others take a silent node for failed, and after about
    another one of its replicas takes its place. Other options are those of `RedisServer`.
    """

    masters: int = 3
    replicas: int = 0
    persistence: Persistence = "none"
    password: str | None = None
    node_timeout: float = 2.0
    nodes: list[ClusterNode] = field(default_factory=list, init=False)

    @property
    def url(self) -> str:
        """Of the first node, which tells of the others."""
        return self.nodes[0].url

    # --- its life -----------------------------------------------------------------------------
    def start(self) -> None:
        """Returns when all nodes know each other and every slot is served."""
        fresh = not self.nodes
        if fresh:
            count = self.masters * (1 + self.replicas)
            self.nodes = [
                ClusterNode(
                    persistence=self.persistence,
                    password=self.password,
                    node_timeout=self.node_timeout,
                )
                for _ in range(count)
            ]
        self._each(RedisServer.start)
        if fresh:
            self._form()
        self.wait_formed()

    def _form(self) -> None:
        masters, others = self.nodes[: self.masters], self.nodes[self.masters :]
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for number, node in enumerate(masters):
            first, last = (SLOTS * n // self.masters for n in (number, number + 1))
            node.call("CLUSTER", "ADDSLOTS", *range(first, last))
        for node in self.nodes[1:]:
            node.call("CLUSTER", "MEET", HOST, self.nodes[0].port)
        for number, node in enumerate(others):
            node.follow(masters[number % self.masters])

    def wait_formed(self) -> None:
        size = len(self.nodes)
        eventually_sync(
            lambda: all(node.is_formed(size) for node in self.nodes),
            within=FORMED,
            about="a Redis Cluster that serves every slot",
        )

    def stop(self) -> None:
        self._each(RedisServer.stop)

    def kill(self) -> None:
        """All nodes at once."""
        self._each(RedisServer.kill)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        self._each(RedisServer.pause)

    def resume(self) -> None:
        self._each(RedisServer.resume)

    def close(self) -> None:
        self._each(RedisServer.close)
        self.nodes = []

    def _each(self, do: Callable[[RedisServer], None]) -> None:
        """On all nodes side by side; one that fails is told of when all have been asked."""
        with ThreadPoolExecutor(max(1, len(self.nodes))) as threads:
            list(threads.map(do, self.nodes))

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
