"""A worker of Celery's that MageFlow starts: a process, which may have others."""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
import secrets
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery, signals
from celery.platforms import set_pdeathsig
from celery.utils.nodenames import gethostname

from mageflow_celery.attached import Attached
from mageflow_celery.leash import Leash
from mageflow_core.errors import BackendError

log = logging.getLogger("mageflow.celery")

LAST = 5.0  # seconds that an end may take beyond the grace of what runs
HURRIED = 10.0  # that it may take where nothing has any


class Working:
    """Forked from this process, so that it has the app as it is here; it ends with it, however
    that ends. pool, concurrency, queues: as of Celery's own command."""

    def __init__(
        self, attached: Attached, *, pool: str, concurrency: int, queues: tuple[str, ...] | None
    ) -> None:
        self._attached = attached
        self._options: dict[str, Any] = {"pool": pool, "concurrency": concurrency}
        if queues is not None:
            self._options["queues"] = list(queues)

    async def run(self, stop: asyncio.Event, grace: float) -> None:
        """See `TaskManager.serve`."""
        hurry = Leash()
        context = multiprocessing.get_context("fork")
        arguments = (self._attached, hurry, self._options, os.getpid(), gc.isenabled())
        process = context.Process(target=_work, args=arguments, name="mageflow celery worker")
        with _forking():
            process.start()
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_reader(process.sentinel, ended.set)
        stopping = asyncio.create_task(stop.wait())
        ending = asyncio.create_task(ended.wait())
        try:
            await asyncio.wait({stopping, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                process.join()
                raise BackendError(
                    f"the worker of Celery ended by itself, with exit code {process.exitcode}; "
                    "its log says why"
                )
            _signal(process, signal.SIGTERM)
            await asyncio.wait([ending], timeout=grace + LAST)
        except asyncio.CancelledError:
            hurry.let_go()
            _signal(process, signal.SIGTERM)
            await asyncio.wait([ending], timeout=HURRIED)
            raise
        finally:
            if not ended.is_set():
                log.warning("the worker of Celery did not end in time, and is ended")
                await _end(process, ending)
            for task in (stopping, ending):
                task.cancel()
            loop.remove_reader(process.sentinel)
            process.join()
            process.close()
            hurry.close()


async def _end(process: Any, ending: asyncio.Task[Any]) -> None:
    """Its children die with it."""
    for number in (signal.SIGQUIT, signal.SIGKILL):
        _signal(process, number)
        await asyncio.wait([ending], timeout=LAST)
        if ending.done():
            return


def _signal(process: Any, number: signal.Signals) -> None:
    if process.is_alive():
        os.kill(process.pid, number)


@contextmanager
def _forking() -> Iterator[None]:
    """Nothing is collected until the child has put aside what is its parent's. Python warns of
    forking where there are threads: those that there are, are idle ones of the event loop's
    executor, and no lock of theirs is used in the child."""
    collects = gc.isenabled()
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        if collects:
            gc.enable()


# --- in the child ---------------------------------------------------------------------------------
def _work(
    attached: Attached,
    hurry: Leash,
    options: dict[str, Any],
    parent: int,
    collects: bool,  # noqa: FBT001 - given by `Process`
) -> None:
    # The parent's garbage is the parent's to end: a channel of gRPC's, for one, waits for a thread
    # that there is only there.
    gc.freeze()
    if collects:
        gc.enable()
    signal.set_wakeup_fd(-1)  # the parent's event loop
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    set_pdeathsig("SIGKILL")
    if os.getppid() != parent:  # it has died before that was said
        return
    vars(sys)["__stdout__"] = sys.__stderr__  # where it says that it stops; the other is the app's
    hurry.hold()
    attached.hurry = hurry
    attached.grace = None
    attached.app._after_fork()  # noqa: SLF001 - of the processes that it forks itself it is told
    signals.setup_logging.connect(_leave_logging, weak=False)
    sys.exit(_worked(attached.app, options))


def _worked(app: Celery, options: dict[str, Any]) -> int:
    worker = app.Worker(
        hostname=f"mageflow-{os.getpid()}-{secrets.token_hex(3)}@{gethostname()}",
        quiet=True,
        loglevel=None,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        **options,
    )
    worker.start()
    return int(worker.exitcode or 0)


def _leave_logging(**_: Any) -> None:
    """Logging is as the process that serves has it: a receiver of this signal has Celery leave it
    alone."""
