"""`mageflow doctor` and `mageflow backends`."""

import json
from collections.abc import Callable
from importlib.metadata import version
from subprocess import CompletedProcess
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from mageflow.cli import app, backends, doctor
from mageflow_core.settings import Settings

Command = Callable[..., CompletedProcess[str]]


def examined(command: Command, code: int, **variables: str) -> dict[str, Any]:
    ran = command("doctor", "--json", **variables)
    assert ran.returncode == code, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def wrong(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in found["checks"] if not check["ok"]]


def test_a_healthy_installation_ends_with_zero(command: Command) -> None:
    found = examined(command, 0)
    assert found["ok"] is True
    assert wrong(found) == []
    names = [check["name"] for check in found["checks"]]
    assert names == [
        "versions",
        "settings",
        "backend asyncio",
        "store memory",
        "a flow on asyncio and memory://",
        "what is stored",
    ]


def test_it_says_what_the_store_does_not_promise(command: Command) -> None:
    details = {check["name"]: check["detail"] for check in examined(command, 0)["checks"]}
    assert details["what is stored"] == "is kept until this process ends"


def test_it_shows_each_setting_and_where_it_comes_from(command: Command) -> None:
    settings = examined(command, 0, MAGEFLOW_SLOTS="7")["settings"]
    assert set(settings) == set(Settings.model_fields)
    assert settings["slots"] == {
        "value": 7,
        "from": "the environment variable MAGEFLOW_SLOTS",
    }
    assert settings["backend"] == {"value": "asyncio", "from": "default"}


def test_for_people_it_prints_the_same_as_tables(command: Command) -> None:
    ran = command("doctor")
    assert ran.returncode == 0, ran.stderr
    assert f"mageflow {version('mageflow')}" in ran.stdout
    assert "WRONG" not in ran.stdout
    assert "default_timeout" in ran.stdout


def test_a_wrong_setting_is_found_and_the_rest_is_looked_at(command: Command) -> None:
    (problem,) = wrong(examined(command, 1, MAGEFLOW_SLOTS="many"))
    assert problem["name"] == "settings"
    assert (
        "slots cannot be 'many' (in the environment variable MAGEFLOW_SLOTS)" in problem["detail"]
    )


def test_a_backend_that_is_not_installed_is_found_with_what_to_do(command: Command) -> None:
    (problem,) = wrong(examined(command, 1, MAGEFLOW_BACKEND="celery"))
    assert problem["name"] == "a flow on celery and memory://"
    assert "no backend 'celery' is installed; installed: asyncio" in problem["detail"]
    assert "pip install mageflow-celery==" in problem["detail"]


def test_a_store_that_is_not_installed_is_found_and_its_password_is_not_shown(
    command: Command,
) -> None:
    ran = command("doctor", MAGEFLOW_STORE="nostore://user:secret@host/0")
    assert ran.returncode == 1
    assert "WRONG" in ran.stdout
    assert "secret" not in ran.stdout + ran.stderr


def test_parts_of_different_versions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "version", lambda _: "0.0.1")
    ran = CliRunner().invoke(app, ["doctor"])
    assert ran.exit_code == 1
    assert "install one version of both" in " ".join(ran.stdout.split())


def test_an_adapter_that_does_not_load_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise ImportError("no module named 'engine'")

    monkeypatch.setattr(doctor, "load", broken)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 1
    found = wrong(json.loads(ran.stdout))
    assert [check["name"] for check in found] == ["backend asyncio", "store memory"]
    assert "reinstall or remove mageflow-core" in found[0]["detail"]


def test_a_flow_that_gives_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(question: int) -> int:
        return question + 1

    monkeypatch.setattr(doctor, "_answer", answer)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    (problem,) = wrong(json.loads(ran.stdout))
    assert problem["detail"] == "gave 2 in place of 1; please report this"


def test_a_flow_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.0)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 1
    (problem,) = wrong(json.loads(ran.stdout))
    assert "within 0 s" in problem["detail"]


def test_backends_are_listed_with_their_capabilities(command: Command) -> None:
    ran = command("backends", "--json")
    assert ran.returncode == 0, ran.stderr
    (asyncio,) = json.loads(ran.stdout)
    assert asyncio["name"] == "asyncio"
    assert asyncio["distribution"] == "mageflow-core"
    assert asyncio["version"] == version("mageflow-core")
    assert asyncio["problem"] is None
    assert asyncio["capabilities"]["embedded"] is True


def test_for_people_backends_are_a_table(command: Command) -> None:
    ran = command("backends")
    assert ran.returncode == 0
    assert "asyncio" in ran.stdout
    assert "embedded" in ran.stdout


def test_a_backend_that_does_not_load_is_listed_with_its_problem(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(_: str) -> NoReturn:
        raise ImportError("no module named 'engine'")

    monkeypatch.setattr(backends, "load_backend", broken)
    ran = CliRunner().invoke(app, ["backends", "--json"])
    assert ran.exit_code == 1
    (asyncio,) = json.loads(ran.stdout)
    assert asyncio["capabilities"] is None
    assert asyncio["problem"] == "ImportError: no module named 'engine'"
    for_people = CliRunner().invoke(app, ["backends"])
    assert "does not load" in " ".join(for_people.stdout.split())
