"""`mageflow doctor` and `mageflow backends`."""

import json
from collections.abc import Callable
from importlib.metadata import version
from subprocess import CompletedProcess
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from mageflow.cli import app, backends, checks, trial
from mageflow_core.errors import SettingsError
from mageflow_core.loading import BACKENDS, STORES, installed
from mageflow_core.settings import Settings
from mageflow_core.stores.protocol import Finding

Command = Callable[..., CompletedProcess[str]]
Ran = Callable[..., Any]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "KEPT", 0.05)
    monkeypatch.setattr(trial, "EVERY", 0.01)


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
        *(f"backend {name}" for name in installed(BACKENDS)),
        *(f"store {name}" for name in installed(STORES)),
        "a flow on asyncio and memory://",
        "what is stored",
        "store: persistence",
    ]


def test_it_says_what_the_store_does_not_promise(command: Command) -> None:
    details = {check["name"]: check["detail"] for check in examined(command, 0)["checks"]}
    assert details["what is stored"] == "is kept until this process ends"
    assert "gone when this process ends" in details["store: persistence"]


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
    (problem,) = wrong(examined(command, 1, MAGEFLOW_BACKEND="temporal"))
    assert problem["name"] == "backend: temporal"
    there = ", ".join(installed(BACKENDS))
    assert f"no backend 'temporal' is installed; installed: {there}" in problem["detail"]
    assert "pip install mageflow-temporal==" in problem["detail"]


def test_a_store_that_is_not_installed_is_found_and_its_password_is_not_shown(
    command: Command,
) -> None:
    ran = command("doctor", MAGEFLOW_STORE="nostore://user:secret@host/0")
    assert ran.returncode == 1
    assert "WRONG" in ran.stdout
    assert "secret" not in ran.stdout + ran.stderr


def test_parts_of_different_versions_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "version", lambda _: "0.0.1")
    ran = CliRunner().invoke(app, ["doctor"])
    assert ran.exit_code == 1
    assert "install one version of both" in " ".join(ran.stdout.split())


def test_an_adapter_that_does_not_load_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> NoReturn:
        raise ImportError("no module named 'engine'")

    monkeypatch.setattr(checks, "load", broken)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 1
    found = wrong(json.loads(ran.stdout))
    plugins = {"backend": installed(BACKENDS), "store": installed(STORES)}
    expected = [f"{kind} {name}" for kind, names in plugins.items() for name in names]
    assert [check["name"] for check in found] == expected
    assert "reinstall or remove mageflow-core" in found[0]["detail"]


def test_a_flow_that_gives_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(question: int) -> int:
        return question + 1

    monkeypatch.setattr(trial, "answer", answer)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    (problem,) = wrong(json.loads(ran.stdout))
    assert problem["detail"] == "gave 2 in place of 1; please report this"


def test_a_flow_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "PATIENCE", 0.0)
    ran = CliRunner().invoke(app, ["doctor", "--json"])
    assert ran.exit_code == 1
    (problem,) = wrong(json.loads(ran.stdout))
    assert "within 0 s" in problem["detail"]


# --- on a store that is shared --------------------------------------------------------------------


def checked(ran: Ran, code: int, *arguments: str) -> dict[str, dict[str, Any]]:
    found = json.loads(ran(code, "doctor", "--json", *arguments).stdout)
    return {check["name"]: check for check in found["checks"]}


FLOW = "a flow on asyncio and double://user:***@host"


def test_a_check_has_these_keys(ran: Ran, shared: type[Any]) -> None:
    for check in checked(ran, 0).values():
        assert set(check) == {"name", "state", "ok", "detail"}
        assert check["ok"] is (check["state"] != "problem")


def test_a_flow_on_a_shared_store_leaves_it_as_it_was(ran: Ran, shared: type[Any]) -> None:
    # When the flow has run
    check = checked(ran, 0)[FLOW]
    # Then it was in a namespace of its own, which it names
    assert check["state"] == "ok"
    assert check["detail"] == "runs; it was in namespace mageflow.doctor, and is gone again"
    # And nothing is left in any
    assert set(shared.spaces) == {"mageflow", "mageflow.doctor"}
    assert all(not store.runs for store in shared.spaces.values())
    assert all(not store.live for store in shared.spaces.values())


def test_a_long_namespace_leaves_room_for_the_one_of_the_flow(ran: Ran, shared: type[Any]) -> None:
    checked(ran, 0, "--namespace", "n" * 128)
    assert set(shared.spaces) == {"n" * 128, "n" * 121 + ".doctor"}


