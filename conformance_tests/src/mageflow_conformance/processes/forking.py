"""The program of a nursery: forks a process for each line that it reads, and tells what becomes of
it. `python -m mageflow_conformance.processes.forking MODULE…`

It has imported what takes long and has no state, and nothing of MageFlow: a child reads its
settings and failpoints from its own environment, as a process that was started anew does. It has
one thread, so that forking is safe, and ends with all its children when its input ends.

A line in, as JSON: `name`, `target` (module and function), `arguments`, `environment`, `log` (a
file). Lines out: `name` with `pid`, then with `stopped` or `continued` each time, then with `exit`
(minus the signal where one has ended it).
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

Order = dict[str, Any]


class Forking:
    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._rest = b""
        self._life = os.pipe()  # children hold its reading end, and see when this process is gone
        self._woken, self._waker = os.pipe()
        for end in (self._woken, self._waker):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end it
        signal.set_wakeup_fd(self._waker)

    def run(self) -> Order | None:
        """In the parent, return `None` when the input has ended; in a child, its order."""
        with selectors.DefaultSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == self._woken:
                        os.read(self._woken, 4096)
                        self._tell_changes()
                        continue
                    data = os.read(0, 65_536)
                    if not data:
                        self._end_all()
                        return None
                    *lines, self._rest = (self._rest + data).split(b"\n")
                    for line in lines:
                        order: Order = json.loads(line)
                        if self._fork(order["name"]):
                            return order

    def _fork(self, name: str) -> bool:
        """Whether this is the child."""
        pid = os.fork()
        if pid:
            self._names[pid] = name
            _tell(name=name, pid=pid)
            return False
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        for end in (self._woken, self._waker, self._life[1]):
            os.close(end)
        threading.Thread(target=_end_with, args=(self._life[0],), daemon=True).start()
        return True

    def _tell_changes(self) -> None:
        while self._names:
            pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                _tell(name=self._names[pid], stopped=True)
            elif os.WIFCONTINUED(status):
                _tell(name=self._names[pid], continued=True)
            else:
                _tell(name=self._names.pop(pid), exit=os.waitstatus_to_exitcode(status))

    def _end_all(self) -> None:
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)
        for pid in self._names:
            os.waitpid(pid, 0)


def _end_with(life: int) -> None:
    os.read(life, 1)  # nobody writes: it returns when the other end is closed
    os._exit(1)


def _tell(**said: Any) -> None:
    os.write(1, f"{json.dumps(said)}\n".encode())


def perform(order: Order) -> None:
    """Be what the order says. What is printed goes to its log."""
    with Path(os.devnull).open("rb") as nothing, Path(order["log"]).open("ab") as log:
        os.dup2(nothing.fileno(), 0)
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    os.environ.update(order["environment"])
    module, _, function = order["target"].partition(":")
    getattr(importlib.import_module(module), function)(**order["arguments"])


def main(modules: list[str]) -> None:
    with warnings.catch_warnings():  # what a library says of its own libraries is not ours
        warnings.simplefilter("ignore", DeprecationWarning)
        for name in modules:
            importlib.import_module(name)
    early = [name for name in sys.modules if name.startswith("mageflow_core")]
    assert not early, f"imported before the environment of any child was known: {early}"
    order = Forking().run()
    if order is not None:
        perform(order)


if __name__ == "__main__":
    main(sys.argv[1:])
