"""What task bodies write into the ledger of themselves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mageflow_conformance.ledger import Ledger
from mageflow_core.errors import Interrupted
from mageflow_core.signatures.context import Context

BEGUN, ENDED, FAILED, STOPPED = "begun", "ended", "failed", "stopped"
LOST = "lost"  # a process says that others took its leases for lost


class Witness:
    """Of one worker process. worker: gives its id, which it has once it works."""

    def __init__(self, ledger: Ledger, worker: Callable[[], str | None]) -> None:
        self.ledger = ledger
        self._worker = worker

    def listen(self) -> None:
        """From now on write down when the worker of this process says that it lost its leases."""
        logging.getLogger("mageflow.worker").addHandler(_Listening(self.ledger))

    @contextmanager
    def body(self, context: Context) -> Iterator[None]:
        """Around the whole body of a task: that it began, and that it returned, raised, or was
        stopped. A body whose process dies has only begun."""
        self.note(BEGUN, context)
        try:
            yield
        except (asyncio.CancelledError, Interrupted):
            self.note(STOPPED, context)
            raise
        except BaseException:
            self.note(FAILED, context)
            raise
        self.note(ENDED, context)

    def note(self, what: str, context: Context, **more: Any) -> None:
        self.ledger.note(
            what,
            worker=self._worker(),
            key=context.key,
            attempt=context.attempt,
            fence=context.fence,
            task=context.task,
            **more,
        )


class _Listening(logging.Handler):
    def __init__(self, ledger: Ledger) -> None:
        super().__init__(logging.WARNING)
        self._ledger = ledger

    def emit(self, record: logging.LogRecord) -> None:
        if "were lost" in record.getMessage():
            self._ledger.note(LOST)