def test_a_run_that_is_not_removed_is_warned_of(
    ran: Ran, shared: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a flow that is kept for longer than anybody waits
    monkeypatch.setattr(trial, "KEPT", 60.0)
    gone = trial._gone

    async def soon(*arguments: Any) -> bool:
        monkeypatch.setattr(trial, "KEPT", 0.0)
        monkeypatch.setattr(trial, "PATIENCE", 0.2)
        return await gone(*arguments)

    monkeypatch.setattr(trial, "_gone", soon)
    # When it has run, then that is said, and is no failure
    check = checked(ran, 0)[FLOW]
    assert check["state"] == "warning"
    assert "has not been removed" in check["detail"]


def test_what_the_store_says_of_itself_is_shown(ran: Ran, shared: type[Any]) -> None:
    # Given a store that is not as it should be
    shared.findings = [
        Finding(subject="version", state="ok", text="7.0.15"),
        Finding(subject="persistence", state="warning", text="none", advice="Set appendonly yes."),
    ]
    # When it is looked at
    found = checked(ran, 0)
    # Then a warning is shown with what to do, and is no failure
    assert found["store: version"] == {
        "name": "store: version",
        "state": "ok",
        "ok": True,
        "detail": "7.0.15",
    }
    assert found["store: persistence"]["state"] == "warning"
    assert found["store: persistence"]["detail"] == "none. Set appendonly yes."
    assert "warning  store: persistence" in ran(0, "doctor").stdout
    # When it has a problem, then that is one
    shared.findings = [Finding(subject="memory", state="problem", text="evicts", advice="do not")]
    assert checked(ran, 1)["store: memory"]["ok"] is False
    assert "WRONG    store: memory" in ran(1, "doctor").stdout


def test_it_says_whether_anybody_works(ran: Ran, shared: type[Any], acts: Any) -> None:
    none = checked(ran, 0)["workers"]
    assert (none["state"], none["detail"].partition(":")[0]) == ("warning", "none is alive")

    async def look(mf: Any) -> list[Any]:
        store = await mf.opened()
        return [trial.workers_check(await store.workers())]

    (check,) = acts(look)
    assert (check.state, check.detail) == ("ok", "1 alive; tasks that they know: 3")


def test_a_store_that_does_not_answer_is_one_line(ran: Ran, shared: type[Any]) -> None:
    shared.away = 1
    found = checked(ran, 1)
    assert [name for name, check in found.items() if not check["ok"]] == [
        "store double://user:***@host"
    ]
    check = found["store double://user:***@host"]
    assert check["detail"] == "double://user:***@host does not answer: is it there?"
    assert FLOW not in found


def test_a_store_that_goes_away_later_is_one_line(
    ran: Ran, shared: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    examine = trial.store_checks

    async def and_away(settings: Settings) -> Any:
        found = await examine(settings)
        shared.away = 99
        return found

    monkeypatch.setattr("mageflow.cli.doctor.store_checks", and_away)
    found = checked(ran, 1)
    assert "does not answer" in found[FLOW]["detail"]


def test_the_store_can_be_another_than_that_of_the_settings(
    ran: Ran, shared: type[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MAGEFLOW_STORE")
    url = "double://other:secret@host"
    found = json.loads(ran(0, "doctor", "--json", "--store", url, "--namespace", "mine").stdout)
    assert found["settings"]["store"] == {
        "value": "double://other:***@host",
        "from": "the option --store",
    }
    assert found["settings"]["namespace"]["from"] == "the option --namespace"
    assert found["settings"]["slots"]["from"] == "default"
    assert set(shared.spaces) == {"mine", "mine.doctor"}


def test_backends_are_listed_with_their_capabilities(command: Command) -> None:
    ran = command("backends", "--json")
    assert ran.returncode == 0, ran.stderr
    listed = {each["name"]: each for each in json.loads(ran.stdout)}
    assert list(listed) == list(installed(BACKENDS))
    asyncio = listed["asyncio"]
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
    asyncio, *_ = json.loads(ran.stdout)
    assert asyncio["capabilities"] is None
    assert asyncio["problem"] == "ImportError: no module named 'engine'"
    for_people = CliRunner().invoke(app, ["backends"])
    assert "does not load" in " ".join(for_people.stdout.split())


def test_a_backend_that_settings_are_missing_for_is_listed_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Unset:
        def from_settings(self, _: object) -> NoReturn:
            raise SettingsError("it has no token; set engine.token")

    monkeypatch.setattr(backends, "load_backend", lambda _: Unset())
    ran = CliRunner().invoke(app, ["backends", "--json"])
    assert ran.exit_code == 0
    first, *_ = json.loads(ran.stdout)
    assert (first["capabilities"], first["problem"]) == (None, None)
    assert first["lacks"] == "it has no token; set engine.token"
    for_people = CliRunner().invoke(app, ["backends"])
    assert "not set up: it has no token" in " ".join(for_people.stdout.split())
