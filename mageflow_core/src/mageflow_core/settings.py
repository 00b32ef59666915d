"""Settings: from arguments, the environment, `mageflow.toml` and `pyproject.toml`."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from mageflow_core.errors import InvalidName, SettingsError
from mageflow_core.loading import BACKENDS, OFFERED, installed
from mageflow_core.machine import Policy
from mageflow_core.names import check_name
from mageflow_core.urls import EXPECTED, safe_url, scheme_of

__all__ = ["Names", "Settings", "safe_url"]

PREFIX = "MAGEFLOW_"
ARGUMENTS = "the arguments"
# Read by the build, by the command line, by the failpoints and by tests; no settings.
RESERVED = frozenset(
    {
        "MAGEFLOW_PINNED",
        "MAGEFLOW_MODULE",
        "MAGEFLOW_FAILPOINTS",
        "MAGEFLOW_FAILPOINTS_LOG",
        "MAGEFLOW_TEST_PATIENCE",
    }
)
POLICY = Policy()
M = TypeVar("M", bound=BaseModel)


def _no_flag(value: object) -> object:
    if isinstance(value, bool):  # which pydantic takes for 0 and 1
        raise ValueError("a number")  # noqa: TRY004  # pydantic makes its error of a ValueError
    return value


def _pairs(value: object) -> object:
    """A variable of the environment has them as `task=backend`, with commas between them."""
    if not isinstance(value, str):
        return value
    pairs = [part.partition("=") for part in value.split(",") if part.strip()]
    return {name.strip(): backend.strip() for name, _, backend in pairs}


NoFlag = BeforeValidator(_no_flag)
Count = Annotated[int, Field(ge=1), NoFlag]
CountOrZero = Annotated[int, Field(ge=0), NoFlag]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False), NoFlag]
SecondsOrZero = Annotated[float, Field(ge=0, allow_inf_nan=False), NoFlag]


def _split(said: object) -> object:
    if isinstance(said, str):
        return tuple(filter(None, (name.strip() for name in said.split(","))))
    return said


# For settings of backends: in a variable of the environment names have commas between them.
Names = Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(_split)]


class Settings(BaseSettings):
    """How an application runs. Made by `Settings.load`; immutable.

    Of the places that give a value the first one counts: arguments; environment variables, as
    `MAGEFLOW_SLOTS=8`, where an empty one counts as unset; `mageflow.toml`; `[tool.mageflow]` in
    `pyproject.toml`. Both files are looked for in the working directory, then upwards, until a
    folder has one of them or is the root of a git repository.

    What only one backend knows stands under its name: `Mageflow(taskiq={"url": …})`,
    `MAGEFLOW_TASKIQ_URL`, a table `[taskiq]` or `[tool.mageflow.taskiq]`. The backend reads it
    with `of`.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    backend: str = "asyncio"
    """The backend that moves the work, by the name that it is installed under; `mageflow backends`
    lists them. `asyncio` runs everything in this process. Several have commas between them: the
    first one has the tasks that name none."""

    moved_tasks: Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)] = {}
    """Backends of single tasks, by the tasks' names, in place of those that the tasks name
    themselves: how a task moves to another one without a change of code."""

    store: str = "memory://"
    """URL of the store that keeps the runs; `memory://` is gone with the process."""

    namespace: str = "mageflow"
    """Keeps applications apart that share a store or a broker: part of all keys and queues."""

    worker: bool = True
    """Whether a process that uses an embedded backend runs a worker itself; without one it only
    starts, watches and steers."""

    slots: Count = 100
    """Bodies that a worker process runs at the same time."""

    threads: Count = 32
    """Bodies that are not `async` and that a worker process runs at the same time, each in a
    thread."""

    result_ttl: Seconds = POLICY.result_ttl
    """Seconds that a run can be read after it has settled."""

    pending_ttl: Seconds = POLICY.pending_ttl
    """Seconds that a run is kept that was stored and never started."""

    cancel_grace: Seconds = POLICY.cancel_grace
    """Seconds that a canceled node waits for the bodies that still run below it."""

    unknown_task_timeout: Seconds = POLICY.unknown_task_timeout
    """Seconds that a node waits for a worker that knows its task, before it fails."""

    max_crashes: CountOrZero = POLICY.max_crashes
    """Times that a task is run again after the worker that ran it died; one more fails it."""

    max_continuations: CountOrZero = POLICY.max_continuations
    """Times in a row that a node may go on with a signature that its task has returned."""

    max_nodes: Count = POLICY.max_nodes
    """Nodes that a run may have."""

    max_value_bytes: Count = 16 * 1024 * 1024
    """Bytes that one message, argument or result may have as JSON."""

    lease: Seconds = 30.0
    """Seconds that a worker process counts as alive without saying so; longer for tasks that hold
    the GIL. What it ran then runs again elsewhere. It says so six times as often, and at least
    every 5 seconds."""

    store_patience: Seconds = 30.0
    """Seconds that one call waits for a store that does not answer."""

    wait_replicas: CountOrZero = 0
    """Replicas of the store's server that a step waits for, a second at most; narrows what a
    failover may lose."""

    shutdown_grace: SecondsOrZero = 10.0
    """Seconds that running bodies get to end in when a worker closes; then they are canceled and
    run again elsewhere."""

    warn_unclosed: bool = True
    """Whether an application that was never closed says so when the process exits."""

    default_timeout: Seconds | None = None
    """Seconds that an attempt may take where its task does not say; by default any time."""

    _of_backends: list[_Origin] = PrivateAttr(default_factory=list)

    @classmethod
    def load(cls, /, **arguments: Any) -> Self:
        """The settings of this process, with `arguments` before all else.

        Reads the environment and files. Raises `SettingsError`, which names each key that is
        unknown or has a value that it cannot take, and where it comes from.
        """
        origins = _origins(arguments)
        problems = [
            _unknown(key, origin.name)
            for origin in origins
            for key in origin.values
            if key not in cls.model_fields
        ]
        problems += _unknown_backends(origins)
        details: list[ErrorDetails] = []
        try:
            known = {key: value for key, value in arguments.items() if key in cls.model_fields}
            settings = cls(**known)
            settings._of_backends = [origin for origin in origins if origin.backends]
        except ValidationError as error:
            details = error.errors(include_url=False)
        # Outside of the `except`: pydantic's error holds the values, passwords among them.
        problems += [
            _explain(each, origin)
            for each in details
            if (origin := _origin_of(each, origins)) is not None
        ]
        if problems:
            raise SettingsError("\n".join(problems))
        return settings

    def but(self, **changes: Any) -> Self:
        """These settings with some of them changed. Raises `SettingsError`."""
        tables = [each.backends for each in self._of_backends if each.name == ARGUMENTS]
        return self.load(**{**self.model_dump(), **(tables[0] if tables else {}), **changes})

    def of(self, backend: str, model: type[M]) -> M:
        """What is said under the name of a backend, as this model, whose defaults hold for the
        rest. Raises `SettingsError`, which names what is unknown or cannot be taken, and where."""
        origins = [
            *_tables(self._of_backends, backend, arguments=True),
            *_variables(backend, model),
            *_tables(self._of_backends, backend, arguments=False),
        ]
        known = {name: f"{backend}.{name}" for name in model.model_fields}
        problems = [
            _unknown(f"{backend}.{key}", origin.name, known.values())
            for origin in origins
            for key in origin.values
            if key not in known
        ]
        values: dict[str, Any] = {}
        for origin in reversed(origins):
            values |= {key: value for key, value in origin.values.items() if key in known}
        details: list[ErrorDetails] = []
        try:
            made = model.model_validate(values)
        except ValidationError as error:
            details = error.errors(include_url=False)
        for each in details:
            found = _origin_of(each, origins)
            if found is not None:
                problems.append(f"{backend}.{_explain(each, found)}")
            elif each["type"] == "missing":
                variable = f"{PREFIX}{backend}_{each['loc'][0]}".upper()
                problems.append(f"{backend}.{each['loc'][0]} is needed: set {variable}")
            else:
                problems.append(f"{backend}: {each['msg'].removeprefix('Value error, ')}")
        if problems:
            raise SettingsError("\n".join(problems))
        return made

    @classmethod
    def origins(cls) -> dict[str, str]:
        """Where the environment and files give values: setting → place. Values are not read."""
        weakest_first = reversed(_origins({}))
        return {key: origin.name for origin in weakest_first for key in origin.values}

    def policy(self) -> Policy:
        """The part of the settings that the state machine works with."""
        return Policy(
            max_crashes=self.max_crashes,
            cancel_grace=self.cancel_grace,
            result_ttl=self.result_ttl,
            pending_ttl=self.pending_ttl,
            unknown_task_timeout=self.unknown_task_timeout,
            max_continuations=self.max_continuations,
            max_nodes=self.max_nodes,
        )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # called by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Called by pydantic-settings: the sources, strongest first."""
        _check_environment(os.environ)
        files = [InitSettingsSource(settings_cls, each.values) for each in _files(Path.cwd())]
        return init_settings, env_settings, *files

    @property
    def backends(self) -> tuple[str, ...]:
        """The names in `backend`."""
        return tuple(self.backend.split(","))

    @field_validator("backend")
    @classmethod
    def _backends_are_names(cls, value: str) -> str:
        names = [name.strip() for name in value.split(",")]
        if not all(names) or len(set(names)) < len(names):
            raise ValueError("names of backends, each once, with commas between them")
        return ",".join(names)

    @field_validator("moved_tasks")
    @classmethod
    def _tasks_have_backends(cls, value: dict[str, str]) -> dict[str, str]:
        try:
            for task in value:
                check_name(task)
        except InvalidName as error:
            raise ValueError(f"names of tasks and their backends; {error}") from None
        if not all(value.values()):
            raise ValueError("task=backend, with commas between several, or a table")
        return value

    @field_validator("namespace")
    @classmethod
    def _namespace_is_a_name(cls, value: str) -> str:
        try:
            return check_name(value, "namespace")
        except InvalidName:
            raise ValueError(
                "up to 128 lower-case letters, digits, '.', '_' and '-', first a letter or digit"
            ) from None

    @field_validator("store")
    @classmethod
    def _store_is_a_url(cls, value: str) -> str:
        try:
            scheme_of(value)
        except SettingsError:
            raise ValueError(EXPECTED) from None
        return value

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, safe_url(value) if isinstance(value, str) else value


