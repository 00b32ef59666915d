"""A server's process: started, ended by its pid, and never left behind."""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

STOP_TIME = 10.0  # seconds from the first signal to end until it is killed
ASK_AGAIN = 0.5  # seconds: a server may refuse while it does what cannot be broken off
# Waits until this process closes the pipe or is gone, however it ended, then kills the server.
GUARD = 'read -r _; kill -KILL "$0"'

_running: weakref.WeakSet[ServerProcess] = weakref.WeakSet()


class ServerProcess:
    """One run of a program.

    A guard beside it holds the end of a pipe of ours and kills the server when that closes: also
    when this process is killed. `PR_SET_PDEATHSIG` would go by the thread that has started the
    server, which may end much earlier than the process.
    """

    def __init__(
        self, command: list[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # the command is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the tests, which then end it
            )
        self._guard = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", GUARD, str(self.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        _running.add(self)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Also while it is paused."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask it to end, and wait; kill it where it does not. Of one that has ended, nothing."""
        self._process.send_signal(signal.SIGCONT)
        end = time.monotonic() + STOP_TIME
        while time.monotonic() < end:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(ASK_AGAIN)
                break
        self._process.kill()  # which does nothing to one that has ended
        self._gone()

    def kill(self) -> None:
        """End it at once, as a power cut would; paused or not."""
        self._process.kill()
        self._gone()

    def pause(self) -> None:
        """Freeze it. Returns when it stands still."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def _gone(self) -> None:
        self._process.wait()
        assert self._guard.stdin is not None
        self._guard.kill()  # before its pipe closes: the pid that it knows may be another's soon
        self._guard.wait()
        self._guard.stdin.close()
        _running.discard(self)


@atexit.register
def _kill_all() -> None:
    for process in list(_running):
        process.kill()
