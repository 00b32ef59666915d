"""The kinds of brokers. Those that are extras are imported where they are used only."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

from taskiq import AsyncBroker
from taskiq_redis import (
    ListQueueBroker,
    ListQueueClusterBroker,
    ListQueueSentinelBroker,
    PubSubBroker,
    PubSubSentinelBroker,
    RedisStreamBroker,
    RedisStreamClusterBroker,
    RedisStreamSentinelBroker,
)

from mageflow_core.errors import ConfigurationError
from mageflow_core.settings import Settings
from mageflow_taskiq.engines.engine import Engine
from mageflow_taskiq.engines.lists import ListBroker, ListEngine
from mageflow_taskiq.engines.redis import ChannelEngine
from mageflow_taskiq.engines.streams import StreamBroker, StreamEngine
from mageflow_taskiq.settings import TaskiqSettings

__all__ = ["Engine", "engine_of", "make_broker"]

GROUP = "mageflow"
ON_REDIS: tuple[tuple[tuple[type[AsyncBroker], ...], type[Engine]], ...] = (
    ((RedisStreamBroker, RedisStreamClusterBroker, RedisStreamSentinelBroker), StreamEngine),
    ((ListQueueBroker, ListQueueClusterBroker, ListQueueSentinelBroker), ListEngine),
    ((PubSubBroker, PubSubSentinelBroker), ChannelEngine),
)
EXTRAS = {  # what has to be installed, and what of it is imported
    "rabbitmq": ("taskiq-aio-pika", {"taskiq_aio_pika", "aio_pika"}),
    "nats": ("taskiq-nats", {"taskiq_nats", "nats"}),
}


def make_broker(said: TaskiqSettings, settings: Settings) -> AsyncBroker:
    """The broker of these settings; it connects to nothing yet. Raises `ConfigurationError` where
    what it needs is not installed."""
    queue = said.queue or f"{settings.namespace}.taskiq"
    serves = said.serves or (queue,)
    broker: AsyncBroker
    if said.kind == "rabbitmq":
        broker = _extra("rabbitmq").RabbitBroker(
            said.url,
            queue=queue,
            serves=serves,
            queue_type=said.queue_type,
            qos=settings.slots,
        )
    elif said.kind == "nats":
        broker = _extra("nats").JetStreamBroker(
            said.url, queue=queue, redeliver_after=said.redeliver_after
        )
    else:
        options: dict[str, Any] = {
            "queue_name": queue,
            "serves": serves,
            "socket_connect_timeout": 5,
            "socket_timeout": 10,
        }
        if said.kind == "redis-stream":
            idle = round(said.redeliver_after * 1000)
            options |= {"consumer_group_name": GROUP, "idle_timeout": idle}
        kind = StreamBroker if said.kind == "redis-stream" else ListBroker
        broker = kind(said.url, **options)
    return broker


def engine_of(broker: AsyncBroker) -> Engine:
    """What is known of the kind of this broker."""
    for kinds, engine in ON_REDIS:
        if isinstance(broker, kinds):
            return engine(broker)
    of = {each.__module__.partition(".")[0] for each in type(broker).__mro__}
    if "taskiq_aio_pika" in of:
        rabbit: Engine = _extra("rabbitmq").RabbitEngine(broker)
        return rabbit
    if "taskiq_nats" in of:
        nats: Engine = _extra("nats").JetStreamEngine(broker)
        return nats
    return Engine(broker)


def _extra(name: str) -> Any:
    try:
        return import_module(f"mageflow_taskiq.engines.{name}")
    except ModuleNotFoundError as error:
        package, modules = EXTRAS[name]
        if (error.name or "").partition(".")[0] in modules:
            raise ConfigurationError(
                f"{package} is not installed: pip install 'mageflow-taskiq[{name}]"
                f"=={version('mageflow-taskiq')}' brings it"
            ) from error
        raise
