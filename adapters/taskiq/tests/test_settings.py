"""What the settings say of the broker that is made, and what is wrong with them."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest
from taskiq import AsyncBroker

from mageflow_conformance.backends.bench import Bench
from mageflow_core import Mageflow
from mageflow_core.errors import ConfigurationError, SettingsError
from mageflow_core.settings import Settings
from mageflow_taskiq import StreamBroker, TaskiqSettings
from mageflow_taskiq.engines import engine_of, make_broker
from mageflow_taskiq.engines.lists import ListBroker
from mageflow_taskiq.engines.nats import JetStreamBroker
from mageflow_taskiq.engines.rabbitmq import RabbitBroker

REDIS = "redis://127.0.0.1:9/0"


def broker_of(namespace: str = "shop", **taskiq: Any) -> Any:
    settings = Settings.load(namespace=namespace, taskiq=taskiq)
    return make_broker(settings.of("taskiq", TaskiqSettings), settings)


@pytest.mark.parametrize(
    ("url", "broker", "kind"),
    [
        (REDIS, None, StreamBroker),
        ("rediss://host/0", None, StreamBroker),
        (REDIS, "redis-stream", StreamBroker),
        (REDIS, "redis-list", ListBroker),
        ("amqp://guest:guest@host/", None, RabbitBroker),
        ("amqps://host/", "rabbitmq", RabbitBroker),
        ("nats://one:4222,nats://two:4222", None, JetStreamBroker),
    ],
)
def test_the_url_says_which_broker_is_made(
    url: str, broker: str | None, kind: type[AsyncBroker]
) -> None:
    assert type(broker_of(url=url, broker=broker)) is kind


def test_queues_have_the_namespace_in_their_names() -> None:
    assert broker_of(url=REDIS).queue_name == "shop.taskiq"
    assert broker_of(url=REDIS, broker="redis-list").served == ("shop.taskiq",)
    rabbit = broker_of(url="amqp://host")
    assert [queue.name for queue in rabbit._task_queues] == ["shop.taskiq"]
    assert rabbit._dead_letter_queue.name == "shop.taskiq.dead"
    nats = broker_of(url="nats://host")
    assert (nats.subject, nats.stream_name, nats.durable) == (
        "shop.taskiq",
        "shop_taskiq",
        "shop_taskiq",
    )


def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_BACKEND", "taskiq")
    monkeypatch.setenv("MAGEFLOW_STORE", REDIS)
    monkeypatch.setenv("MAGEFLOW_TASKIQ_URL", "amqp://host")
    monkeypatch.setenv("MAGEFLOW_TASKIQ_SERVES", "fast, slow")
    app = Mageflow(warn_unclosed=False)
    assert isinstance(app.native, RabbitBroker)
    assert [queue.name for queue in app.native._task_queues] == ["fast", "slow"]


@pytest.mark.parametrize(
    ("taskiq", "why"),
    [
        ({"url": "localhost:6379"}, "has to begin with one of redis://"),
        ({"url": "kafka://host"}, "has to begin with one of redis://"),
        ({"url": REDIS, "broker": "rabbitmq"}, "'rabbitmq', and the URL begins with redis://"),
        ({"url": REDIS, "broker": "pubsub"}, "taskiq.broker cannot be 'pubsub'"),
        ({"redeliver_after": 0}, "taskiq.redeliver_after cannot be 0"),
        ({"serves": []}, "taskiq.serves cannot be"),
        ({"quue": "x"}, "did you mean 'taskiq.queue'"),
        ({"url": "nats://host", "serves": ["a", "b"]}, "NATS serves one queue"),
        ({"url": REDIS, "queue": ""}, "taskiq.queue cannot be ''"),
    ],
)
def test_what_is_wrong_is_told(taskiq: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        broker_of(**taskiq)


def test_a_password_is_shown_nowhere() -> None:
    with pytest.raises(SettingsError) as told:
        broker_of(url="redis://:hush@host/0", broker="nats")
    assert "hush" not in str(told.value)
    for url in ("redis://:hush@host/0", "amqp://me:hush@host/", "nats://me:hush@host"):
        app = Mageflow(backend="taskiq", store=REDIS, taskiq={"url": url}, warn_unclosed=False)
        assert "hush" not in repr(app.settings) + repr(app)
        assert "hush" not in str(app.make_backend("taskiq")._unavailable(ValueError()))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("url", "packages", "extra"),
    [
        ("amqp://host", ("taskiq_aio_pika",), "rabbitmq"),
        ("amqp://host", ("taskiq_aio_pika", "aio_pika"), "rabbitmq"),
        ("nats://host", ("taskiq_nats", "nats"), "nats"),
    ],
)
def test_what_is_not_installed_is_told_with_the_command(
    url: str, packages: tuple[str, ...], extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given an installation without this extra
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.partition(".")[0] in packages:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *more)

    monkeypatch.delitem(sys.modules, f"mageflow_taskiq.engines.{extra}")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationError, match=rf"pip install 'mageflow-taskiq\[{extra}\]=="):
        broker_of(url=url)


def test_loading_the_adapter_imports_no_extra() -> None:
    import subprocess

    program = (
        "import sys, mageflow_taskiq; "
        "print([n for n in ('taskiq_aio_pika', 'taskiq_nats') if n in sys.modules])"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert said.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("taskiq", "has"),
    [
        ({"url": REDIS}, {"reports_waiting"}),
        ({"url": REDIS, "broker": "redis-list"}, {"reports_waiting"}),
        ({"url": "amqp://host"}, {"redelivers", "keeps_jobs", "reports_waiting"}),
        (
            {"url": "amqp://host", "queue_type": "classic"},
            {"redelivers", "keeps_jobs", "reports_waiting", "priority"},
        ),
        ({"url": "nats://host"}, {"keeps_jobs", "reports_waiting"}),
    ],
)
def test_what_it_can_do_depends_on_the_broker(taskiq: dict[str, Any], has: set[str]) -> None:
    caps = engine_of(broker_of(**taskiq)).caps
    depends = ("redelivers", "keeps_jobs", "priority", "reports_waiting")
    assert {name for name in depends if getattr(caps, name)} == has
    assert caps.late_registration
    assert caps.gives_back
    assert not caps.embedded


async def test_tasks_may_be_registered_while_it_serves(bench: Bench) -> None:
    app = bench.app()
    await bench.worker(app)

    @app.task
    async def late() -> int:
        return 1

    assert await (await app.start(late)).result(timeout=20) == 1
