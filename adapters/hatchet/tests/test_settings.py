"""What the settings say of the client that is made, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest
from hatchet_sdk import Hatchet

from mageflow_core import Mageflow
from mageflow_core.backends import Deliveries, Job
from mageflow_core.errors import ConfigurationError, SettingsError
from mageflow_core.settings import Settings
from mageflow_hatchet import HatchetBackend, HatchetSettings
from mageflow_hatchet.jobs import Jobs, metadata, portable_queue
from mageflow_hatchet.stub.server import token_of

TOKEN = token_of("127.0.0.1:9", "http://127.0.0.1:10", "very-secret")
VARIABLES = ("TOKEN", "HOST_PORT", "SERVER_URL", "TLS_STRATEGY", "NAMESPACE")


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"HATCHET_CLIENT_{name}", raising=False)


def config_of(**hatchet: Any) -> Any:
    settings = Settings.load(namespace="shop", hatchet=hatchet)
    return settings.of("hatchet", HatchetSettings).config()


def test_the_token_says_where_the_engine_is() -> None:
    config = config_of(token=TOKEN)
    assert (config.host_port, config.server_url) == ("127.0.0.1:9", "http://127.0.0.1:10")
    assert config.tls_config.strategy == "tls"


def test_what_is_set_stands_before_it() -> None:
    config = config_of(token=TOKEN, host_port="h:1", server_url="http://h:2", tls="none")
    assert (config.host_port, config.server_url) == ("h:1", "http://h:2")
    assert config.tls_config.strategy == "none"


def test_hatchets_own_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HATCHET_CLIENT_TOKEN", TOKEN)
    monkeypatch.setenv("HATCHET_CLIENT_TLS_STRATEGY", "none")
    config = config_of()
    assert config.token == TOKEN
    assert config.tls_config.strategy == "none"


def test_the_environment_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_BACKEND", "hatchet")
    monkeypatch.setenv("MAGEFLOW_STORE", "redis://127.0.0.1:9/0")
    monkeypatch.setenv("MAGEFLOW_HATCHET_TOKEN", TOKEN)
    monkeypatch.setenv("MAGEFLOW_HATCHET_SERVES", "fast, slow")
    app = Mageflow(warn_unclosed=False)
    assert isinstance(app.native, Hatchet)
    assert app.settings.of("hatchet", HatchetSettings).serves == ("fast", "slow")


@pytest.mark.parametrize(
    ("hatchet", "why"),
    [
        ({}, "has no token"),
        ({"token": "nonsense"}, "has settings that cannot be"),
        ({"token": "ey.nonsense.x"}, "has settings that cannot be"),
        ({"token": TOKEN, "tls": "some"}, "hatchet.tls cannot be 'some'"),
        ({"token": TOKEN, "serves": []}, "hatchet.serves cannot be"),
        ({"token": TOKEN, "colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_and_says_why(hatchet: dict[str, Any], why: str) -> None:
    with pytest.raises(SettingsError) as refused:
        config_of(**hatchet)
    assert why in str(refused.value)
    assert "nonsense" not in str(refused.value)


def test_a_token_is_never_shown() -> None:
    app = Mageflow(
        backend="hatchet", store="redis://h/0", hatchet={"token": TOKEN}, warn_unclosed=False
    )
    assert "very-secret" not in f"{app!r} {app.settings!r} {app.settings}"


def test_clients_of_others_are_left_to_others() -> None:
    assert HatchetBackend.wrap(object(), Settings.load()) is None


# --- jobs -----------------------------------------------------------------------------------------
JOB = Job("run1/3", 2, 1, "charge", "hatchet", None, None)


def jobs() -> Jobs:
    async def send(*_: Any) -> None: ...

    return Jobs(Hatchet(config=config_of(token=TOKEN)), Deliveries(send), "shop", send)


def test_a_job_is_a_run_of_its_tasks_workflow_without_input() -> None:
    request = jobs().request(JOB, metadata(JOB, "shop"))
    assert (request.name, request.input) == ("shop.charge", "{}")
    assert not request.parent_task_run_external_id
    assert '"mf-run": "run1"' in request.additional_metadata
    assert '"mf-key": "run1/3"' in request.additional_metadata


def test_hatchet_neither_retries_nor_ends_jobs() -> None:
    (step,) = jobs().definition("charge").tasks
    assert step.retries == 0
    assert (step.timeout, step.schedule_timeout) == ("8760h", "8760h")


@pytest.mark.parametrize(("priority", "said"), [(None, 2), ("low", 1), ("high", 3)])
def test_priorities_are_hatchets(priority: str | None, said: int) -> None:
    assert jobs().request(JOB._replace(priority=priority), {}).priority == said


def test_what_is_sent_again_of_a_task_unknown_here_goes_to_all() -> None:
    assert jobs().name(JOB._replace(send=2)) == "shop.mageflow.any"


@pytest.mark.parametrize("queue", ["Fast", "fast jobs", "FAST", "größer"])
def test_a_queues_name_that_hatchet_would_not_take_stays_its_own(queue: str) -> None:
    made = portable_queue(queue)
    assert made != portable_queue(queue.lower()) or queue == queue.lower()
    assert made.isascii()
    assert made == made.lower()
    assert portable_queue("fast") == "fast"


def test_options_that_hatchet_does_not_know_are_refused() -> None:
    app = Mageflow(
        backend="hatchet", store="redis://h/0", hatchet={"token": TOKEN}, warn_unclosed=False
    )
    from mageflow_core.backends import TaskSpec

    made = jobs()
    made.describe(
        TaskSpec(name="charge", fn=print, is_async=False, native={"hatchet": {"concurency": 3}}),
        None,
    )
    with pytest.raises(ConfigurationError, match=r"'charge'.*concurency"):
        made.workflow("charge")
    assert app.settings.namespace == "mageflow"
