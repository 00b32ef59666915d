"""A store that asks memory and Redis, and wants the same of both."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Concatenate, ParamSpec, TypeVar

from simulation import ManualClock, run_now
from simulation.ledger import Ledger

from comparing.answers import answer_of, assert_same, by_run, equal
from comparing.beside import Beside
from comparing.contents import Comparison, told_of
from comparing.limits import Limits
from comparing.reference import Reference
from comparing.waits import Waits
from mageflow_core import machine
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Draft,
    Event,
    Job,
    Policy,
    Refusal,
    Report,
    Signal,
    Status,
    Steer,
    Steered,
)
from mageflow_core.machine import draft as drafts
from mageflow_core.names import split_key
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import (
    Claimed,
    Created,
    NewRun,
    NodeView,
    Page,
    Query,
    RunView,
    Until,
    WorkerInfo,
)
from mageflow_core.stores.redis import keys

P = ParamSpec("P")
A = TypeVar("A")
T = TypeVar("T")
MANY = 1_000  # calls
Asked = Coroutine[Any, Any, T]


class ComparingStore(Reference):
    """Stands where the memory store of a `World` stands. Each call is made there and in Redis: the
    answer or error, the jobs, all that is published and all that is stored must be the same."""

    def __init__(
        self,
        *,
        policy: Policy,
        clock: ManualClock,
        ledger: Ledger | None,
        loop: asyncio.AbstractEventLoop,
        url: str,
    ) -> None:
        limits = Limits.current
        super().__init__(policy=policy, clock=clock, ledger=ledger, lease=limits.lease)
        self.watched = ledger is not None
        self.inline = limits.inline
        self.beside = Beside(loop, url, policy, clock, limits)
        self.comparison = Comparison(self)
        self.listener = Recorder()
        self._listeners.append(self.listener)
        self.waits = Waits(loop)
        self._inside = False
        self._differs = False
        self._compared = (0, 0)  # changes in both
        self._told = 0  # of what was published
        self._choices = random.Random(0)

    def stop(self) -> None:
        """Compares what was not compared on the way."""
        try:
            if not self.watched and not self._differs:
                self._compare_contents()
        finally:
            self.waits.close()
            self.beside.close()

    def assert_nothing_remains(self) -> None:
        """What was removed is gone as soon as timers are served, and its queues are looked at."""
        for _ in range(MANY):
            self.beside.run(self.beside.work(range(keys.BUCKETS)))
            if not self.comparison.remains(self.beside.dump()):
                return
        raise AssertionError(f"there remains {self.comparison.remains(self.beside.dump())}")

    # --- both -------------------------------------------------------------------------------------
    def _both(self, mine: Callable[[], A], other: Callable[[], Asked[Any]], *, read: bool) -> A:
        """read: it changes nothing."""
        if self._inside:
            return mine()
        self._inside = True
        changed = False
        try:
            self.beside.prepare(vars(drafts)["STEP_WIDTH"], self.inline)
            expected = answer_of(mine)
            answer = answer_of(lambda: self.beside.run(other()))
            assert_same(answer, expected)
            if not read:
                changed = self._compare_effects()
        except AssertionError:
            self._differs = True
            raise
        finally:
            self._inside = False
        if isinstance(expected, Exception):
            raise expected
        found: A = expected
        if changed and self.watched:
            self._read_something()
        return found

    def _compare_effects(self) -> bool:
        """Gives whether there were any."""
        jobs, self.beside.jobs = self.beside.jobs, []
        expected, self.listener.jobs = self.listener.jobs, []
        assert_same(by_run(jobs), by_run(expected), "jobs")
        self.waits.compare()
        before, self._compared = self._compared, (self.changes, self.beside.changes())
        changed = self._compared != before
        if changed and self.watched:
            self._compare_contents()
        return changed

    def _compare_contents(self) -> None:
        self.beside.prepare(vars(drafts)["STEP_WIDTH"], self.inline)
        found = self.beside.dump()
        told = told_of(found.pop("told", []))
        new, self._told = told[self._told :], len(told)
        said, self.said = self.said, []
        equal(sorted(new), sorted(said), "published")
        self.comparison.compare(found)

    def _read_something(self) -> None:
        """Of a node that is chosen by chance, in one of the ways there are."""
        runs = list(self.runs.values())
        if not runs:
            return
        state = self._choices.choice(runs)
        node = self._choices.choice(list(state.nodes.values()))
        key, first = state.run.id + node.path, self._choices.randrange(3)
        readings: list[Callable[[], Asked[Any]]] = [
            lambda: self.node(key),
            lambda: self.node(f"{key}/{first}"),
            lambda: self.children(key, first, 3),
            lambda: self.signature(key),
            lambda: self.value(key),
            lambda: self.view(state.run.id),
            lambda: self.history(state.run.id),
            lambda: self.holds(key, node.claim.id if node.claim else "none"),
            lambda: self.find(Query(status=self.shown(state.run.id), limit=2)),
            lambda: self.find(Query(task=getattr(state.run.signature, "task", "none"))),
            self.counts,
            self.workers,
        ]
        if node.signature.kind == "swarm" and node.result is not None:
            readings.append(lambda: self.values(key, first, 3))
        answer_of(lambda: run_now(self._choices.choice(readings)()))

    def shown(self, run_id: str) -> Status:
        draft = Draft(self.runs[run_id], self.now(), self.policy)
        return machine.shown(draft, draft.get(""))

    def _changed(
        self, mine: Asked[A], other: Callable[[], Asked[Any]], *, by_step: bool = False
    ) -> A:
        """by_step: then what it changes is counted there."""
        self.changes += not by_step
        return self._both(lambda: run_now(mine), other, read=False)

    def _read(self, mine: Asked[A], other: Callable[[], Asked[Any]]) -> A:
        return self._both(lambda: run_now(mine), other, read=True)

    # --- runs -------------------------------------------------------------------------------------
    async def create(self, new: NewRun) -> Created:
        return self._changed(
            super().create(new), lambda: self.beside.store.create(new), by_step=True
        )

    async def start(self, run_id: str, message: str, start_id: str) -> str | None:
        return self._changed(
            super().start(run_id, message, start_id),
            lambda: self.beside.store.start(run_id, message, start_id),
            by_step=True,
        )

    async def reserve(self, run_id: str, by: str) -> bool:
        return self._changed(
            super().reserve(run_id, by), lambda: self.beside.store.reserve(run_id, by)
        )

    async def alias(self, run_id: str, key: str) -> None:
        return self._changed(
            super().alias(run_id, key), lambda: self.beside.store.alias(run_id, key)
        )

    async def add(self, run_id: str, request: Add) -> tuple[int, ...] | Refusal:
        return self._changed(
            super().add(run_id, request),
            lambda: self.beside.store.add(run_id, request),
            by_step=True,
        )

    async def close_swarm(self, run_id: str, path: str) -> Refusal | None:
        return self._changed(
            super().close_swarm(run_id, path),
            lambda: self.beside.store.close_swarm(run_id, path),
            by_step=True,
        )

    async def steer(self, run_id: str, request: Steer) -> Steered:
        return self._changed(
            super().steer(run_id, request),
            lambda: self.beside.store.steer(run_id, request),
            by_step=True,
        )

    # --- reading ----------------------------------------------------------------------------------
    async def view(self, run_id: str) -> RunView:
        return self._read(super().view(run_id), lambda: self.beside.store.view(run_id))

    async def node(self, key: str) -> NodeView:
        return self._read(super().node(key), lambda: self.beside.store.node(key))

    async def children(self, key: str, first: int, count: int) -> Sequence[NodeView]:
        return self._read(
            super().children(key, first, count),
            lambda: self.beside.store.children(key, first, count),
        )

    async def signature(self, key: str) -> Signature[Any]:
        return self._read(super().signature(key), lambda: self.beside.store.signature(key))

    async def value(self, key: str) -> str | None:
        return self._read(super().value(key), lambda: self.beside.store.value(key))

    async def values(self, key: str, first: int, count: int) -> Sequence[str]:
        return self._read(
            super().values(key, first, count), lambda: self.beside.store.values(key, first, count)
        )

    async def history(self, run_id: str) -> Sequence[Event]:
        return self._read(super().history(run_id), lambda: self.beside.store.history(run_id))

    async def find(self, query: Query) -> Page:
        """What there is on further pages is compared, too."""
        mine = super().find
        pages = self._read(pages_of(mine, query), lambda: pages_of(self.beside.store.find, query))
        return pages[0]

    async def counts(self) -> Mapping[Status, int]:
        return self._read(super().counts(), self.beside.store.counts)

    async def holds(self, key: str, claim: str) -> bool:
        return self._read(super().holds(key, claim), lambda: self.beside.store.holds(key, claim))

    async def workers(self) -> list[WorkerInfo]:
        return self._read(super().workers(), self.beside.store.workers)

    def begin_waiting(self, key: str, until: Until) -> None:
        """Somebody waits, in both: until it has ended for what has come of it."""
        run_id, path = split_key(key)
        if path and until == "ended" and run_id in self.runs:  # said now: each step looks at it
            self.observed.add(run_id)
            self._inside = True  # others who wait may be told meanwhile, and ask memory
            self.beside.run(self.beside.store.server.step("watch", run_id))
            self._inside = False
        what = f"waiting for {key} to be {until}"
        if until == "ended":
            self.waits.begin(what, super().outcome(key), self.beside.store.outcome(key))
        else:
            self.waits.begin(what, super().wait(key, until), self.beside.store.wait(key, until))

    # --- work -------------------------------------------------------------------------------------
    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        return self._changed(
            super().claim(run_id, request),
            lambda: self.beside.claim(run_id, request),
            by_step=True,
        )

    async def report(self, run_id: str, message: Report) -> str | None:
        return self._changed(
            super().report(run_id, message),
            lambda: self.beside.store.report(run_id, message),
            by_step=True,
        )

    async def sent(self, jobs: Sequence[Job]) -> None:
        jobs = list(jobs)
        if jobs:
            self._changed(super().sent(jobs), lambda: self.beside.sent(jobs))

    async def unknown(self, key: str) -> None:
        return self._changed(super().unknown(key), lambda: self.beside.store.unknown(key))

    async def renew(self, worker: WorkerInfo) -> bool:
        return self._changed(super().renew(worker), lambda: self.beside.keeper.renew(worker))

    async def leave(self, worker: str, *, crashed: bool) -> None:
        return self._changed(
            super().leave(worker, crashed=crashed),
            lambda: self.beside.keeper.leave(worker, crashed=crashed),
        )

    async def lose(self, key: str, *, crashed: bool) -> None:
        worker, number = self._holder.get(key), self.number_of.get(key)
        if worker is not None and number is not None:
            self._changed(
                super().lose(key, crashed=crashed),
                lambda: self.beside.lose(key, number, worker, crashed=crashed),
            )

    async def idle(self, since: float) -> None:
        return self._changed(super().idle(since), lambda: self.beside.keeper.idle(since))

    # --- time -------------------------------------------------------------------------------------
    async def work(self) -> float | None:
        buckets = self.buckets()
        times: list[float | None] = []

        async def other() -> None:
            times.append(await self.beside.work(buckets))

        async def mine() -> None:
            times.append(await Reference.work(self))

        self._changed(mine(), other)
        expected, found = times
        if expected is not None:
            assert found is not None
            assert found <= expected, f"Redis would come at {found}, but {expected} is due"
        return expected

    def _send_overdue(self, sent_before: float) -> None:
        """By itself only where a test calls it."""
        send = super()._send_overdue
        milliseconds = round(sent_before * 1000)
        self._both(
            lambda: send(sent_before),
            lambda: self.beside.keeper._upkeep.send_overdue(milliseconds),
            read=False,
        )

    def step(
        self,
        run_id: str,
        function: Callable[Concatenate[Draft, P], A],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        """By itself only for a timer that comes up by hand."""
        if self._inside:
            return super().step(run_id, function, *args, **kwargs)
        assert function is machine.fire, function
        kind, path = map(str, args)
        known = bool(kwargs["known"])
        step: Callable[..., A] = super().step
        return self._both(
            lambda: step(run_id, function, *args, **kwargs),
            lambda: self.beside.fire(run_id, kind, path, known=known),
            read=False,
        )


async def pages_of(find: Callable[[Query], Asked[Page]], query: Query) -> list[Page]:
    pages = [await find(query)]
    while (after := pages[-1].next) is not None:
        pages.append(await find(replace(query, after=after)))
    return pages


class Recorder:
    """What the memory store tells."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def on_jobs(self, jobs: Sequence[Job]) -> None:
        self.jobs += jobs

    def on_signal(self, run_id: str, signal: Signal) -> None: ...
    def on_due(self, time: float) -> None: ...
    def on_silence(self) -> None: ...