# --- where values come from ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Origin:
    """name: as it is shown. backends: tables of what single backends know."""

    name: str
    values: dict[str, Any]
    backends: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, said: Mapping[str, Any]) -> Self:
        known = Settings.model_fields
        tables = {
            key: dict(value)
            for key, value in said.items()
            if key not in known and isinstance(value, Mapping)
        }
        values = {key: value for key, value in said.items() if key not in tables}
        return cls(name, values, tables)


def _origins(arguments: dict[str, Any]) -> list[_Origin]:
    """All that gives values, strongest first."""
    given = {name.lower(): name for name, value in os.environ.items() if value}
    variables = {
        key: _Origin(f"the environment variable {given[name]}", {key: os.environ[given[name]]})
        for key in Settings.model_fields
        if (name := (PREFIX + key).lower()) in given
    }
    return [_Origin.of(ARGUMENTS, arguments), *variables.values(), *_files(Path.cwd())]


def _tables(origins: Iterable[_Origin], backend: str, *, arguments: bool) -> list[_Origin]:
    return [
        _Origin(origin.name, origin.backends[backend])
        for origin in origins
        if backend in origin.backends and (origin.name == ARGUMENTS) == arguments
    ]


def _variables(backend: str, model: type[BaseModel]) -> list[_Origin]:
    given = {name.lower(): name for name, value in os.environ.items() if value}
    found = []
    for key in model.model_fields:
        variable = given.get(f"{PREFIX}{backend}_{key}".lower())
        if variable is not None:
            value = _parsed(os.environ[variable])
            found.append(_Origin(f"the environment variable {variable}", {key: value}))
    return found


