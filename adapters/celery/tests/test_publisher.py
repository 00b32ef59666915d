"""Jobs on their way to a broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from amqp.exceptions import MessageNacked
from celery import Celery, signals
from celery.exceptions import QueueNotFound
from kombu import Exchange, Queue

from mageflow_celery.brokers import broker_of
from mageflow_celery.lanes import Lane
from mageflow_celery.making import make_app
from mageflow_celery.publisher import Outgoing
from mageflow_celery.settings import CelerySettings
from mageflow_conformance.servers import RabbitServer, RedisServer
from mageflow_core.settings import Settings

HEADERS = {"mf-key": "0" * 32, "mf-ns": "shop"}
SECONDS = 10.0


def out(number: int, queue: str | None = None) -> Outgoing:
    return Outgoing("mageflow:work", f"id-{number}", HEADERS, queue, None)


def lane_of(app: Celery, *, own: bool = True) -> Lane:
    return Lane(app, broker_of(app, own=own), SECONDS)


@pytest.fixture(params=["redis", "rabbit"])
def app(request: pytest.FixtureRequest, namespace: str) -> Iterator[Celery]:
    settings = CelerySettings(url=request.getfixturevalue(request.param).url)
    app = make_app(settings, Settings.load(backend="asyncio", namespace=namespace))
    yield app
    app.close()


def taken(app: Celery, count: int) -> list[Any]:
    """What is in the default queue."""
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        found = [channel.basic_get(app.conf.task_default_queue, no_ack=True) for _ in range(count)]
    messages = [each for each in found if each is not None]
    assert len(messages) == count
    return messages


def said(message: Any) -> dict[str, Any]:
    """Without what is new each time, and the address for a result, which a job has not."""
    properties = {**message.properties, "reply_to": None, "delivery_tag": None}
    return {
        "content": (message.content_type, message.content_encoding),
        "body": json.loads(message.body),
        "headers": message.headers,
        **properties,
    }


@pytest.mark.parametrize("count", [1, 3])
def test_a_job_is_sent_as_celery_itself_would_send_it(app: Celery, count: int) -> None:
    # Given what Celery's own method sends
    app.send_task(
        "mageflow:work", task_id="id-1", headers=HEADERS, ignore_result=True, add_to_parent=False
    )
    # When a job is sent, alone and with others
    told: list[Any] = []

    def tell(sender: Any = None, headers: Any = None, **_: Any) -> None:
        told.append((sender, headers["id"]))

    signals.after_task_publish.connect(tell)
    lane = lane_of(app)
    try:
        sent = lane.call(lambda: lane.send([out(n + 1) for n in range(count)])).result(SECONDS)
    finally:
        signals.after_task_publish.disconnect(tell)
        lane.end()
    # Then it is the same message, and who listens to Celery hears of each
    assert sent == [None] * count
    first, second, *_ = taken(app, count + 1)
    assert said(second) == said(first)
    assert told == [("mageflow:work", f"id-{n + 1}") for n in range(count)]


def test_a_job_that_cannot_be_routed_is_told_of_and_holds_up_no_other(app: Celery) -> None:
    # Given an app that makes no queues of its own accord
    app.conf.task_create_missing_queues = False
    lane = lane_of(app)
    # When one of three jobs is for a queue that it does not have
    jobs = [out(1), out(2, "nowhere"), out(3)]
    first, second, third = lane.call(lambda: lane.send(jobs)).result(SECONDS)
    lane.end()
    # Then the others are there
    assert (first, third) == (None, None)
    assert isinstance(second, QueueNotFound)
    assert [message.headers["id"] for message in taken(app, 2)] == ["id-1", "id-3"]


@pytest.mark.parametrize("has_sent", [False, True], ids=["opened", "has-sent"])
@pytest.mark.parametrize("count", [1, 3])
def test_an_old_connection_is_made_anew(has_sent: bool, count: int) -> None:
    # Given a lane with a connection, to a broker that is restarted then
    with RedisServer() as server:
        app = make_app(
            CelerySettings(url=server.url), Settings.load(backend="asyncio", namespace="old")
        )
        lane = lane_of(app)
        lane.call(lane.connection).result(SECONDS)
        if has_sent:
            assert lane.call(lambda: lane.send([out(0), out(0)])).result(SECONDS) == [None] * 2
        server.restart()
        # When jobs are sent
        jobs = [out(n) for n in range(count)]
        sent = lane.call(lambda: lane.send(jobs)).result(SECONDS)
        lane.end()
        # Then they have arrived
        assert sent == [None] * count
        wanted = [f"id-{n}" for n in range(count)]
        assert [message.headers["id"] for message in taken(app, count)][-count:] == wanted
        app.close()


def test_jobs_that_go_out_together_fail_together_where_nobody_takes_them() -> None:
    with RedisServer() as server:
        app = make_app(
            CelerySettings(url=server.url), Settings.load(backend="asyncio", namespace="gone")
        )
        lane = lane_of(app)
        assert lane.call(lambda: lane.send([out(0), out(1)])).result(SECONDS) == [None] * 2
        server.kill()
        errors = lane.call(lambda: lane.send([out(2), out(3)])).result(30)
        lane.end()
        assert [type(error).__name__ for error in errors] == ["ConnectionError"] * 2


def test_jobs_count_as_sent_when_rabbitmq_has_confirmed_all_of_them(namespace: str) -> None:
    # Given a RabbitMQ that does not answer for a while
    with RabbitServer() as server:
        app = make_app(
            CelerySettings(url=server.url), Settings.load(backend="asyncio", namespace=namespace)
        )
        lane = lane_of(app)
        assert lane.call(lambda: lane.send([out(0)])).result(SECONDS) == [None]
        server.pause()
        try:
            # When jobs are sent
            sending = lane.call(lambda: lane.send([out(n) for n in range(1, 4)]))
            # Then they do not count as sent
            with pytest.raises(TimeoutError):
                sending.result(0.5)
        finally:
            server.resume()
        # Before it has them
        assert sending.result(SECONDS) == [None] * 3
        lane.end()
        wanted = [f"id-{n}" for n in range(4)]
        assert [message.headers["id"] for message in taken(app, 4)] == wanted
        app.close()


def test_jobs_that_rabbitmq_refuses_are_told_of(rabbit: RabbitServer, namespace: str) -> None:
    # Given a queue that takes one message
    app = Celery("full", broker=rabbit.url, set_as_current=False)
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    app.conf.task_queues = [
        Queue(name, Exchange(name), routing_key=name, queue_arguments=arguments)
        for name, arguments in ((namespace, limits), (f"{namespace}-free", {}))
    ]
    lane = lane_of(app, own=False)
    # When several are sent there
    jobs = [out(n, namespace) for n in range(3)]
    errors = lane.call(lambda: lane.send(jobs)).result(SECONDS)
    # Then each may have been refused
    assert [type(error) for error in errors] == [MessageNacked] * 3
    # And the next ones, elsewhere, are not
    free = [out(n, f"{namespace}-free") for n in range(2)]
    assert lane.call(lambda: lane.send(free)).result(SECONDS) == [None] * 2
    lane.end()
    app.close()
