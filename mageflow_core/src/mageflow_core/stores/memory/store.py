"""The store in this process's memory: the executable specification of all others."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar, Concatenate, ParamSpec, Self, TypeVar

from mageflow_core import machine
from mageflow_core.clock import Clock
from mageflow_core.errors import NotOpen, RunNotFound
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Draft,
    Job,
    Lost,
    Policy,
    Refusal,
    Report,
    Run,
    Status,
    Steer,
    Steered,
    Verdict,
)
from mageflow_core.machine.policy import RESERVATION
from mageflow_core.names import split_key
from mageflow_core.stores import reading
from mageflow_core.stores.memory.agenda import Agenda, Entry
from mageflow_core.stores.memory.outbox import Entry as Unsent
from mageflow_core.stores.memory.outbox import Outbox
from mageflow_core.stores.memory.reader import MemoryReader
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.memory.waiters import Waiters
from mageflow_core.stores.protocol import (
    Claimed,
    Created,
    Listener,
    NewRun,
    StoreOptions,
    WorkerInfo,
)

P = ParamSpec("P")
A = TypeVar("A")

DUE_AT_ONCE = 100  # timers that one call of work() serves


class MemoryStore(MemoryReader):
    """Gone with the process, and seen by nobody outside it; leases do not expire.

    A step never waits, so on one event loop steps cannot interleave.
    """

    durable: ClassVar[str] = "until this process ends"
    shared: ClassVar[bool] = False

    def __init__(self, *, policy: Policy, clock: Clock) -> None:
        self.policy = policy
        self.clock = clock
        self.runs: dict[str, RunState] = {}
        self.order: list[tuple[float, str]] = []
        self.live: dict[str, WorkerInfo] = {}
        self.claims: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.outbox = Outbox()
        self.agenda = Agenda()
        self._listeners: list[Listener] = []
        self.waiters = Waiters()
        self._holder: dict[str, str] = {}  # claimed key → worker
        self._next_work: float | None = None
        self._random = random.Random()  # noqa: S311 - for jitter

    @classmethod
    def from_url(cls, _url: str, /, options: StoreOptions) -> Self:
        return cls(policy=options.policy, clock=options.clock)

    def twin(self) -> None:
        return None

    async def open(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        self._listeners.clear()
        self.waiters.close(NotOpen("the app was closed while somebody waited for this run"))

    def now(self) -> float:
        return self.clock.now()

    # --- steps ----------------------------------------------------------------------------------
    def step(
        self,
        run_id: str,
        function: Callable[Concatenate[Draft, P], A],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> A:
        """Let the machine work on a run, and apply what it gives back; all of it, or nothing."""
        state = self._state(run_id)
        draft = Draft(state, self.clock.now(), self.policy)
        answer = function(draft, *args, **kwargs)
        self._apply(run_id, state, draft)
        return answer

    def _apply(self, run_id: str, state: RunState, draft: Draft) -> None:
        effects = draft.effects
        if effects.removed:
            self._remove(run_id, state)
            return
        state.apply(draft)
        sendable = self._fill_outbox(run_id, effects.jobs, draft.now)
        for path, worker in effects.claims.items():
            self._hold(run_id + path, worker)
        for timer, time in effects.timers.items():
            self._set_timer((run_id, timer), time)
        for listener in self._listeners:
            if sendable:
                listener.on_jobs(sendable)
            for signal in effects.signals:
                listener.on_signal(run_id, signal)
        if effects.ended or effects.signals or effects.settled:
            stopping = [signal.path for signal in effects.signals]
            self.waiters.wake(run_id, effects.ended + stopping, settled=effects.settled)

    def _fill_outbox(self, run_id: str, jobs: dict[str, Job | None], now: float) -> list[Job]:
        """Write or withdraw jobs; gives those to be sent."""
        sendable = []
        for path, job in jobs.items():
            if job is None:
                self.outbox.drop(run_id + path)
            else:
                self.outbox.put(job, now)
                sendable.append(job)
        if sendable:
            self._come_by(now + self.outbox.unconfirmed_after)
        return sendable

    def _hold(self, key: str, worker: str | None) -> None:
        before = self._holder.pop(key, None)
        if before is not None and before in self.claims:  # else that worker has just left
            self.claims[before].pop(key, None)
        if worker is not None:
            self._holder[key] = worker
            self.claims[worker][key] = None

    def _set_timer(self, entry: Entry, time: float | None) -> None:
        self.agenda.set(entry, time)
        if time is not None:
            self._come_by(time)

    def _come_by(self, time: float) -> None:
        if self._next_work is None or time < self._next_work:
            self._next_work = time
            for listener in self._listeners:
                listener.on_due(time)

    def _remove(self, run_id: str, state: RunState) -> None:
        del self.runs[run_id]
        del self.order[bisect_left(self.order, (state.run.created_at, run_id))]
        for path in state.nodes:
            self.outbox.drop(run_id + path)
            self._hold(run_id + path, None)
        self.agenda.forget(run_id)
        self.waiters.wake(run_id, [""], settled=True)

    # --- runs -----------------------------------------------------------------------------------
    async def create(self, new: NewRun) -> Created:
        there = self.runs.get(new.id)
        if there is not None:
            return Created(fresh=False, conflict=there.run.content != new.content)
        now = self.clock.now()
        ttl = new.ttl if new.ttl is not None else self.policy.result_ttl
        run = Run(
            new.id,
            new.signature,
            new.message or "null",
            now,
            content=new.content,
            start_key=new.start_key,
            ttl=ttl,
        )
        state = RunState(run, self.policy.history)
        draft = Draft(state, now, self.policy)
        machine.store(draft)
        if new.message is not None:
            machine.start(draft, new.message, new.id)
        self.runs[new.id] = state
        insort(self.order, (now, new.id))
        self._apply(new.id, state, draft)
        return Created(fresh=True)

    async def start(self, run_id: str, message: str, start_id: str) -> str | None:
        return self.step(run_id, machine.start, message, start_id)

    async def reserve(self, run_id: str, by: str) -> bool:
        state = self._state(run_id)
        run = state.run
        if run.start_id is not None or run.reserved_by not in (None, by):
            return False
        if state.nodes[""].status.ended:
            return False
        run.reserved_by = by
        run.reserved_at = self.clock.now()
        self._set_timer((run_id, ("reserved", "")), run.reserved_at + RESERVATION)
        return True

    async def alias(self, run_id: str, key: str) -> None:
        self._state(run_id).run.alias_of = key

    async def add(self, run_id: str, request: Add) -> tuple[int, ...] | Refusal:
        return self.step(run_id, machine.add, request)

    async def close_swarm(self, run_id: str, path: str) -> Refusal | None:
        return self.step(run_id, machine.close, path)

    async def steer(self, run_id: str, request: Steer) -> Steered:
        answer = self.step(run_id, machine.steer, request)
        if answer is None:
            raise RunNotFound(f"run {run_id!r} has no node {run_id + request.path!r}")
        return answer

    # --- work -----------------------------------------------------------------------------------
    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        if run_id not in self.runs:
            return Claimed(Verdict.SKIP, "no such run")
        sent_at = self.outbox.sent_at(run_id + request.path)
        claimed = self.step(run_id, _claim, request)
        if claimed.work is not None and sent_at is not None:
            self._send_overdue(sent_at)
        return claimed

    async def report(self, run_id: str, message: Report) -> str | None:
        if run_id not in self.runs:
            return "no such run"
        return self.step(run_id, machine.report, message)

    async def sent(self, jobs: Sequence[Job]) -> None:
        now = self.clock.now()
        for job in jobs:
            self.outbox.confirm(job, now)

    async def unknown(self, key: str) -> None:
        run_id, path = split_key(key)
        entry: Entry = (run_id, ("unknown", path))
        if run_id in self.runs and not self.agenda.has(entry):
            self._set_timer(entry, self.clock.now() + self.policy.unknown_task_timeout)

    async def pass_on(self, jobs: Sequence[Job]) -> None:
        """There is nobody else."""

    async def renew(self, worker: WorkerInfo) -> bool:
        self.live[worker.id] = replace(worker, seen_at=self.clock.now())
        return True

    async def leave(self, worker: str, *, crashed: bool) -> None:
        self.live.pop(worker, None)
        for key in list(self.claims.pop(worker, ())):
            await self.lose(key, crashed=crashed)

    async def lose(self, key: str, *, crashed: bool) -> None:
        """The lease under which this one node was claimed is lost."""
        run_id, path = split_key(key)
        node = self._state(run_id).node(path)
        if node is not None and node.claim is not None:
            loss = Lost(path, node.claim.id, crashed, self._random.random())
            self.step(run_id, machine.lose, loss)

    async def idle(self, since: float) -> None:
        if self.clock.now() - since >= self.outbox.resend_after:
            self._send_overdue(self.clock.now())

    def _send_overdue(self, sent_before: float) -> None:
        for entry in self.outbox.overdue(sent_before, DUE_AT_ONCE):
            self._resend(entry, waited=True)

    def _resend(self, entry: Unsent, *, waited: bool) -> None:
        run_id, path = split_key(entry.job.key)
        if run_id in self.runs:
            self.step(run_id, _send_again, path)
            self.outbox.resent(entry, waited=waited)

    # --- time -----------------------------------------------------------------------------------
    async def work(self) -> float | None:
        now = self.clock.now()
        for run_id, (kind, path) in self.agenda.take(now, DUE_AT_ONCE):
            if run_id in self.runs:
                known = kind == "unknown" and self._is_known(run_id, path)
                self.step(run_id, machine.fire, kind, path, known=known)
        for late in self.outbox.unconfirmed(now, DUE_AT_ONCE):
            self._resend(late, waited=False)
        times = (self.agenda.next_time(), self.outbox.next_unconfirmed())
        self._next_work = min((t for t in times if t is not None), default=None)
        return self._next_work

    def _is_known(self, run_id: str, path: str) -> bool:
        node = self.runs[run_id].node(path)
        task = getattr(node.signature, "task", None) if node else None
        return any(task in worker.tasks for worker in self.live.values())


def _claim(draft: Draft, request: ClaimRequest) -> Claimed:
    answer = machine.claim(draft, request)
    work = reading.work_of(draft, answer.node) if answer.node is not None else None
    return Claimed(answer.verdict, answer.why, work)


def _send_again(draft: Draft, path: str) -> None:
    node = draft.node(path)
    if node is not None and node.status is Status.QUEUED and node.due is None:
        draft.send(draft.edit(path))
    else:
        draft.withdraw(path)
