"""Lives that tests of the nursery let processes lead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from mageflow_conformance.ledger import Ledger


def write(ledger: str, what: str, variable: str = "") -> None:
    """Write one row, with the value of an environment variable and what was imported before."""
    early = sorted({name.partition(".")[0] for name in sys.modules} & {"json", "mageflow_core"})
    threads = threading.active_count()
    Ledger(ledger).note(what, value=os.environ.get(variable), early=early, threads=threads)


def wait(ledger: str, *, orderly: bool = True) -> None:
    """Until a signal ends it."""
    if orderly:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Ledger(ledger).note("waiting")
    while True:
        signal.pause()


def fail(ledger: str) -> None:
    Ledger(ledger).note("failing")
    raise ValueError("as it was told")


def beget(ledger: str) -> None:
    """Start another one, and wait."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as child:
        Ledger(ledger).note("begotten", of=child.pid)
        signal.pause()
