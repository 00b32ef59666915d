"""The command line as people start it: as a process of its own, and on a store that is shared."""

import asyncio
import copy
import logging
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest
from typer.testing import CliRunner

from mageflow import ErrorValue, Mageflow
from mageflow.cli import app
from mageflow_core.errors import StoreUnavailable
from mageflow_core.loading import STORES, load
from mageflow_core.stores.memory import MemoryStore
from mageflow_core.stores.protocol import Finding, Listener, StoreOptions

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    """`mageflow ARGUMENT…` in an empty folder, where warnings are errors."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-W", "error", "-m", "mageflow", *arguments],
            check=False,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=55,
            env={**os.environ, "COLUMNS": "120", **variables},
        )

    return run


@pytest.fixture
def says(command: Command) -> Callable[..., str]:
    """What a command that ends with this code says on stderr: one line, and nothing on stdout."""

    def run(code: int, *arguments: str, **variables: str) -> str:
        ran = command(*arguments, **variables)
        assert ran.returncode == code, ran.stderr
        assert ran.stdout == ""
        assert ran.stderr.startswith("mageflow: ")
        assert ran.stderr.count("\n") == 1, ran.stderr
        return ran.stderr.removeprefix("mageflow: ").strip()

    return run


# --- a store that is shared ----------------------------------------------------------------------

URL = "double://user:secret@host"


class SharedStore(MemoryStore):
    """A store in this process that lives on when who has opened it is gone, and that all see who
    name the same namespace. away: how many of the next calls it does not answer."""

    durable: ClassVar[str] = "until the test ends"
    shared: ClassVar[bool] = True
    spaces: ClassVar[dict[str, MemoryStore]] = {}
    findings: ClassVar[list[Finding]] = []
    away: ClassVar[int] = 0
    calls: ClassVar[list[str]] = []

    @staticmethod
    def before(call: str) -> None:
        """Called before each call of it, for tests to have something else happen there."""

    @classmethod
    def from_url(cls, _url: str, /, options: StoreOptions) -> Self:
        made = cls(policy=options.policy, clock=options.clock)
        first: Any = cls.spaces.setdefault(options.namespace, made)
        # What it holds is one and the same; only who listens is another.
        handle: Self = copy.copy(first)
        handle._own = None
        return handle

    _own: Listener | None

    async def open(self, listener: Listener) -> None:
        _answer("open")
        self._own = listener
        self._listeners.append(listener)

    async def close(self) -> None:
        if self._own is not None:
            self._listeners.remove(self._own)

    async def examine(self) -> list[Finding]:
        _answer("examine")
        return list(self.findings)


def _answer(call: str) -> None:
    SharedStore.calls.append(call)
    SharedStore.before(call)
    if SharedStore.away:
        SharedStore.away -= 1
        raise StoreUnavailable("double://user:***@host does not answer: is it there?")


def _may_be_away(name: str) -> Any:
    whole = getattr(MemoryStore, name)

    async def call(self: MemoryStore, *arguments: Any) -> Any:
        _answer(name)
        return await whole(self, *arguments)

    return call


for _name in (
    *("create", "steer", "view", "node", "children", "signature", "value", "values"),
    *("history", "find", "counts", "wait", "workers"),
):
    setattr(SharedStore, _name, _may_be_away(_name))


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[SharedStore]]:
    """The store of the settings, for as long as the test runs."""

    def loaded(group: str, name: str) -> type[Any]:
        return SharedStore if (group, name) == (STORES, "double") else load(group, name)

    monkeypatch.setattr("mageflow_core.stores.loader.load", loaded)
    monkeypatch.setenv("MAGEFLOW_STORE", URL)
    monkeypatch.setenv("COLUMNS", "160")
    SharedStore.spaces, SharedStore.findings = {}, []
    SharedStore.away, SharedStore.calls = 0, []
    yield SharedStore
    SharedStore.spaces = {}


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """What a command says in this process, which has to end with this code."""
    monkeypatch.delenv("COLUMNS", raising=False)
    log = logging.getLogger("mageflow")
    level = log.level

    def run(code: int, *arguments: str, stdin: str | None = None) -> Any:
        result = CliRunner().invoke(app, list(arguments), input=stdin)
        assert result.exit_code == code, (result.output, result.exception)
        assert "secret" not in result.output
        return result

    yield run
    log.setLevel(level)  # workers set that of their process


@pytest.fixture
def complains(ran: Callable[..., Any]) -> Callable[..., str]:
    """The one line that a command in this process says on stderr, with nothing on stdout."""

    def run(code: int, *arguments: str) -> str:
        result = ran(code, *arguments)
        assert result.stdout == ""
        assert result.stderr.startswith("mageflow: ")
        assert result.stderr.count("\n") == 1, result.stderr
        return str(result.stderr).removeprefix("mageflow: ").strip()

    return run


def worker() -> Mageflow:
    """An app of those who work on the shared store."""
    mf = Mageflow(shutdown_grace=0.0)

    @mf.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    @mf.task
    def fails(a: int) -> int:
        raise ValueError("no such thing,\nnot at all")

    @mf.task
    def tell(error: ErrorValue) -> str:
        return f"told of {error.task}"

    return mf


@pytest.fixture
def acts(shared: type[SharedStore]) -> Callable[[Callable[[Mageflow], Awaitable[Any]]], Any]:
    """Let something happen on the shared store, by a worker that is gone afterwards."""

    def run(what: Callable[[Mageflow], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            async with worker() as mf:
                return await what(mf)

        return asyncio.run(whole())

    return run


@pytest.fixture
def started(acts: Callable[..., Any]) -> Callable[..., str]:
    """The id of a run that was started; it is settled, or all that could be done of it is."""

    def run(flow: Callable[[], Any], *, settles: bool = True) -> str:
        async def start(mf: Mageflow) -> str:
            made = await mf.start(flow(), {"a": 1})
            if settles:
                await made.settled(timeout=20)
            return str(made.id)

        return str(acts(start))

    return run


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    """Waits until a condition holds, for what nobody tells of."""

    async def wait(condition: Callable[[], Any], within: float = 10) -> None:
        async with asyncio.timeout(within):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.005)

    return wait
