"""Settings: where they come from, what they refuse, and that they keep secrets."""

import itertools
import os
import pickle
import sys
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import BaseModel, ValidationError, model_validator

from mageflow_core.errors import SettingsError
from mageflow_core.machine import Policy
from mageflow_core.settings import Settings

ADAPTERS = ["celery", "hatchet", "taskiq", "temporal"]
FIELDS = list(Settings.model_fields)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the working directory, with an environment and files of its own."""
    for name in os.environ:
        if name.upper().startswith("MAGEFLOW_"):
            monkeypatch.delenv(name)
    folder = tmp_path / "project"
    folder.mkdir()
    (tmp_path / ".git").mkdir()  # nothing above is looked at
    monkeypatch.chdir(folder)
    return folder


def write_own(folder: Path, text: str) -> Path:
    path = folder / "mageflow.toml"
    path.write_text(text, "utf-8")
    return path


def write_project(folder: Path, text: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f"[project]\nname = 'x'\n\n[tool.mageflow]\n{text}", "utf-8")
    return path


def refusal(**arguments: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        Settings.load(**arguments)
    return str(caught.value)


# --- defaults --------------------------------------------------------------------------------


def test_without_any_source_the_defaults_hold() -> None:
    settings = Settings.load()
    assert settings.model_dump() == {
        "backend": "asyncio",
        "store": "memory://",
        "moved_tasks": {},
        "namespace": "mageflow",
        "worker": True,
        "slots": 100,
        "threads": 32,
        "result_ttl": 86_400.0,
        "pending_ttl": 604_800.0,
        "cancel_grace": 60.0,
        "unknown_task_timeout": 3_600.0,
        "max_crashes": 3,
        "max_continuations": 1_000,
        "max_nodes": 1_000_000,
        "max_value_bytes": 16_777_216,
        "lease": 30.0,
        "store_patience": 30.0,
        "wait_replicas": 0,
        "shutdown_grace": 10.0,
        "warn_unclosed": True,
        "default_timeout": None,
    }


def test_the_default_policy_is_that_of_the_machine() -> None:
    assert Settings.load().policy() == Policy()


def test_the_policy_is_made_of_the_settings() -> None:
    given_values: dict[str, Any] = {
        "max_crashes": 0,
        "cancel_grace": 1.5,
        "result_ttl": 2.5,
        "pending_ttl": 3.5,
        "unknown_task_timeout": 4.5,
        "max_continuations": 5,
        "max_nodes": 6,
    }
    assert Settings.load(**given_values).policy() == Policy(**given_values)


def test_every_setting_has_a_description_for_the_reference() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    ("name", "value"),
    [("lease", 0), ("lease", True), ("store_patience", -1), ("wait_replicas", -1), ("worker", 7)],
)
def test_what_the_store_and_the_worker_cannot_work_with_is_refused(name: str, value: Any) -> None:
    with pytest.raises(SettingsError, match=f"^{name} cannot be"):
        Settings.load(**{name: value})


def test_a_worker_can_be_switched_off_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_WORKER", "false")
    assert Settings.load().worker is False


def test_moved_tasks_are_pairs_or_a_table(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    moved = {"shop.charge": "taskiq", "mail": "celery"}
    monkeypatch.setenv("MAGEFLOW_MOVED_TASKS", "shop.charge=taskiq, mail = celery,")
    assert Settings.load().moved_tasks == moved
    monkeypatch.delenv("MAGEFLOW_MOVED_TASKS")
    write_own(project, '[moved_tasks]\n"shop.charge" = "taskiq"\nmail = "celery"\n')
    assert Settings.load().moved_tasks == moved


@pytest.mark.parametrize(
    ("value", "why"), [("shop.charge", "task=backend"), ("Shop=taskiq", "'Shop' is outside")]
)
def test_pairs_that_say_nothing_are_refused(value: str, why: str) -> None:
    assert "moved_tasks cannot be" in (said := refusal(moved_tasks=value))
    assert why in said


@pytest.mark.parametrize("name", ["MAGEFLOW_FAILPOINTS", "MAGEFLOW_FAILPOINTS_LOG"])
def test_failpoints_are_taken_for_no_misspelt_setting(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "runner.claimed=kill")
    assert Settings.load() == Settings()


def test_settings_cannot_be_changed_and_can_be_sent_to_another_process() -> None:
    settings = Settings.load(slots=3)
    with pytest.raises(ValidationError):
        settings.slots = 4
    assert pickle.loads(pickle.dumps(settings)) == settings


# --- strength --------------------------------------------------------------------------------

SOURCES = ["argument", "environment", "own", "project"]  # strongest first


@pytest.mark.parametrize(
    "present",
    [p for n in range(1, 5) for p in itertools.combinations(SOURCES, n)],
    ids="-".join,
)
def test_the_strongest_source_that_gives_a_value_counts(
    present: tuple[str, ...], project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    values = {source: number for number, source in enumerate(SOURCES, 1)}
    if "environment" in present:
        monkeypatch.setenv("MAGEFLOW_SLOTS", str(values["environment"]))
    if "own" in present:
        write_own(project, f"slots = {values['own']}")
    if "project" in present:
        write_project(project, f"slots = {values['project']}")
    # When
    arguments = {"slots": values["argument"]} if "argument" in present else {}
    settings = Settings.load(**arguments)
    # Then
    assert settings.slots == values[present[0]]


def test_sources_complete_each_other(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_THREADS", "2")
    write_own(project, "max_nodes = 3")
    write_project(project, "max_crashes = 4")
    settings = Settings.load(slots=1)
    found = (settings.slots, settings.threads, settings.max_nodes, settings.max_crashes)
    assert found == (1, 2, 3, 4)


def test_an_argument_of_none_beats_a_timeout_in_a_file(project: Path) -> None:
    write_own(project, "default_timeout = 30")
    assert Settings.load().default_timeout == 30.0
    assert Settings.load(default_timeout=None).default_timeout is None


def test_an_empty_environment_variable_counts_as_unset(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project, "slots = 7")
    monkeypatch.setenv("MAGEFLOW_SLOTS", "")
    assert Settings.load().slots == 7


@pytest.mark.skipif(sys.platform == "win32", reason="variables have no case there")
def test_environment_variables_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("mageflow_slots", "9")
    assert Settings.load().slots == 9
    monkeypatch.setenv("mageflow_slots", "x")
    assert "mageflow_slots" in refusal()


def test_a_dotenv_file_is_not_read(project: Path) -> None:
    (project / ".env").write_text("MAGEFLOW_SLOTS=1\n", "utf-8")
    assert Settings.load().slots == 100


# --- the search for files --------------------------------------------------------------------


def test_files_are_found_in_a_folder_above(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(project, "slots = 5")
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Settings.load().slots == 5


@pytest.mark.parametrize("write", [write_own, write_project])
def test_the_nearest_folder_with_a_file_ends_the_search(
    write: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project, "slots = 5\nthreads = 5")
    below = project / "below"
    below.mkdir()
    write(below, "slots = 6")
    monkeypatch.chdir(below)
    settings = Settings.load()
    assert (settings.slots, settings.threads) == (6, 32)


def test_a_pyproject_without_a_table_of_ours_does_not_end_the_search(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project, "slots = 5")
    below = project / "below"
    below.mkdir()
    (below / "pyproject.toml").write_text("tool = 3\n", "utf-8")
    monkeypatch.chdir(below)
    assert Settings.load().slots == 5


@pytest.mark.parametrize("as_file", [False, True], ids=["folder", "file of a worktree"])
def test_the_root_of_a_repository_ends_the_search(
    as_file: bool, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project, "slots = 5")
    below = project / "repository"
    below.mkdir()
    (below / ".git").write_text("gitdir: x") if as_file else (below / ".git").mkdir()
    monkeypatch.chdir(below)
    assert Settings.load().slots == 100


def test_the_root_of_a_repository_is_looked_at_itself(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project.parent, "slots = 5")  # where .git is
    monkeypatch.chdir(project)
    assert Settings.load().slots == 5


@pytest.mark.parametrize("name", ["mageflow.toml", "pyproject.toml"])
@pytest.mark.parametrize("content", [b"slots = ", b"x = '\xff'"], ids=["no TOML", "no UTF-8"])
def test_a_file_that_cannot_be_read_is_named(name: str, content: bytes, project: Path) -> None:
    (project / name).write_bytes(content)
    assert refusal().startswith(f"{project / name} cannot be read: ")


def test_a_folder_in_the_place_of_a_file_is_named(project: Path) -> None:
    (project / "mageflow.toml").mkdir()
    assert str(project / "mageflow.toml") in refusal()


def test_a_tool_entry_that_is_no_table_is_refused(project: Path) -> None:
    path = project / "pyproject.toml"
    path.write_text("tool.mageflow = 3", "utf-8")
    assert refusal() == f"tool.mageflow in {path} is no table"


# --- unknown keys ----------------------------------------------------------------------------


def test_an_unknown_argument_is_refused_with_a_close_match_and_all_known() -> None:
    message = refusal(backnd="celery")
    assert "unknown setting 'backnd' (did you mean 'backend'?) in the arguments" in message
    assert message.endswith("known are: " + ", ".join(FIELDS))


@pytest.mark.parametrize("key", ["_env_file", "_cli_parse_args", "_secrets_dir"])
def test_options_of_pydantic_settings_are_no_arguments(key: str) -> None:
    assert f"unknown setting '{key}' in the arguments" in refusal(**{key: "x"})


def test_an_unknown_key_in_mageflow_toml_is_refused_with_the_path(project: Path) -> None:
    path = write_own(project, "max-nodes = 3")
    message = refusal()
    assert f"unknown setting 'max-nodes' (did you mean 'max_nodes'?) in {path}; " in message
    assert ", ".join(FIELDS) in message


def test_an_unknown_key_in_pyproject_is_refused_with_the_path(project: Path) -> None:
    path = write_project(project, "Store = 'memory://'")
    message = refusal()
    assert "unknown setting 'Store' (did you mean 'store'?) in [tool.mageflow] in" in message
    assert str(path) in message


def test_a_key_in_another_case_is_unknown_even_with_a_bad_value(project: Path) -> None:
    write_own(project, "Slots = 0")
    assert "unknown setting 'Slots' (did you mean 'slots'?)" in refusal()


def test_an_unknown_key_that_is_like_none_has_no_match() -> None:
    assert "unknown setting 'zzzz' in the arguments; known are" in refusal(zzzz=1)


def test_all_that_is_wrong_is_named_at_once(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_own(project, "slots = 0\nspeed = 3")
    monkeypatch.setenv("MAGEFLOW_THREADS", "many")
    lines = refusal(namespace="A B").splitlines()
    assert len(lines) == 4
    for word in ["slots", "speed", "MAGEFLOW_THREADS", "namespace"]:
        assert any(word in line for line in lines)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MAGEFLOW_BACKND", "MAGEFLOW_BACKEND"),
        ("MAGEFLOW_SLOT", "MAGEFLOW_SLOTS"),
        ("MAGEFLOW_NAME_SPACE", "MAGEFLOW_NAMESPACE"),
        ("MAGEFLOW_MAX_VALUE_BYTE", "MAGEFLOW_MAX_VALUE_BYTES"),
    ],
)
def test_a_misspelt_environment_variable_is_refused(
    variable: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "3")
    message = refusal()
    assert f"{variable!r} (did you mean {meant!r}?) in the environment" in message
    assert "MAGEFLOW_STORE, " in message


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("adapter", ADAPTERS)
def test_variables_of_adapters_are_left_alone(
    adapter: str, field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"MAGEFLOW_{adapter}_{field}".upper(), "x")
    assert Settings.load() == Settings()


@pytest.mark.parametrize(
    "variable",
    [
        "MAGEFLOW_PINNED",
        "MAGEFLOW_MODULE",
        "MAGEFLOW_FAILPOINTS",
        "MAGEFLOW_TEST_PATIENCE",  # which looks like a misspelt MAGEFLOW_STORE_PATIENCE
        "MAGEFLOW_",
        "XMAGEFLOW_SLOT",
    ],
)
def test_variables_that_are_like_no_setting_are_left_alone(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "1")
    assert Settings.load().slots == 100


# --- bad values ------------------------------------------------------------------------------

COUNTS = ["slots", "threads", "max_nodes", "max_value_bytes"]
OR_ZERO = ["max_crashes", "max_continuations"]
SECONDS = ["result_ttl", "pending_ttl", "cancel_grace", "unknown_task_timeout", "default_timeout"]
NOT_TAKEN: list[tuple[list[str], list[Any]]] = [
    (COUNTS, [0, -1, 1.5, "x", True, None, []]),
    (OR_ZERO, [-1, 0.5, "x", False]),
    (SECONDS, [0, -1.0, "inf", float("nan"), "x", True]),
    (["shutdown_grace"], [-0.1, float("inf"), "x", True]),
    (["warn_unclosed"], [2, "perhaps"]),
    (["backend"], [1, None]),
    (["store"], ["", "memory", "redis:localhost", "://x", 1]),
    (["namespace"], ["", "Mine", "a b", "-a", "a" * 129, "a{b}", 1]),
]
BAD = [pair for keys, values in NOT_TAKEN for pair in itertools.product(keys, values)]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_a_value_that_a_setting_cannot_take_is_refused(key: str, value: Any) -> None:
    message = refusal(**{key: value})
    assert message.startswith(f"{key} cannot be ")
    assert "(in the arguments): expected " in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"slots": "many"}, "slots cannot be 'many' (in the arguments): expected a valid integer"),
        (
            {"result_ttl": 0},
            "result_ttl cannot be 0 (in the arguments): expected greater than 0",
        ),
        ({"slots": True}, "slots cannot be True (in the arguments): expected a number"),
        (
            {"store": "redis"},
            (
                "store cannot be 'redis' (in the arguments): expected a URL such as memory:// or "
                "redis://localhost:6379/0"
            ),
        ),
    ],
)
def test_a_refused_value_is_shown_with_what_is_expected(
    arguments: dict[str, Any], message: str
) -> None:
    assert refusal(**arguments) == message


@pytest.mark.parametrize(
    ("key", "value"),
    [(key, 0) for key in [*OR_ZERO, "shutdown_grace"]] + [(key, 1) for key in COUNTS + SECONDS],
)
def test_the_least_value_of_a_setting_is_taken(key: str, value: int) -> None:
    assert getattr(Settings.load(**{key: value}), key) == value


def test_a_bad_value_in_the_environment_names_the_variable(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project, "slots = 3")
    monkeypatch.setenv("MAGEFLOW_SLOTS", "many")
    assert "'many' (in the environment variable MAGEFLOW_SLOTS)" in refusal()


@pytest.mark.parametrize("write", [write_own, write_project])
def test_a_bad_value_in_a_file_names_the_path(write: Any, project: Path) -> None:
    path = write(project, "slots = 0")
    message = refusal()
    assert message.startswith("slots cannot be 0 (in ")
    assert str(path) in message


def test_a_bad_value_that_a_stronger_source_replaces_does_no_harm(project: Path) -> None:
    write_own(project, "slots = 0")
    assert Settings.load(slots=1).slots == 1


# --- what only one backend knows -------------------------------------------------------------


class OfTaskiq(BaseModel):
    url: str = "redis://localhost/0"
    queues: list[str] = []
    prefetch: int = 1


def test_a_backend_reads_what_stands_under_its_name_the_strongest_first(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_own(project, "[taskiq]\nprefetch = 2\nurl = 'file'\nqueues = ['f']")
    write_project(project, "[tool.mageflow.taskiq]\nprefetch = 3\nurl = 'project'\n")
    monkeypatch.setenv("MAGEFLOW_TASKIQ_URL", "environment")
    monkeypatch.setenv("mageflow_taskiq_queues", '["e"]')
    found = Settings.load(taskiq={"queues": ["a"]}).of("taskiq", OfTaskiq)
    assert found == OfTaskiq(url="environment", queues=["a"], prefetch=2)
    assert Settings.load().of("taskiq", OfTaskiq).queues == ["e"]
    assert Settings.load().of("celery", OfTaskiq) == OfTaskiq()


def test_settings_that_are_changed_keep_what_backends_were_told() -> None:
    changed = Settings.load(taskiq={"prefetch": 7}, slots=3).but(slots=4)
    assert changed.slots == 4
    assert changed.of("taskiq", OfTaskiq).prefetch == 7


def test_what_a_backend_does_not_know_or_cannot_take_is_named_with_its_place(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_own(project, "[taskiq]\nprefech = 2")
    monkeypatch.setenv("MAGEFLOW_TASKIQ_PREFETCH", "many")
    with pytest.raises(SettingsError) as caught:
        Settings.load().of("taskiq", OfTaskiq)
    first, second = str(caught.value).splitlines()
    assert first.startswith(
        f"unknown setting 'taskiq.prefech' (did you mean 'taskiq.prefetch'?) in {path}; known are"
    )
    assert second == (
        "taskiq.prefetch cannot be 'many' (in the environment variable MAGEFLOW_TASKIQ_PREFETCH): "
        "expected a valid integer"
    )


def test_a_backend_may_need_what_nobody_has_said() -> None:
    class Needing(BaseModel):
        url: str

    with pytest.raises(SettingsError, match=r"^taskiq.url is needed: set MAGEFLOW_TASKIQ_URL$"):
        Settings.load().of("taskiq", Needing)


def test_values_of_a_backend_that_do_not_go_together_are_told(project: Path) -> None:
    class Choosy(OfTaskiq):
        @model_validator(mode="after")
        def _together(self) -> Self:
            raise ValueError("a queue is for one url only")

    with pytest.raises(SettingsError, match=r"^taskiq: a queue is for one url only$"):
        Settings.load(taskiq={"url": "redis://:hush@host"}).of("taskiq", Choosy)


def test_a_table_of_no_backend_is_an_unknown_setting(project: Path) -> None:
    path = write_own(project, "[taskq]\nurl = 'x'")
    text = refusal()
    assert text.startswith(f"unknown setting 'taskq' (did you mean 'taskiq'?) in {path}")


def test_text_that_begins_as_json_and_is_none_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGEFLOW_TASKIQ_URL", "[::1]:6379")
    assert Settings.load().of("taskiq", OfTaskiq).url == "[::1]:6379"
