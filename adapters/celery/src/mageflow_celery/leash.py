"""How a process tells others that it has forked, however many, of one thing."""

from __future__ import annotations

import os


class Leash:
    """A pipe that nothing is written to. Who holds `reading` sees it end when the process that has
    made it lets go, or dies. A child that was forked since has to `hold` it, or it never ends."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        self._pid = os.getpid()

    def let_go(self) -> None:
        """Also in a signal handler. Twice is once."""
        writing, self._writing = self._writing, -1
        if writing >= 0:
            os.close(writing)

    def hold(self) -> None:
        """In a child: only read. In the process that has made it, nothing."""
        if self._pid != os.getpid():
            self.let_go()

    def close(self) -> None:
        self.let_go()
        reading, self.reading = self.reading, -1
        if reading >= 0:
            os.close(reading)
