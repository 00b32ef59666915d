"""`mageflow worker`."""

import asyncio
import logging
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mageflow import Mageflow
from mageflow.cli import worker
from mageflow.cli.worker import Level
from mageflow_core.settings import Settings

Ran = Callable[..., Any]
Says = Callable[..., str]
Complains = Callable[..., str]
Eventually = Callable[..., Awaitable[None]]

TASKS = """
from mageflow import Mageflow, register_task

mf = Mageflow(slots=7)

@mf.task
def add(a: int) -> int:
    return a + 1

number = 3
"""


@pytest.fixture
def module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory and gives its name, which no other test has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)

    def write(source: str) -> str:
        name = f"written_{abs(hash((request.node.nodeid, source)))}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("written_"):
            del sys.modules[name]


@pytest.fixture
def served(shared: type[Any], monkeypatch: pytest.MonkeyPatch) -> list[Mageflow]:
    """Apps that would serve, if they were let."""
    found: list[Mageflow] = []

    async def serve(app: Mageflow) -> None:
        found.append(app)

    monkeypatch.setattr(worker, "serve", serve)
    monkeypatch.setattr(worker, "log_at", lambda _: None)
    return found


# --- which app ------------------------------------------------------------------------------------


def test_the_app_of_a_module_is_found_with_and_without_its_name(
    ran: Ran, served: list[Mageflow], module: Callable[[str], str]
) -> None:
    name = module(TASKS)
    ran(0, "worker", name)
    ran(0, "worker", f"{name}:mf")
    first, second = served
    assert first is second
    assert first.registry.find("add") is not None


def test_an_app_inside_of_something_is_found(
    ran: Ran, served: list[Mageflow], module: Callable[[str], str]
) -> None:
    name = module(f"{TASKS}\nclass Nested:\n    app = mf\n")
    ran(0, "worker", f"{name}:Nested.app")
    assert len(served) == 1


def test_tasks_of_other_modules_are_there_once_they_are_imported(
    ran: Ran, served: list[Mageflow], module: Callable[[str], str]
) -> None:
    app = module("from mageflow import Mageflow\nmf = Mageflow()\n")
    tasks = module(f"from {app} import mf\n@mf.task\ndef one() -> None: ...\n")
    ran(0, "worker", tasks)
    assert "one" in served[0].registry.names()


def test_the_module_can_be_named_by_the_environment(
    ran: Ran,
    served: list[Mageflow],
    module: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MAGEFLOW_MODULE", module(TASKS))
    ran(0, "worker")
    assert len(served) == 1


def test_a_module_without_an_app_has_the_one_that_its_tasks_are_registered_on(
    tmp_path: Path, says: Says
) -> None:
    # Given functions that are registered on whatever app there is
    (tmp_path / "tasks.py").write_text(
        "from mageflow import register_task\n@register_task('one')\ndef one() -> None: ...\n"
    )
    # When a worker is started for them, then it is only the store that it lacks
    assert "is seen by the process alone that has stored it" in says(2, "worker", "tasks")


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize(
    ("source", "attribute", "expected"),
    [
        (TASKS, ":number", ":number is int: name a Mageflow of that module, as in {name}:mf"),
        (TASKS, ":app", ":app is not there: name a Mageflow of that module, as in {name}:mf"),
        ("x = 1", ":app", ":app is not there: name a Mageflow of that module"),
        (TASKS, ":", "names no app: write module or module:app, as in flows:mf"),
        (
            "from mageflow import Mageflow\none, two = Mageflow(), Mageflow()",
            "",
            "has several apps: name one of them, as in {name}:one, {name}:two",
        ),
        (
            "from mageflow import Mageflow\nmf = Mageflow()",
            "",
            " has no tasks: name a module that registers some, or imports those that do",
        ),
        ("1 / 0", "", "cannot be imported: ZeroDivisionError: division by zero ("),
    ],
)
def test_what_names_no_app_with_tasks_is_wrong_use(
    source: str,
    attribute: str,
    expected: str,
    complains: Complains,
    module: Callable[[str], str],
) -> None:
    name = module(source)
    assert expected.format(name=name) in complains(2, "worker", name + attribute)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("no_such_module", "there is no module 'no_such_module': run this in the folder that has"),
        (":mf", "':mf' names no app"),
        ("", "'' names no app"),
    ],
)
def test_what_names_no_module_is_wrong_use(
    target: str, expected: str, complains: Complains, served: list[Mageflow]
) -> None:
    assert expected in complains(2, "worker", target)


def test_without_a_module_it_is_wrong_use(ran: Ran, shared: type[Any]) -> None:
    assert "Missing argument" in ran(2, "worker").stderr


