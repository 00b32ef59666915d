"""The Celery app of an app that has none of its own."""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from mageflow_celery.settings import CelerySettings
from mageflow_core.settings import Settings

HIGHEST = 9  # priority
SWEEP = 10  # seconds, at most, between two looks for what was not acknowledged in time


def make_app(said: CelerySettings, settings: Settings) -> Celery:
    """It connects to nothing yet."""
    default = said.queue or f"{settings.namespace}.celery"
    app = Celery("mageflow", broker=said.url, set_as_current=False)
    app.conf.update(
        task_default_queue=default,
        task_queues=[_queue(name, said) for name in said.serves or (default,)],
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_pool=said.pool,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # claims tell duplicates apart
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options=_transport_options(said),
        **_queue_options(said),
    )
    return app


def _queue(name: str, said: CelerySettings) -> Queue:
    arguments: dict[str, Any] = {}
    if said.kind == "rabbitmq":
        arguments["x-queue-type"] = said.queue_type
        if said.queue_type == "classic":
            arguments["x-max-priority"] = HIGHEST
    return Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments)


def _queue_options(said: CelerySettings) -> dict[str, Any]:
    """For queues that nobody has described: the same as above."""
    if said.kind != "rabbitmq":
        return {}
    options: dict[str, Any] = {
        "task_default_queue_type": said.queue_type,
        "task_create_missing_queue_type": said.queue_type,
    }
    if said.queue_type == "classic":
        options["task_queue_max_priority"] = HIGHEST
    return options


def _transport_options(said: CelerySettings) -> dict[str, Any]:
    if said.kind != "redis":
        return {}
    return {
        "visibility_timeout": said.redeliver_after,
        # By default it looks every hundred seconds.
        "unacked_restore_interval": max(1, min(SWEEP, int(said.redeliver_after / 4))),
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "queue_order_strategy": "round_robin",
    }
