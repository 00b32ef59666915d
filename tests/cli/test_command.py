"""What holds for all commands."""

import asyncio
import io
import json
import sys
from collections.abc import Callable
from subprocess import CompletedProcess
from typing import Any

import pytest
import typer
from pydantic import BaseModel
from rich.console import Console
from typer.testing import CliRunner

from mageflow import Mageflow, chain, errors, swarm
from mageflow.cli import app, output, watching

Command = Callable[..., CompletedProcess[str]]


class Word(BaseModel):
    text: str


def names() -> list[str]:
    group: Any = typer.main.get_command(app)
    return list(group.commands)


def test_help_names_each_command(command: Command) -> None:
    ran = command("--help")
    assert ran.returncode == 0
    for name in names():
        assert f"  {name} " in ran.stdout
    assert "Exit codes: 0 done" in ran.stdout


def test_each_command_says_what_it_does_and_has_json() -> None:
    assert names() == ["demo", "run", "backends", "doctor"]
    for name in names():
        ran = CliRunner().invoke(app, [name, "--help"])
        assert ran.exit_code == 0
        assert "--json" in ran.stdout


def test_the_version_can_be_asked_for(command: Command) -> None:
    from mageflow import __version__

    ran = command("--version")
    assert (ran.returncode, ran.stdout) == (0, f"mageflow {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [["nothing"], ["demo", "--nothing"], ["run"], ["demo", "a", "b"]]
)
def test_wrong_usage_ends_with_two(arguments: list[str]) -> None:
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 2
    assert "Error: " in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("no such setting"), 2),
        (errors.NotSerializable("a set"), 2),
        (errors.UnknownTask("no such task"), 2),
        (errors.TaskFailed("it failed"), 1),
        (errors.StoreUnavailable("no answer"), 1),
    ],
)
def test_an_error_is_a_line_and_a_code(
    error: Exception, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(typer.Exit) as exit_, output.told():
        raise error
    assert exit_.value.exit_code == code
    assert capsys.readouterr() == ("", f"mageflow: {error}\n")


def test_a_bug_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), output.told():
        raise ZeroDivisionError


def test_json_is_written_so_that_the_terminal_can_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, expected in (("utf-8", '"é"\n'), ("ascii", '"\\u00e9"\n')):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline="\n"))
        output.print_json("é")
        sys.stdout.flush()
        assert raw.getvalue().decode(encoding) == expected
        assert json.loads(raw.getvalue().decode(encoding)) == "é"


def test_a_table_shows_text_as_it_is_and_numbers_with_their_groups() -> None:
    console = Console(file=io.StringIO(), width=80, legacy_windows=False)
    console.print(output.table(("name", "lines"), [("[bold]x[/]", 12345), ("y", 1)]))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[bold]x[/]  12,345" in printed
    assert printed.rstrip().endswith("     1")


# --- watching ------------------------------------------------------------------------------------


async def test_progress_counts_what_has_ended_of_what_is_known() -> None:
    async with Mageflow() as mf:
        # Given a chain whose first step has let the others wait
        go = asyncio.Event()

        @mf.task
        async def first() -> Any:
            return swarm([one.sign(n=n) for n in range(50)])

        @mf.task
        async def one(n: int) -> int:
            return n

        @mf.task
        async def last() -> None:
            await go.wait()

        run = await chain(first, last).start()
        # When nothing has begun, then it counts the steps
        assert watching.progress_of(await run.tree(width=watching.WIDE)) == (0, 2)
        # When the first step has become a swarm and is done, then all items count
        await run[0].wait(timeout=20)
        assert watching.progress_of(await run.tree(width=watching.WIDE)) == (50, 51)
        go.set()
        await run.settled(timeout=20)
        assert watching.progress_of(await run.tree(width=watching.WIDE)) == (51, 51)


async def test_on_a_terminal_a_bar_is_shown_until_the_run_has_settled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = io.StringIO()
    terminal = Console(file=shown, force_terminal=True, width=80, legacy_windows=False)
    monkeypatch.setattr(watching, "stderr", lambda: terminal)
    monkeypatch.setattr(watching, "EVERY", 0.001)
    async with Mageflow() as mf:

        @mf.task
        async def one(n: int) -> int:
            return n

        run = await swarm([one.sign(n=n) for n in range(3)]).start()
        await watching.settled(run, "three tasks")
        assert "three tasks" in shown.getvalue()
        assert await run.result(timeout=20) == [0, 1, 2]


async def test_a_bar_that_is_given_up_leaves_nothing_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a run that does not end, watched on a terminal
    terminal = Console(file=io.StringIO(), force_terminal=True, legacy_windows=False)
    monkeypatch.setattr(watching, "stderr", lambda: terminal)
    async with Mageflow() as mf:
        go = asyncio.Event()

        @mf.task
        async def waits() -> None:
            await go.wait()

        run = await waits.start()
        watcher = asyncio.create_task(watching.settled(run, "waiting"))
        await asyncio.sleep(0)
        # When the watcher is cancelled, then it ends, and the run goes on
        watcher.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watcher
        go.set()
        await run.settled(timeout=20)


async def test_a_summary_counts_bodies_and_has_what_callbacks_gave() -> None:
    async with Mageflow() as mf:

        @mf.task
        def one(n: int) -> int:
            return n

        @mf.task
        def told() -> Word:
            return Word(text="done")

        first = one.sign().on_success(told.sign())
        run = await chain(first, one).on_success(told).start(1)
        await run.settled(timeout=20)
        summary = await watching.summary(mf, run)
        assert (summary.run, summary.status, summary.tasks) == (run.id, "done", 4)
        assert summary.callbacks == {"told": {"text": "done"}}
        assert summary.seconds >= 0
