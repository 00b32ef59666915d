"""The app of a test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from mageflow.testing.asserting import Asserting
from mageflow.testing.bodies import Bodies, ObservedRegistry
from mageflow.testing.clock import VirtualClock
from mageflow.testing.faults import Fault, Faults
from mageflow.testing.records import Attempt, CrashPoint, Dispatch, Records
from mageflow.testing.replacing import NOTHING, Replacement
from mageflow.testing.showing import attempt_text, dispatch_text, list_text, tree_text
from mageflow.testing.site import ObservedSite
from mageflow_core import Mageflow, Run, Task
from mageflow_core.client import ambient
from mageflow_core.client.site import Site
from mageflow_core.errors import RunNotFound, WaitTimeout
from mageflow_core.settings import Settings

AnyTask = Task[..., Any, Any]


class TestApp(Asserting, Mageflow):
    """An app on the embedded backend, in memory, with a virtual clock; see `embedded`.

    It opens at first use, in the event loop that it is first used in.
    """

    __test__: ClassVar[bool] = False  # its name begins with Test, and it is none

    clock: VirtualClock

    def __init__(
        self, tasks: Mageflow | None = None, *, clock: VirtualClock | None = None, **named: Any
    ) -> None:
        theirs = dict(tasks.settings) if tasks is not None else {}
        fixed = {"backend": "asyncio", "store": "memory://", "warn_unclosed": False}
        settings = Settings.load(**{**theirs, **fixed, "shutdown_grace": 0.0, **named})
        self.records = Records()
        self.faults = Faults()
        self._bodies = Bodies(self.records)
        super().__init__(settings=settings, clock=clock or VirtualClock())
        source = tasks.registry if tasks is not None else None
        observed = ObservedRegistry(self, self._bodies, source)
        for own_task in self.registry:
            observed.add(own_task)
        self.registry = observed

    async def _open_site(self) -> Site:
        return await ObservedSite.open(self)

    # --- what happened --------------------------------------------------------------------------
    @property
    def dispatched(self) -> list[Dispatch]:
        """The runs that were started, oldest first."""
        return self.records.dispatched

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts of tasks that workers have begun, oldest first."""
        return self.records.attempts

    async def show(self, run: Run[Any] | str | None = None) -> str:
        """What there is to see of a run, or of all that were started."""
        if run is None:
            ids = [each.run_id for each in self.dispatched]
        else:
            ids = [run if isinstance(run, str) else run.run_id]
        texts = []
        for run_id in dict.fromkeys(ids):
            try:
                shown = await self.load(run_id)
                texts.append(tree_text(await shown.tree()))
            except RunNotFound:
                texts.append(f"{run_id}: gone, its TTL has passed")
        return "\n".join(texts)

    def report(self) -> str:
        """All that was dispatched and all that ran."""
        started = [dispatch_text(each) for each in self.dispatched]
        ran = [attempt_text(each) for each in self.attempts]
        return "\n".join([list_text("Dispatched", started), list_text("Ran", ran)])

    # --- time -----------------------------------------------------------------------------------
    async def advance(self, seconds: float, *, patience: float = 1.0) -> None:
        """Let time pass; see `VirtualClock.advance`."""
        await self.opened()
        await self.clock.advance(seconds, patience=patience)

    async def idle(self, *, timeout: float = 5.0) -> None:
        """Wait until no body runs and no job is on its way. Time stands still: delays, back-off
        and the like stay ahead. Raises `WaitTimeout` after `timeout` real seconds."""
        await self.opened()
        try:
            async with asyncio.timeout(timeout):
                await self.clock.come_to_rest(set(), patience=timeout)
        except TimeoutError:
            pass
        running = self.unfinished()
        if running:
            raise WaitTimeout(
                f"bodies still run after {timeout:g} s: {', '.join(running)}\n{await self.show()}"
            )

    async def settle(self, *, timeout: float = 5.0) -> None:
        """Wait until every run that was started has settled, and time goes by as it must. Raises
        `WaitTimeout` after `timeout` real seconds, with the runs that are left."""
        await self.opened()
        try:
            async with asyncio.timeout(timeout):
                for dispatch in self.dispatched:  # grows meanwhile
                    await self._settled(dispatch)
        except TimeoutError:
            raise WaitTimeout(
                f"not settled after {timeout:g} s:\n{await self.show()}\n{self.report()}"
            ) from None

    async def _settled(self, dispatch: Dispatch) -> None:
        try:
            await Run(self, dispatch.run_id, dispatch.signature).settled()
        except RunNotFound:
            return  # its TTL has passed

    def advance_sync(self, seconds: float, *, patience: float = 1.0) -> None:
        self.run_sync(self.advance(seconds, patience=patience))

    def idle_sync(self, *, timeout: float = 5.0) -> None:
        self.run_sync(self.idle(timeout=timeout))

    def settle_sync(self, *, timeout: float = 5.0) -> None:
        self.run_sync(self.settle(timeout=timeout))

    # --- other bodies, and faults ---------------------------------------------------------------
    def replace(
        self, task: AnyTask | str, instead: Any = NOTHING, /, *, returns: Any = NOTHING
    ) -> Replacement:
        """Have something else in place of a task's body, to the end of the test, or of the `with`
        block that this opens.

        instead: a function, called with the same arguments, whose parameters must fit; an
            exception, raised; a list of these and of values, one for each attempt; any other
            value, returned. returns: a value of any kind, returned as it is.

        What it returns is validated as the task's own result is. Raises `TypeError` for a
        function that cannot be called as the task is, and `UnknownTask`.
        """
        return self._bodies.replace(self._known(task), instead, returns)

    def crash(self, task: AnyTask | str, *, at: CrashPoint, times: int = 1) -> Fault:
        """Have the worker die that runs the next attempt of a task.

        at: "before" the body is called; "during" it, at its first suspension: it never goes on
            and no `finally` runs (a body that suspends nowhere has run to its end; one that is
            not async cannot be stopped and is refused); "after" it, before anybody is told.

        The node runs again: at once, then about 30 s later, then 5 min; after `max_crashes` it
        fails with `WorkerLost`. A fault that does not happen fails the test.
        """
        known = self._known(task)
        if at not in ("before", "during", "after"):
            raise ValueError(f"crash(at={at!r}): before, during or after")
        if at == "during" and not known.is_async:
            raise ValueError(
                f"crash({known.name!r}, at='during'): its body is not async and cannot be stopped "
                "half-way; use at='before' or at='after'"
            )
        return self.faults.arm("crash", known.name, times, at)

    def duplicate(self, task: AnyTask | str, *, times: int = 1) -> Fault:
        """Have the next job of a task delivered three times: to two workers at the same time, and
        once more when it has ended."""
        return self.faults.arm("duplicate", self._known(task).name, times)

    def _known(self, task: AnyTask | str) -> AnyTask:
        name = task if isinstance(task, str) else task.name
        known = self.registry.find(name)
        if known is None:
            raise self.registry.unknown(name)
        return known

    # --- closing --------------------------------------------------------------------------------
    async def close(self, *, grace: float | None = None) -> None:
        """Bodies that run are stopped."""
        if self._site is not None:
            await self._bodies.graves.clear()
        await super().close(grace=grace)

    def finish(self) -> None:
        """Close from outside of any event loop, whichever loop the app was opened in."""
        site = self._site
        if site is None or site.loop.is_closed():  # the loop's end has ended all that ran in it
            if site is not None:
                site.abandon()
            self._site = self._opening = None
            ambient.closed(self)
        elif site.loop.is_running():
            self.close_sync()
        else:
            site.loop.run_until_complete(self.close())
        self._loop_thread.close()


@contextmanager
def embedded(
    tasks: Mageflow | None = None, *, clock: VirtualClock | None = None, **settings: Any
) -> Iterator[TestApp]:
    """A fresh app for one test, and its end. Inside, module functions work on it.

    tasks: the app whose tasks it has, and in whose place it works: what is started on that one
        (`fetch.start()`, `mf.start(…)`) runs here. settings: over those of that app.

    Raises `AssertionError` at the end for a fault that was armed and did not happen.
    """
    app = TestApp(tasks, clock=clock, **settings)
    with ambient.standing_in(app, tasks):
        try:
            yield app
        finally:
            app.finish()
    app.faults.check()
