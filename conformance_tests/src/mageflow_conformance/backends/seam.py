"""What happens to deliveries on their way to the runner, whatever the adapter does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Value
from typing import Any, Literal, Self

from mageflow_conformance.ledger import Ledger
from mageflow_core import Mageflow
from mageflow_core.backends.capabilities import Capabilities
from mageflow_core.backends.protocol import (
    Delivery,
    Disposal,
    Handled,
    Health,
    Host,
    Role,
    Runner,
    TaskManager,
    TaskSpec,
)
from mageflow_core.machine import Job

SEAM = "seam"  # rows of what was done here; `do` in them says what
OVER = f"{SEAM}-over"  # and of what came of it: `handled` is the disposal
Doing = Literal["note", "duplicate", "delay", "reorder", "drop", "stale", "corrupt", "foreign"]
FOREIGN = "elsewhere"  # the namespace of those that come from another one
PATIENCE = 10.0  # seconds that a delivery is held back for another one


@dataclass(kw_only=True)
class Rule:
    """What is done to the next `times` deliveries of a task, in one worker: in its process and in
    those that are forked from it, which count together.

    note: nothing; the ledger tells that it came, as it does of all others. duplicate: the runner
    gets it twice at once, and once more when it is over. delay: it gets it `seconds` later.
    reorder: it gets it after the next one of the same task. drop: it never gets it, and the engine
    believes that it was done. stale: it gets an older attempt and an older sending of it first.
    corrupt: it gets one of a node that does not exist in its place. foreign: it gets it as one of
    another namespace.
    """

    do: Doing
    task: str
    times: int = 1
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._left = Value("i", self.times)
        self._passed = Value("i", 0)

    def take(self) -> bool:
        """Whether it is for this delivery, of its task."""
        with self._left.get_lock():
            self._left.value -= 1
            return bool(self._left.value >= 0)

    def passes(self) -> None:
        """A delivery of its task is over that nothing was done to."""
        with self._passed.get_lock():
            self._passed.value += 1

    @property
    def passed(self) -> int:
        return int(self._passed.value)


class FaultyApp(Mageflow):
    """An app whose runner gets its deliveries by way of rules."""

    def __init__(
        self,
        *natives: Any,
        rules: Sequence[Mapping[str, Any]] = (),
        ledger: Ledger,
        **named: Any,
    ) -> None:
        self._rules = [Rule(**rule) for rule in rules]
        self._ledger = ledger
        super().__init__(*natives, **named)

    def make_backend(self, name: str) -> TaskManager:
        made = super().make_backend(name)
        return _FaultyBackend(made, self._rules, self._ledger) if self._rules else made


class _FaultyRunner:
    def __init__(self, runner: Runner, rules: list[Rule], ledger: Ledger) -> None:
        self._runner = runner
        self._rules = rules
        self._ledger = ledger

    async def run(self, delivery: Delivery) -> Handled:
        job = delivery.job
        rules = [rule for rule in self._rules if rule.task == job.task]
        rule = next((rule for rule in rules if rule.take()), None)
        if rule is None:
            handled = await self._runner.run(delivery)
            for each in rules:
                each.passes()
            return handled
        self._ledger.note(SEAM, do=rule.do, of=job.key, send=job.send)
        handled = await self._done(rule, delivery)
        self._ledger.note(OVER, do=rule.do, of=job.key, handled=handled.disposal.value)
        return handled

    async def _done(self, rule: Rule, delivery: Delivery) -> Handled:
        run, job = self._runner.run, delivery.job
        if rule.do == "drop":
            return Handled(Disposal.DONE)
        if rule.do == "corrupt":
            return await run(delivery._replace(job=job._replace(key=f"x{job.key}")))
        if rule.do == "foreign":
            return await run(delivery._replace(namespace=FOREIGN))
        if rule.do == "duplicate":
            twin = job._replace(send=job.send + 1_000)  # as another sending, which is not known
            first, _, _ = await asyncio.gather(
                run(delivery), run(delivery._replace(job=twin)), run(delivery)
            )
            await run(delivery)
            return first
        if rule.do == "stale":
            await run(delivery._replace(job=job._replace(attempt=job.attempt - 1)))
            await run(delivery._replace(job=job._replace(attempt=job.attempt + 1)))
        elif rule.do == "delay":
            await asyncio.sleep(rule.seconds)
        elif rule.do == "reorder":
            before = rule.passed
            async with asyncio.timeout(PATIENCE):
                while rule.passed == before:  # noqa: ASYNC110 - by another process, maybe
                    await asyncio.sleep(0.01)
        return await run(delivery)


class _FaultyBackend(TaskManager):
    """As the one inside, with a faulty runner."""

    def __init__(self, inner: TaskManager, rules: list[Rule], ledger: Ledger) -> None:
        self._inner = inner
        self._rules = rules
        self._ledger = ledger
        self.name = inner.name
        self.caps: Capabilities = inner.caps

    @classmethod
    def from_settings(cls, settings: Any) -> Self:  # noqa: ARG003 - it is never made so
        raise TypeError("it is made around another one")

    def __getattr__(self, name: str) -> Any:  # what a backend has beyond the protocol
        return getattr(self._inner, name)

    @property
    def native(self) -> Any:
        return self._inner.native

    def host(self, host: Host) -> None:
        self._inner.host(host)

    def natives(self) -> Iterable[TaskSpec]:
        return self._inner.natives()

    def adopt(self, native: Any) -> TaskSpec | None:
        return self._inner.adopt(native)

    def register(self, spec: TaskSpec, runner: Runner) -> None:
        self._inner.register(spec, _FaultyRunner(runner, self._rules, self._ledger))

    async def open(self, role: Role) -> None:
        await self._inner.open(role)

    async def close(self) -> None:
        await self._inner.close()

    async def submit_many(self, jobs: Sequence[Job]) -> Sequence[Exception | None]:
        return await self._inner.submit_many(jobs)

    async def serve(self, *, slots: int, stop: asyncio.Event, grace: float) -> None:
        await self._inner.serve(slots=slots, stop=stop, grace=grace)

    async def health(self) -> Health:
        return await self._inner.health()
