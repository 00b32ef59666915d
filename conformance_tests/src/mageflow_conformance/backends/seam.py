"""What happens to deliveries on their way to the runner, whatever the adapter does."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(slots=True, kw_only=True)
class Rule:
    """What is done to the next `times` deliveries of a task, in one process.

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
        self._passed: dict[str, asyncio.Event] = {}

    async def run(self, delivery: Delivery) -> Handled:
        job = delivery.job
        rule = next((r for r in self._rules if r.task == job.task and r.times > 0), None)
        if rule is None:
            handled = await self._runner.run(delivery)
            self._passed.setdefault(job.task, asyncio.Event()).set()
            return handled
        rule.times -= 1
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
            passed = self._passed[job.task] = asyncio.Event()
            async with asyncio.timeout(PATIENCE):
                await passed.wait()
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