def _parsed(text: str) -> Any:
    """Lists and tables are written as JSON."""
    try:
        return json.loads(text) if text[0] in "[{" else text
    except ValueError:
        return text


def _files(start: Path) -> list[_Origin]:
    """The tables of the nearest folder that has any, strongest first."""
    for folder in [start, *start.parents]:
        found = []
        own, project = folder / "mageflow.toml", folder / "pyproject.toml"
        if (table := _read(own)) is not None:
            found.append(_Origin.of(str(own), table))
        tools = (_read(project) or {}).get("tool")
        if isinstance(tools, dict) and "mageflow" in tools:
            table = tools["mageflow"]
            if not isinstance(table, dict):
                raise SettingsError(f"tool.mageflow in {project} is no table")
            found.append(_Origin.of(f"[tool.mageflow] in {project}", table))
        if found or (folder / ".git").exists():
            return found
    return []


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # a ValueError: no TOML, or no UTF-8
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _check_environment(environment: Mapping[str, str]) -> None:
    """Only what looks like a misspelt setting is refused: adapters have variables of their own."""
    known = list(Settings.model_fields)
    for variable in environment:
        name = variable.upper()
        key = name.removeprefix(PREFIX).lower()
        if not name.startswith(PREFIX) or name in RESERVED or key in known:
            continue
        # MAGEFLOW_CELERY_RESULT_TTL is much like a setting too; but typos do not add a word.
        near = [each for each in known if abs(len(each) - len(key)) <= 2]  # noqa: PLR2004
        if get_close_matches(key, near, 1, 0.8):
            shown = [PREFIX + each.upper() for each in known]
            raise SettingsError(_unknown(variable, "the environment", shown))


