"""How jobs get to the broker, over one connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from amqp.exceptions import MessageNacked
from celery import Celery
from celery.exceptions import QueueNotFound
from kombu.exceptions import BatchPublishError, OperationalError

from mageflow_celery.brokers import Broker


class Outgoing(NamedTuple):
    """A message of one job. queue: by default the one that the app itself routes its task to."""

    name: str
    id: str
    headers: Mapping[str, str]
    queue: str | None
    priority: int | None


class Publisher:
    """Does what the app's `send_task` does, signals and events included, with what is the same for
    all jobs looked up once: they have no arguments, and no results. Several go out together where
    the broker can take them so. Not to be used by two threads at once. timeout: seconds that the
    broker may be silent."""

    def __init__(self, app: Celery, broker: Broker, connection: Any, timeout: float) -> None:
        self._app = app
        self._amqp = app.amqp
        self._sends_event = bool(app.conf.task_send_sent_event)
        self._declared: set[str] = set()
        self._lost = (
            OSError,
            OperationalError,
            *connection.recoverable_connection_errors,
            *connection.recoverable_channel_errors,
        )
        self._producer = self._amqp.Producer(connection, auto_declare=False)
        self._broker = broker
        self._timeout = timeout
        broker.quicken(self._producer.channel)

    def is_lost(self, error: BaseException | None) -> bool:
        """Whether it is one of the connection, which says nothing of the message."""
        return isinstance(error, self._lost) and not isinstance(error, QueueNotFound)

    def publish(self, messages: Sequence[Outgoing]) -> list[Exception | None]:
        """For each an error, or `None`. From the first one on at which the connection is lost all
        have its error; of those that went out together it is not known which have arrived."""
        found: list[Exception | None] = []
        try:
            with self._broker.together(self._producer, len(messages), self._timeout):
                for message in messages:
                    try:
                        self._publish(message)
                    except Exception as error:  # noqa: BLE001 - of whatever library the broker uses
                        if self.is_lost(error):
                            return [*found, *[error] * (len(messages) - len(found))]
                        found.append(error)
                    else:
                        found.append(None)
        except BatchPublishError as error:
            cause = error.__cause__
            lost = cause if isinstance(cause, Exception) else error
            return [each or lost for each in found]
        except MessageNacked as error:
            return [each or error for each in found]
        return found

    def _publish(self, message: Outgoing) -> None:
        said: dict[str, Any] = {}
        if message.queue is not None:
            said["queue"] = message.queue
        if message.priority is not None:
            said["priority"] = message.priority
        routed = self._amqp.router.route(said, message.name, (), {}, None)
        queue = getattr(routed.get("queue"), "name", None)
        if queue in self._declared:
            routed["declare"] = ()
        made = self._amqp.create_task_message(
            message.id,
            message.name,
            (),
            {},
            argsrepr="()",
            kwargsrepr="{}",
            ignore_result=True,
            create_sent_event=self._sends_event,
        )
        self._amqp.send_task_message(
            self._producer,
            message.name,
            made,
            headers=dict(message.headers),
            serializer="json",
            retry=False,
            **routed,
        )
        if queue is not None:
            self._declared.add(queue)
