"""What the settings say of the Celery app that is made, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery

from mageflow_celery import CeleryBackend, CelerySettings
from mageflow_celery.brokers import RabbitMQ, Redis, broker_of, general_warnings
from mageflow_celery.making import make_app
from mageflow_core import Mageflow
from mageflow_core.backends import Job
from mageflow_core.errors import ConfigurationError, SettingsError
from mageflow_core.settings import Settings

REDIS = "redis://127.0.0.1:9/0"


def app_of(**celery: Any) -> Celery:
    settings = Settings.load(namespace="shop", celery=celery)
    return make_app(settings.of("celery", CelerySettings), settings)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (REDIS, Redis),
        ("rediss://host/0", Redis),
        ("amqp://guest:guest@host/", RabbitMQ),
        ("amqps://host/", RabbitMQ),
    ],
)
def test_the_url_says_which_broker_it_is(url: str, kind: type[object]) -> None:
    assert type(broker_of(app_of(url=url), own=True)) is kind


def test_queues_have_the_namespace_in_their_names() -> None:
    assert list(app_of(url=REDIS).amqp.queues) == ["shop.celery"]
    served = app_of(url=REDIS, queue="all", serves=["fast", "slow"])
    assert list(served.amqp.queues) == ["fast", "slow"]
    assert served.conf.task_default_queue == "all"


def test_nothing_is_kept_or_run_twice_by_celery_itself() -> None:
    conf = app_of(url=REDIS, redeliver_after=40).conf
    assert conf.result_backend is None
    assert conf.task_ignore_result
    assert conf.task_acks_late
    assert conf.worker_prefetch_multiplier == 1
    assert conf.accept_content == ["json"]
    options = conf.broker_transport_options
    assert options["visibility_timeout"] == 40
    assert options["unacked_restore_interval"] * options["unacked_restore_throttle"] <= 10


def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_BACKEND", "celery")
    monkeypatch.setenv("MAGEFLOW_STORE", REDIS)
    monkeypatch.setenv("MAGEFLOW_CELERY_URL", "amqp://host")
    monkeypatch.setenv("MAGEFLOW_CELERY_SERVES", "fast, slow")
    app = Mageflow(warn_unclosed=False)
    assert isinstance(app.native, Celery)
    assert list(app.native.amqp.queues) == ["fast", "slow"]


@pytest.mark.parametrize(
    ("celery", "why"),
    [
        ({"url": "localhost:6379"}, "has to begin with one of redis://"),
        ({"url": "sqs://host"}, "has to begin with one of redis://"),
        ({"url": REDIS, "pool": "gevent"}, "celery.pool cannot be 'gevent'"),
        ({"redeliver_after": 0}, "celery.redeliver_after cannot be 0"),
        ({"processes": 0}, "celery.processes cannot be 0"),
        ({"serves": []}, "celery.serves cannot be"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_and_says_why(celery: dict[str, Any], why: str) -> None:
    settings = Settings.load(namespace="shop", celery=celery)
    with pytest.raises(SettingsError, match=why):
        CeleryBackend.from_settings(settings)


@pytest.mark.parametrize(
    ("url", "queue_type", "expected"),
    [
        (REDIS, "quorum", [0, 3, 9]),
        ("amqp://h", "quorum", [None] * 3),
        ("amqp://h", "classic", [9, 5, 1]),
    ],
)
def test_priorities_are_those_of_the_broker(
    url: str, queue_type: str, expected: list[int | None]
) -> None:
    broker = broker_of(app_of(url=url, queue_type=queue_type), own=True)
    jobs = [Job("0" * 32, 1, 1, "work", "celery", None, each) for each in ("high", None, "low")]
    assert [broker.priority(job) for job in jobs] == expected
    assert broker.caps.priority is (expected[0] is not None)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("task_always_eager", True), ("task_protocol", 1), ("accept_content", ["pickle"])],
)
def test_an_app_whose_workers_would_never_see_a_job_is_refused(setting: str, value: Any) -> None:
    native = Celery("other", broker=REDIS, set_as_current=False)
    native.conf[setting] = value
    with pytest.raises(ConfigurationError, match=setting):
        Mageflow(native, store=REDIS, warn_unclosed=False)


def test_what_doubles_or_holds_up_work_is_named_with_its_setting() -> None:
    native = Celery("shop", broker=REDIS, set_as_current=False)
    native.conf.broker_transport_options = {"visibility_timeout": 30}
    native.conf.task_time_limit = 60
    said = [
        *broker_of(native, own=False).warnings(),
        *general_warnings(native, own=False),
    ]
    assert [text.partition(" ")[0].partition("=")[0] for text in said] == [
        "visibility_timeout",
        "worker_prefetch_multiplier",
        "task_time_limit",
    ]


def test_of_an_app_of_its_own_nothing_is_wrong() -> None:
    for url in (REDIS, "amqp://host"):
        app = app_of(url=url, redeliver_after=5)
        assert list(broker_of(app, own=True).warnings()) == []
        assert list(general_warnings(app, own=True)) == []


def test_an_app_around_is_left_as_it_is() -> None:
    native = Celery("shop", broker=REDIS, set_as_current=False)
    before = dict(native.conf)
    backend = Mageflow(native, store=REDIS, warn_unclosed=False).native
    assert backend is native
    assert dict(native.conf) == before
