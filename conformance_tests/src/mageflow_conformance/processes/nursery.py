"""Where test processes come from: one that forks has imported what takes long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes.process import Process

# What a worker process on Redis imports, MageFlow's own modules aside.
HEAVY = ("asyncio", "pydantic", "pydantic_settings", "stevedore", "redis.asyncio", "hiredis")
PROGRAM = "mageflow_conformance.processes.forking"


class Nursery:
    """Starts processes in some 0.15 s each; a fresh interpreter takes three times as long.

    They end with it, at the latest, also where it is killed itself. For any thread.
    """

    def __init__(self, folder: Path, modules: tuple[str, ...] = HEAVY) -> None:
        self._folder = folder
        self._modules = modules
        self._numbers = count(1)
        self._lock = threading.Lock()
        self._children: dict[str, Process] = {}
        self._program: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(  # noqa: S603  # the command is ours
            [sys.executable, "-W", "error", "-m", PROGRAM, *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reader = threading.Thread(target=self._read, name="nursery", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._program is not None
        assert self._reader is not None
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.close()
        self._program.wait()
        self._reader.join()
        self._program.stdout.close()

    def start(
        self,
        target: Callable[..., None],
        ledger: Ledger,
        *,
        environment: Mapping[str, str] | None = None,
        **arguments: Any,
    ) -> Process:
        """A new process that calls this function of a module with the ledger's path and these
        arguments, which are JSON values. environment: added to that of the nursery."""
        with self._lock:
            name = f"{target.__name__}-{next(self._numbers)}"
            log = self._folder / f"{name}.log"
            child = self._children[name] = Process(name, log, ledger)
            order = {
                "name": name,
                "target": f"{target.__module__}:{target.__name__}",
                "arguments": {"ledger": str(ledger.path), **arguments},
                "environment": dict(environment or {}),
                "log": str(log),
            }
            assert self._program is not None, "enter the nursery first"
            assert self._program.stdin is not None
            self._program.stdin.write(f"{json.dumps(order)}\n".encode())
            self._program.stdin.flush()
        return child

    def end_all(self) -> None:
        """Kill those that still run."""
        for child in list(self._children.values()):
            child.end()

    def _read(self) -> None:
        assert self._program is not None
        assert self._program.stdout is not None
        for line in self._program.stdout:
            said = json.loads(line)
            self._children[said["name"]].told(said)
