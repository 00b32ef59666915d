"""What holds for all commands."""

import asyncio
import io
import json
import logging
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


STEERING = ["suspend", "resume", "interrupt", "cancel", "retry"]


def test_there_are_these_commands() -> None:
    looking = ["list", "show", *STEERING, "workers"]
    assert names() == ["demo", "run", "worker", *looking, "backends", "doctor"]


@pytest.mark.parametrize("name", names())
def test_each_command_says_what_it_does(name: str) -> None:
    ran = CliRunner().invoke(app, [name, "--help"])
    assert ran.exit_code == 0
    assert "Usage: " in ran.stdout
    # A worker prints no data; all others do.
    assert ("--json" in ran.stdout) is (name != "worker")
    # And all but these two can be told which store and namespace are meant.
    for option in ("--store", "--namespace"):
        assert (option in ran.stdout) is (name not in ("run", "backends"))


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


def test_warnings_are_left_out_only_while_a_command_says_them_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log = logging.getLogger("mageflow.store")
    with output.warnings_left_out():
        log.warning("no answer")
        log.error("a bug")
    log.warning("no answer again")
    assert [record.message for record in caplog.records] == ["a bug", "no answer again"]


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


def test_what_would_do_something_to_the_terminal_is_written_out() -> None:
    assert output.visible("a\tb\nc é \U0001f9d9") == "a\tb\nc é \U0001f9d9"
    assert output.visible("\x1b[2J\r\x07\x7f\x9b") == "\\x1b[2J\\x0d\\x07\\x7f\\x9b"
    console = Console(file=io.StringIO(), width=80, legacy_windows=False)
    console.print(output.table(("a",), [("\x1b[31mred",)]))
    assert "\x1b" not in console.file.getvalue()  # type: ignore[attr-defined]


def test_a_column_that_is_to_be_copied_is_not_folded() -> None:
    console = Console(file=io.StringIO(), width=20, legacy_windows=False)
    console.print(output.table(("id", "flow"), [("0123456789abc", "a long name")], whole=("id",)))
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "0123456789abc" in printed
    assert "a long name" not in printed


def test_where_nobody_looks_a_line_is_as_long_as_it_wants(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    output.stdout().print(output.table(("a", "b"), [("x" * 150, "y" * 150)]))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert "y" * 150 in lines[1]
    monkeypatch.setenv("COLUMNS", "80")
    assert output.stdout().width == 80


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
        await watching.settled(await mf.opened(), run, "three tasks")
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
        watcher = asyncio.create_task(watching.settled(await mf.opened(), run, "waiting"))
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
        summary = await watching.summary(await mf.opened(), run)
        assert (summary.run, summary.status, summary.tasks) == (run.id, "done", 4)
        assert summary.callbacks == {"told": {"text": "done"}}
        assert summary.seconds >= 0
