"""Named points between two steps, where a test can have the process die, fail or pause.

Armed by the environment alone, read once when this module is imported::

    MAGEFLOW_FAILPOINTS="runner.claimed=kill@3,dispatcher.sent=raise,reconciler.fired=pause:2.5"
    MAGEFLOW_FAILPOINTS_LOG=/tmp/hits

`kill` sends SIGKILL to the process itself, `kill-all` to its process group, for workers that have
children and a group of their own, `raise` raises `FailpointError`, `pause:2.5` blocks the
thread for as many seconds. Each happens once in a process: at the n-th hit that `@n` says, else at
the first. The log gets a line `<pid> <name>` for each hit of any point, before anything happens
there; that of a kill is the last one of its process, whatever other threads do. Where nothing is
armed, a hit is a call of a function that returns.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from mageflow_core.errors import SettingsError

VARIABLE = "MAGEFLOW_FAILPOINTS"
LOG_VARIABLE = "MAGEFLOW_FAILPOINTS_LOG"

MEANINGS: Mapping[str, str] = {
    "client.creating": "a run is about to be stored",
    "client.created": "it is stored, and its caller does not know yet",
    "dispatcher.sending": "jobs of one backend are about to be handed to it",
    "dispatcher.submitted": "it has answered, and what it took is not confirmed yet",
    "dispatcher.sent": "what it took is confirmed",
    "dispatcher.passing": "jobs that this process cannot send are about to be passed on",
    "dispatcher.passed": "they are passed on",
    "asyncio.queued": "jobs are in the queue of the asyncio backend",
    "asyncio.taken": "one of them has left it, and the runner has not been called",
    "runner.delivered": "a backend has called the runner",
    "runner.claiming": "its node is about to be claimed",
    "runner.claimed": "the claim was granted",
    "runner.bound": "the input is read, validated and bound",
    "runner.begun": "the body's own task or thread runs; what is raised here is the body's failure",
    "runner.returned": "the attempt is over, and how it ended is known",
    "runner.continuing": "the body has returned a signature, which is about to be reported",
    "runner.continued": "the signature is stored in the place of its node",
    "runner.reporting": "an outcome is about to be reported",
    "runner.reported": "it is reported, and the backend does not know yet",
    "reconciler.firing": "what is due is about to be moved on",
    "reconciler.fired": "it is moved on",
    "renewal.renewing": "the leases are about to be renewed",
    "renewal.renewed": "they are renewed",
    "worker.leaving": "all bodies have ended, and the worker is about to leave",
    "worker.left": "the worker has left",
}
NAMES = frozenset(MEANINGS)

SYNTAX = re.compile(r"([a-z.]+)=(kill-all|kill|raise|pause:(\d+(?:\.\d+)?))(?:@([1-9]\d*))?")


class FailpointError(RuntimeError):
    """A failpoint was armed to raise here."""


@dataclass(frozen=True, slots=True)
class Action:
    """What happens at the `nth` hit of a point. seconds: of a pause."""

    kind: str
    nth: int = 1
    seconds: float = 0.0

    @property
    def kills(self) -> bool:
        return self.kind in ("kill", "kill-all")

    def happen(self, name: str) -> None:
        if self.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "kill-all":
            os.killpg(0, signal.SIGKILL)
            time.sleep(1)  # it comes to each of a group by itself
        if self.kind == "raise":
            raise FailpointError(f"failpoint {name}, as {VARIABLE} says")
        time.sleep(self.seconds)


def parse(text: str) -> dict[str, Action]:
    """The actions by the names of their points. Raises `SettingsError`."""
    actions = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        found = SYNTAX.fullmatch(each)
        if found is None:
            raise SettingsError(
                f"{VARIABLE}: {each!r} is no failpoint: expected name=kill, name=kill-all, "
                "name=raise or name=pause:SECONDS, each with @N for the N-th hit, separated by "
                "commas"
            )
        name, action, seconds, nth = found.groups()
        if name not in NAMES:
            close = get_close_matches(name, NAMES, n=1)
            meant = f"; did you mean {close[0]!r}?" if close else ""
            raise SettingsError(f"{VARIABLE}: no failpoint is named {name!r}{meant}")
        if name in actions:
            raise SettingsError(f"{VARIABLE}: {name!r} is armed twice")
        actions[name] = Action(action.partition(":")[0], int(nth or 1), float(seconds or 0))
    return actions


class Armed:
    """Counts hits, writes them down, and lets happen what was said. For any thread."""

    def __init__(self, actions: Mapping[str, Action], log: str | None = None) -> None:
        self._actions = actions
        self._hits: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._log: int | None = None
        if log:
            try:
                self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            except OSError as error:
                raise SettingsError(f"{LOG_VARIABLE}: {log!r} cannot be written: {error}") from None

    def hit(self, name: str, /) -> None:
        action = self._actions.get(name)
        with self._lock:
            self._hits[name] += 1
            if self._log is not None:
                os.write(self._log, f"{os.getpid()} {name}\n".encode())
            if action is None or action.nth != self._hits[name]:
                return
            if action.kills:
                action.happen(name)  # no other thread comes to a point while this one has the lock
        action.happen(name)


def _not_armed(_name: str, /) -> None:
    """As it is wherever nobody tests anything."""


def _from(environment: Mapping[str, str]) -> Callable[[str], None]:
    text, log = environment.get(VARIABLE, ""), environment.get(LOG_VARIABLE)
    return Armed(parse(text), log).hit if text or log else _not_armed


hit: Callable[[str], None] = _from(os.environ)