# --- what is wrong ---------------------------------------------------------------------------


def _unknown_backends(origins: Iterable[_Origin]) -> list[str]:
    named = {key: origin.name for origin in origins for key in origin.backends}
    if not named:
        return []
    known = {*installed(BACKENDS), *OFFERED[BACKENDS]}
    return [
        _unknown(key, origin, [*Settings.model_fields, *sorted(known)])
        for key, origin in named.items()
        if key not in known
    ]


def _unknown(key: str, origin: str, known: Iterable[str] = ()) -> str:
    known = list(known or Settings.model_fields)
    folded = {each.lower(): each for each in known}
    close = get_close_matches(key.lower(), folded, 1)
    meant = f" (did you mean {folded[close[0]]!r}?)" if close else ""
    return f"unknown setting {key!r}{meant} in {origin}; known are: {', '.join(known)}"


def _origin_of(error: ErrorDetails, origins: list[_Origin]) -> _Origin | None:
    """The strongest origin of the value, `None` for a key that is unknown, and for what is wrong
    with values together."""
    key = error["loc"][0] if error["loc"] else None
    given = (origin for origin in origins if key in origin.values)
    return next(given, None) if error["type"] != "extra_forbidden" else None


def _explain(error: ErrorDetails, origin: _Origin) -> str:
    key = str(error["loc"][0])
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = message.partition(", unable")[0].partition(", got")[0]
    return f"{key} cannot be {_show(origin.values[key])} (in {origin.name}): expected {expected}"


def _show(value: object) -> str:
    if isinstance(value, str):
        return repr(safe_url(value))
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"of type {type(value).__name__}"  # what is in it may be a secret
