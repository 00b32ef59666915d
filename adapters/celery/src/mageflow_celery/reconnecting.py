"""A worker of Celery's whose broker goes away while it has work."""

from __future__ import annotations

import warnings
from typing import Any

from celery.exceptions import CPendingDeprecationWarning


def outlive_lost_connections(consumer: Any) -> None:
    """Have this consumer connect again, whatever it has not acknowledged when its connection is
    lost.

    A channel of kombu's for Redis which Celery has cleaned up after that cannot connect any more,
    and says so by an `AttributeError`: whoever then puts back or acknowledges a message by it, ends
    the worker. It is to say that the connection is lost, for which Celery is prepared.
    """
    clean_up = consumer.on_connection_error_after_connected

    def on_connection_error_after_connected(error: Exception) -> None:
        channel: Any = getattr(consumer.task_consumer, "channel", None)
        if hasattr(channel, "_connparams"):
            channel._connparams = _lost  # noqa: SLF001 - there is no other place
        with warnings.catch_warnings():  # that what runs goes on is as it is to be
            warnings.simplefilter("ignore", CPendingDeprecationWarning)
            clean_up(error)

    consumer.on_connection_error_after_connected = on_connection_error_after_connected


def _lost(*_: Any, **__: Any) -> Any:
    raise ConnectionError("the connection that the message came by was lost")
