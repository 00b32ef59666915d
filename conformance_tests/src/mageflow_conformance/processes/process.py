"""A process that a nursery has started."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

from mageflow_conformance.ledger import Ledger
from mageflow_conformance.waiting import eventually, eventually_sync, scaled

LOG_END = 3_000  # characters
KILLED, FROZEN, THAWED = "killed", "frozen", "thawed"


class Died(AssertionError):
    """A process has not ended as it should have, or ended though it should not."""


class Process:
    """Signals go to this process alone, by its id; where it is frozen its children are as well.

    ledger: gets a row when it was killed by SIGKILL, whoever did that, and when it was frozen and
    let go on; `of` in it is the process's id.
    """

    def __init__(self, name: str, log: Path, ledger: Ledger) -> None:
        self.name = name
        self.log = log
        self.ended: Future[int] = Future()  # of its exit code; minus the signal that has ended it
        self._pid: Future[int] = Future()
        self._ledger = ledger
        self._stopped = threading.Event()

    @property
    def pid(self) -> int:
        return self._pid.result(scaled(10))

    @property
    def runs(self) -> bool:
        """Also while it is frozen."""
        return not self.ended.done()

    # --- told by the nursery, on a thread of its own --------------------------------------------
    def told(self, said: dict[str, Any]) -> None:
        if "pid" in said:
            self._pid.set_result(said["pid"])
        elif "stopped" in said:
            self._note(FROZEN)
            self._stopped.set()
        elif "continued" in said:
            self._stopped.clear()
        else:
            if said["exit"] == -signal.SIGKILL:
                self._note(KILLED)
            self.ended.set_result(said["exit"])

    def _note(self, what: str) -> None:
        self._ledger.note(what, of=self.pid)

    # --- ending it ------------------------------------------------------------------------------
    async def kill(self) -> None:
        """As a power cut would; frozen or not. Returns when it is gone."""
        self._signal(signal.SIGKILL, self._send)
        await self.exited(-signal.SIGKILL)

    async def stop(self, within: float = 20.0) -> None:
        """Ask it to end, which it does in order. Raises `Died` where it ends otherwise."""
        self.ask_to_end()
        await self.exited(0, within=within)

    def ask_to_end(self) -> None:
        self._signal(signal.SIGTERM, self._send)

    async def exited(self, code: int, within: float = 20.0) -> None:
        """Wait for its end. Raises `Died`, with the end of its log, where that is another."""
        try:
            async with asyncio.timeout(scaled(within)):
                ended = await asyncio.shield(asyncio.wrap_future(self.ended))
        except TimeoutError:
            raise Died(self.say(f"still runs after {within:g} s")) from None
        if ended != code:
            raise Died(self.say(f"ended with {ended}, not {code}"))

    # --- freezing it ----------------------------------------------------------------------------
    async def freeze(self) -> None:
        """Returns when it stands still."""
        self._signal(signal.SIGSTOP, self._send_all)
        await eventually(self._stopped.is_set, within=10, about=f"{self.name} that stands still")

    def thaw(self) -> None:
        self._note(THAWED)
        self._signal(signal.SIGCONT, self._send_all)

    # --------------------------------------------------------------------------------------------
    def end(self) -> None:
        """For those that clean up: kill it if it runs, and what it has started with it."""
        if self.runs:
            with suppress(ProcessLookupError):  # it has ended, and the nursery is about to tell
                self._send_all(signal.SIGKILL)
            self._wait_for_end()

    def must_run(self) -> None:
        """Raises `Died` where it does not."""
        if not self.runs:
            raise Died(self.say(f"has ended with {self.ended.result()}"))

    def _signal(self, number: signal.Signals, send: Callable[[signal.Signals], None]) -> None:
        """Raises `Died` where it has ended."""
        self.must_run()
        try:
            send(number)
        except ProcessLookupError:  # the nursery is about to tell of its end
            self._wait_for_end()
            self.must_run()

    def _send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def _send_all(self, number: signal.Signals) -> None:
        """To its children as well, which are in its group."""
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:  # it was only just forked
            self._send(number)

    def _wait_for_end(self) -> None:
        eventually_sync(self.ended.done, within=10, about=f"the end of {self.name}")

    def say(self, what: str) -> str:
        """With the end of what it has printed."""
        printed = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
        return f"process {self.name} {what}; it has printed:\n{printed[-LOG_END:]}"
