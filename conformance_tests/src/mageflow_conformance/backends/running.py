"""Runs requirements against a backend, and says how each went."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from mageflow_conformance.backends.harness import Harness
from mageflow_conformance.backends.requirement import Check, Requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.processes import Nursery
from mageflow_conformance.processes.nursery import HEAVY
from mageflow_conformance.servers import RedisServer
from mageflow_conformance.waiting import scaled

State = Literal["passed", "failed", "declined", "not run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """state: "declined" is only said where what holds instead was tried and does.

    reason: of all but what has passed. evidence: rows that worker processes wrote meanwhile.
    seconds: how long it took. measured: what it has measured, for people; nothing depends on it.
    details: of what has failed, the traceback.
    """

    id: str
    level: str
    state: State
    reason: str = ""
    evidence: int = 0
    seconds: float = 0.0
    measured: dict[str, float] = field(default_factory=dict)
    details: str = field(default="", repr=False)


class Trials:
    """A backend on its engine, with all that trials of it need. `with` it.

    breaks, path: see `life.work`.
    """

    def __init__(self, harness: Harness, *, breaks: str = "", path: Sequence[str] = ()) -> None:
        self.harness = harness
        self._breaks = breaks
        self._path = tuple(path)
        self._stack = ExitStack()
        self._numbers = count(1)
        self._folder: Path
        self._nursery: Nursery
        self._store: RedisServer

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            folder = tempfile.TemporaryDirectory(prefix="mageflow-", ignore_cleanup_errors=True)
            self._folder = Path(stack.enter_context(folder))
            self._store = stack.enter_context(RedisServer(persistence="aof"))
            stack.callback(self.harness.stop)
            self.harness.start()
            modules = (*HEAVY, *self.harness.modules)
            self._nursery = stack.enter_context(Nursery(self._folder, modules))
            stack.enter_context(hastened())
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    @property
    def store_said(self) -> str:
        """What the runs are in, for a report."""
        return f"Redis {self._store.info('server')['redis_version']}"

    def logs(self) -> list[Path]:
        """What the processes have printed, so far."""
        return sorted(self._folder.glob("*.log"))

    async def all(
        self, wanted: Sequence[Requirement], *, at_once: int = 4
    ) -> AsyncIterator[Outcome]:
        """Some at the same time; those that have to be alone after all others. Outcomes come in
        the order of the requirements, the latter last."""
        room = asyncio.Semaphore(at_once)

        async def run_beside(requirement: Requirement) -> Outcome:
            async with room:
                return await self.run(requirement)

        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(run_beside(each)) for each in wanted if not each.alone]
            for task in beside:
                yield await task
        for requirement in wanted:
            if requirement.alone:
                yield await self.run(requirement)

    async def run(self, requirement: Requirement, *, breaks: str | None = None) -> Outcome:
        """breaks: for this one, in place of what was given for all."""
        breaks = self._breaks if breaks is None else breaks
        declined = self._declined(requirement)
        if not declined:
            return await self._try(requirement, requirement.check, breaks=breaks)
        assert requirement.instead is not None, "core requirements cannot be declined"
        check = requirement.instead.check
        return await self._try(requirement, check, breaks=breaks, declined=declined)

    def _declined(self, requirement: Requirement) -> str:
        """Why a requirement does not apply, if it does not."""
        if requirement.claim is None:
            return ""
        if requirement.id in self.harness.lacks:
            return self.harness.lacks[requirement.id]
        if not self.harness.claims(requirement.claim):
            return f"the backend does not claim {requirement.claim!r}"
        return ""

    async def _try(
        self, requirement: Requirement, check: Check, *, breaks: str, declined: str = ""
    ) -> Outcome:
        number = next(self._numbers)
        name = f"{re.sub(r'[^a-z0-9]+', '-', requirement.id.lower())}-{number}"
        ledger = Ledger(self._folder / f"{name}.ledger")
        began = time.monotonic()
        reason = details = ""
        evidence = 0
        stage: Stage | None = None
        try:
            async with asyncio.timeout(scaled(requirement.within)), AsyncExitStack() as stack:
                stage = Stage(
                    self.harness,
                    nursery=self._nursery,
                    ledger=ledger,
                    stack=stack,
                    store=self._store,
                    namespace=name,
                    settings=dict(requirement.settings),
                    breaks=breaks,
                    path=self._path,
                )
                await stage.open()
                await check(stage)
            evidence = stage.witnesses
            if not evidence:
                reason = "no worker process has written anything: nothing was shown"
        except Exception as error:  # noqa: BLE001  # whatever it raises is its failure
            reason = _say(error, requirement)
            details = "".join(traceback.format_exception(error))
        finally:
            if stage is not None:
                await asyncio.to_thread(stage.end)
            ledger.close()
        state: State = "failed" if reason else "declined" if declined else "passed"
        return Outcome(
            id=requirement.id,
            level=requirement.level,
            state=state,
            reason=f"{declined}: {reason}" if declined and reason else declined or reason,
            evidence=evidence,
            seconds=round(time.monotonic() - began, 3),
            measured=stage.measured if stage is not None else {},
            details=details,
        )


def _say(error: Exception, requirement: Requirement) -> str:
    if isinstance(error, TimeoutError) and not str(error):
        return f"it took longer than {scaled(requirement.within):g} s"
    text = str(error) or "an assertion of the requirement does not hold"
    return text if isinstance(error, AssertionError) else f"{type(error).__name__}: {text}"
