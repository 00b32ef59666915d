"""Real servers on this machine's loopback, for tests that kill, freeze and restart them."""

from mageflow_conformance.servers.aio import Aio
from mageflow_conformance.servers.cluster import RedisCluster
from mageflow_conformance.servers.errors import MissingServer, ServerFailed
from mageflow_conformance.servers.hatchet import HatchetServer
from mageflow_conformance.servers.local import LocalServer
from mageflow_conformance.servers.nats import NatsServer
from mageflow_conformance.servers.postgres import PostgresServer
from mageflow_conformance.servers.rabbit import RabbitServer
from mageflow_conformance.servers.redis import RedisServer
from mageflow_conformance.servers.replica import RedisReplica
from mageflow_conformance.servers.requiring import require_nats, require_rabbit, require_redis
from mageflow_conformance.servers.wire import Wire, WireError

__all__ = [
    "Aio",
    "HatchetServer",
    "LocalServer",
    "MissingServer",
    "NatsServer",
    "PostgresServer",
    "RabbitServer",
    "RedisCluster",
    "RedisReplica",
    "RedisServer",
    "ServerFailed",
    "Wire",
    "WireError",
    "require_nats",
    "require_rabbit",
    "require_redis",
]