def test_several_apps_elsewhere_are_wrong_use(tmp_path: Path, says: Says) -> None:
    (tmp_path / "apps.py").write_text(
        "from mageflow import Mageflow\nall = [Mageflow(), Mageflow()]\n"
    )
    (tmp_path / "tasks.py").write_text("import apps\n")
    assert "module 'tasks' has no app, and others have several" in says(2, "worker", "tasks")


# --- with what ------------------------------------------------------------------------------------


def test_options_are_stronger_than_what_the_app_says(
    ran: Ran, served: list[Mageflow], module: Callable[[str], str]
) -> None:
    # Given an app that says how many slots it wants
    name = module(TASKS)
    ran(0, "worker", name)
    assert (served[0].settings.slots, served[0].settings.threads) == (7, 32)
    # When the command line says something else, then that counts, and all else stays
    ran(0, "worker", name, "--slots", "3", "--threads", "2", "--namespace", "other")
    settings = served[1].settings
    assert (settings.slots, settings.threads, settings.namespace) == (3, 2, "other")
    assert settings.store == os.environ["MAGEFLOW_STORE"]


@pytest.mark.parametrize(
    "arguments", [["--slots", "0"], ["--threads", "0"], ["--log-level", "loud"]]
)
def test_options_say_what_they_take(
    arguments: list[str], ran: Ran, served: list[Mageflow], module: Callable[[str], str]
) -> None:
    assert (
        f"Invalid value for '{arguments[0]}'" in ran(2, "worker", module(TASKS), *arguments).stderr
    )
    assert served == []


def test_a_store_that_nobody_else_sees_is_wrong_use(tmp_path: Path, says: Says) -> None:
    (tmp_path / "flows.py").write_text(TASKS)
    said = says(2, "worker", "flows")
    assert said.startswith("what is stored in memory:// is seen by the process alone")


def test_a_store_that_does_not_answer_is_a_failure(
    complains: Complains, shared: type[Any], module: Callable[[str], str]
) -> None:
    shared.away = 1
    assert "does not answer" in complains(1, "worker", module(TASKS), "--log-level", "error")


def test_the_level_is_that_of_our_logs_alone() -> None:
    root, ours = logging.getLogger(), logging.getLogger("mageflow")
    before = root.level, ours.level
    try:
        worker.log_at(Level.DEBUG)
        assert (ours.level, root.level) == (logging.DEBUG, before[0])
    finally:
        ours.setLevel(before[1])


# --- working --------------------------------------------------------------------------------------


@pytest.fixture
def mf(shared: type[Any]) -> Mageflow:
    mf = Mageflow(shutdown_grace=5.0, slots=7)

    @mf.task
    async def waits(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    return mf


async def test_it_says_what_works_and_ends_by_a_signal(
    mf: Mageflow, eventually: Eventually, capsys: pytest.CaptureFixture[str]
) -> None:
    # Given a worker
    said: list[str] = []

    def works() -> bool:
        said.append(capsys.readouterr().err)
        return "mageflow: worker " in "".join(said)

    serving = asyncio.create_task(worker.serve(mf))
    await eventually(works)
    (line,) = "".join(said).splitlines()
    assert re.fullmatch(
        r"mageflow: worker \S+ runs 1 task of namespace mageflow on asyncio and "
        r"double://user:\*\*\*@host",
        line,
    )
    # When another process starts something
    async with Mageflow(worker=False) as client:
        run = await client.start("waits", {"seconds": 0.0})
        # Then it is done here
        assert await run.result(timeout=20) == "done"
        # When it is told to stop while a body runs, then that one ends first
        slow = await client.start("waits", {"seconds": 0.2})
        await eventually(lambda: mf.unfinished() != [])
        os.kill(os.getpid(), signal.SIGTERM)
        await serving
        assert await slow.result(timeout=20) == "done"
    assert mf.worker_id is None


async def test_a_second_signal_stops_what_runs(mf: Mageflow, eventually: Eventually) -> None:
    # Given a worker with a body that takes long
    serving = asyncio.create_task(worker.serve(mf))
    await eventually(lambda: mf.worker_id is not None)
    async with Mageflow(worker=False) as client:
        run = await client.start("waits", {"seconds": 60.0})
        await eventually(lambda: mf.unfinished() != [])
        # When two signals come, then it ends at once
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        os.kill(os.getpid(), signal.SIGINT)
        async with asyncio.timeout(4):
            await serving
        # And what ran is there for another worker
        assert await run.status() == "queued"


def test_settings_are_read_once_more_with_the_options_alone(
    served: list[Mageflow], ran: Ran, module: Callable[[str], str]
) -> None:
    # Given an app that was made with arguments that no setting of the environment has
    name = module(TASKS.replace("slots=7", "slots=7, result_ttl=5.0, warn_unclosed=False"))
    ran(0, "worker", name, "--slots", "9")
    expected = Settings.load(slots=9, result_ttl=5.0, warn_unclosed=False)
    assert served[0].settings == expected
