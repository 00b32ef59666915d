"""The memory store, made like the one in Redis where the two differ on purpose."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from simulation import ManualClock
from simulation.invariants import timers_of
from simulation.ledger import Ledger
from simulation.world import WatchedStore

from mageflow_core import machine
from mageflow_core.machine import (
    ClaimRequest,
    Draft,
    Effects,
    Job,
    Lost,
    Policy,
    Report,
    Timer,
    Verdict,
)
from mageflow_core.names import key_of, split_key
from mageflow_core.stores.memory.agenda import Entry
from mageflow_core.stores.memory.outbox import LONGEST_WAIT, Outbox
from mageflow_core.stores.memory.state import RunState
from mageflow_core.stores.protocol import LEASE_LOST, Claimed, WorkerInfo
from mageflow_core.stores.redis.keys import bucket_of

AT_ONCE = 100  # of a bucket: due entries, unsent jobs, lost leases and claims of each
A_DAY = 86_400.0
SOON = 15.0  # seconds within which others are told of what is due
FIRST_NUMBER = 2**42 - 1  # of a worker's lease; downwards from there
CHANCE = 0.3  # decides all jitter, so that times are whole milliseconds


class Fixed(random.Random):
    def random(self) -> float:
        return CHANCE


class SentOutbox(Outbox):
    """A job waits from when it was sent, not from when somebody said that it was."""

    def confirm(self, job: Job, now: float) -> None:
        entry = self._unconfirmed.get(job.key)
        super().confirm(job, entry.at if entry is not None else now)


@dataclass
class Tenure:
    """A worker's time under one number. until: by bucket, as far as the worker knows."""

    number: int
    until: dict[int, float] = field(default_factory=dict)


class Reference(WatchedStore):
    """What differs:

    - jobs wait from when they were sent;
    - what is due is served in an order of its own: by bucket, then time, then name;
    - leases end, a worker's in each bucket for itself;
    - workers that have said nothing for the time of a lease are forgotten;
    - claims may outlive the removal of their run, which goes bit by bit.
    """

    def __init__(
        self, *, policy: Policy, clock: ManualClock, ledger: Ledger | None, lease: float
    ) -> None:
        super().__init__(policy=policy, clock=clock, ledger=ledger)
        self.outbox = SentOutbox()
        self._random = Fixed()
        self.lease = lease
        self.tenures: dict[str, Tenure] = {}
        self.leases: dict[tuple[int, str], float] = {}  # bucket, "number worker" → until when
        self.lost: dict[tuple[int, str], float] = {}  # those that were, and when
        self.number_of: dict[str, int] = {}  # claimed key → number of its worker
        self.ghosts: dict[str, int] = {}  # the same, of runs that were removed
        self.numbers = count(FIRST_NUMBER, -1)
        self.changes = 0  # steps that have changed something
        self.said: list[str] = []  # what is published
        self.observed: set[str] = set()  # runs that somebody waits for nodes of
        self.sent_times: dict[str, float] = {}  # where it is not when the node was queued

    # --- applying ---------------------------------------------------------------------------------
    def _apply(self, run_id: str, state: RunState, draft: Draft) -> None:
        super()._apply(run_id, state, draft)
        effects = draft.effects
        self.changes += draft.changed_run is not None or bool(draft.nodes) or changes(effects)
        if effects.removed:
            self.said.append(f"run:{run_id} removed")
            return
        first = min((t for t in effects.timers.values() if t is not None), default=None)
        if first is not None and first < draft.now + SOON:
            self.said.append(f"due {bucket_of(run_id)} {round(first * 1000)}")
        for signal in effects.signals:
            told = f'["signal","{run_id}","{signal.path}","{signal.mark.value}"]'
            self.said.append(f"control {told}")
        observed = run_id in self.observed and (effects.ended or effects.signals)
        if effects.settled or observed or "" in effects.ended:
            self.said.append(f"run:{run_id} ended")

    def _fill_outbox(self, run_id: str, jobs: dict[str, Job | None], now: float) -> list[Job]:
        for path, job in jobs.items():
            node = self.runs[run_id].nodes[path]
            if job is not None:
                self.sent_times.pop(job.key, None)
                if node.queued_at != now:
                    self.sent_times[job.key] = now
        return super()._fill_outbox(run_id, jobs, now)

    def _hold(self, key: str, worker: str | None) -> None:
        super()._hold(key, worker)
        if worker is None:
            self.number_of.pop(key, None)
        else:
            self.number_of[key] = self.tenures[worker].number

    def _remove(self, run_id: str, state: RunState) -> None:
        held = {run_id + path for path, node in state.nodes.items() if node.claim}
        self.ghosts |= {key: self.number_of[key] for key in held}
        super()._remove(run_id, state)

    async def report(self, run_id: str, message: Report) -> str | None:
        if run_id not in self.runs:
            self.ghosts.pop(key_of(run_id, message.path), None)
        return await super().report(run_id, message)

    # --- changes without a step -------------------------------------------------------------------
    async def reserve(self, run_id: str, by: str) -> bool:
        reserved = await super().reserve(run_id, by)
        self._tell_ledger(run_id)
        return reserved

    async def alias(self, run_id: str, key: str) -> None:
        await super().alias(run_id, key)
        self._tell_ledger(run_id)

    def _tell_ledger(self, run_id: str) -> None:
        if self.ledger is not None:
            self.ledger.run_changed(self.runs[run_id].run)

    # --- leases -----------------------------------------------------------------------------------
    def tenure(self, worker: str) -> Tenure:
        if worker not in self.tenures:
            self.tenures[worker] = Tenure(next(self.numbers))
        return self.tenures[worker]

    def claimed(self, bucket: int, number: int) -> list[str]:
        """Keys that are claimed under a number."""
        return sorted(
            key
            for key, own in (self.number_of | self.ghosts).items()
            if own == number and bucket_of(split_key(key)[0]) == bucket
        )

    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        tenure, bucket, now = self.tenure(request.worker), bucket_of(run_id), self.now()
        state = self.runs.get(run_id)
        if state is not None:
            answer = machine.claim(Draft(state, now, self.policy), request)
            first = answer.verdict is Verdict.RUN and answer.why != "asked again"
            if first and not self._keep_lease(bucket, request.worker, tenure):
                return Claimed(Verdict.RELEASE, LEASE_LOST)
        key = key_of(run_id, request.path)
        had_job = self.outbox.sent_at(key) is not None
        claimed = await super().claim(run_id, request)
        if claimed.work is not None:
            tenure.until.setdefault(bucket, 0)
            node = self.runs[run_id].nodes[request.path]
            sent = self.sent_times.get(key, node.queued_at)
            if not had_job and sent is not None:
                self._send_overdue(sent)
        return claimed

    def _keep_lease(self, bucket: int, worker: str, tenure: Tenure) -> bool:
        now, place = self.now(), (bucket, f"{tenure.number} {worker}")
        if tenure.until.get(bucket, 0) > now + self.lease / 2:
            return True
        if self.leases.get(place, now + 1) <= now and self.claimed(bucket, tenure.number):
            return False
        tenure.until[bucket] = self.leases[place] = now + self.lease
        return True

    async def renew(self, worker: WorkerInfo) -> bool:
        self._forget_silent()
        await super().renew(worker)
        tenure, now, held = self.tenure(worker.id), self.now(), True
        for bucket in list(tenure.until):
            place = (bucket, f"{tenure.number} {worker.id}")
            until = self.leases.get(place, 0)
            if self.lost.pop(place, None) is not None:
                held = False
            elif not self.claimed(bucket, tenure.number):
                if until <= now:
                    self.leases.pop(place, None)
                    del tenure.until[bucket]
                else:
                    tenure.until[bucket] = until
            elif until == 0:
                held = False
            else:
                tenure.until[bucket] = self.leases[place] = now + self.lease
        if not held:
            await self._give_up(worker.id, crashed=False)
        return held

    async def leave(self, worker: str, *, crashed: bool) -> None:
        await self._give_up(worker, crashed=crashed)
        self.live.pop(worker, None)
        self.claims.pop(worker, None)
        self._forget_silent()

    async def _give_up(self, worker: str, *, crashed: bool) -> None:
        tenure = self.tenures.pop(worker, None)
        for bucket in tenure.until if tenure is not None else ():
            assert tenure is not None
            for key in self.claimed(bucket, tenure.number):
                self._lose_claim(key, crashed=crashed)
            self.leases.pop((bucket, f"{tenure.number} {worker}"), None)

    async def lose(self, key: str, *, crashed: bool) -> None:
        self._lose_claim(key, crashed=crashed)

    def _lose_claim(self, key: str, *, crashed: bool) -> None:
        """Who is taken for dead and is not learns of it when it renews its lease."""
        self.ghosts.pop(key, None)
        run_id, path = split_key(key)
        if run_id not in self.runs:
            return
        claim = self.runs[run_id].nodes[path].claim
        assert claim is not None
        if crashed:
            self.lost[bucket_of(run_id), f"{self.number_of[key]} {claim.worker}"] = self.now()
        self.step(run_id, machine.lose, Lost(path, claim.id, crashed, self._random.random()))

    async def workers(self) -> list[WorkerInfo]:
        self._forget_silent()
        return list(await super().workers())

    def _forget_silent(self) -> None:
        now = self.now()
        self.live = {n: w for n, w in self.live.items() if w.seen_at + self.lease > now}

    def _is_known(self, run_id: str, path: str) -> bool:
        if self.runs[run_id].node(path) is not None:
            self._forget_silent()
        return super()._is_known(run_id, path)

    # --- time -------------------------------------------------------------------------------------
    async def work(self) -> float | None:
        for bucket in self.buckets():
            self._work_on(bucket)
        times = [self.agenda.next_time(), self.outbox.next_unconfirmed(), *self.leases.values()]
        self._next_work = min((t for t in times if t is not None), default=None)
        return self._next_work

    def buckets(self) -> list[int]:
        """Those that anything is in."""
        return sorted({*map(bucket_of, self.runs), *(bucket for bucket, _ in self.leases)})

    def _work_on(self, bucket: int) -> None:
        """What is to do is found first; each part of it is looked at again when its turn comes."""
        lost, due, unsent = self._lost(bucket), self._due(bucket), self._unsent(bucket)
        for entry in due:
            if entry[1][0] != "unknown":
                self._fire(entry)
        for at, key in unsent:
            if key in self.outbox._unconfirmed and self.outbox.sent_at(key) == at:
                self._take_and_resend(key, waited=False)
        for key in lost:
            if key in self.number_of or key in self.ghosts:
                self._lose_claim(key, crashed=True)
        for entry in due:  # whether its task is known is asked first
            if entry[1][0] == "unknown":
                self._fire(entry)

    def _lost(self, bucket: int) -> list[str]:
        """Keys that are claimed under leases that have ended."""
        now, found = self.now(), []
        self.lost = {p: at for p, at in self.lost.items() if p[0] != bucket or at > now - A_DAY}
        for place in sorted(self.leases, key=lambda place: (self.leases[place], place)):
            if place[0] == bucket and self.leases[place] <= now:
                claimed = self.claimed(bucket, int(place[1].partition(" ")[0]))[:AT_ONCE]
                found += claimed
                if not claimed:
                    del self.leases[place]
        return found

    def _unsent(self, bucket: int) -> list[tuple[float, str]]:
        """Jobs that nobody said were sent, by when they were written."""
        before = self.now() - self.outbox.unconfirmed_after
        found = sorted((entry.at, key) for key, entry in self.outbox._unconfirmed.items())
        return [
            (at, key)
            for at, key in found
            if at <= before and bucket_of(split_key(key)[0]) == bucket
        ][:AT_ONCE]

    def _due(self, bucket: int) -> list[Entry]:
        now = self.now()
        found = sorted(
            (time, _name(run_id, timer), (run_id, timer))
            for (run_id, timer), time in timers_of(self).items()
            if time <= now and bucket_of(run_id) == bucket
        )
        return [entry for _, _, entry in found[:AT_ONCE]]

    def _fire(self, entry: Entry) -> None:
        run_id, (kind, path) = entry
        time = timers_of(self).get(entry)
        if time is None or time > self.now():
            return  # set anew meanwhile
        known = kind == "unknown" and self._is_known(run_id, path)
        self.step(run_id, machine.fire, kind, path, known=known)

    def _send_overdue(self, sent_before: float) -> None:
        taken: Counter[int] = Counter()
        for bucket, _, key in sorted(self._overdue(sent_before)):
            taken[bucket] += 1
            if taken[bucket] <= AT_ONCE:
                self._take_and_resend(key, waited=True)

    def _overdue(self, sent_before: float) -> Iterator[tuple[int, float, str]]:
        """Bucket, time and key of each waiting job that has waited too long."""
        for _, group in self.outbox._waiting:
            for key, entry in group.items():
                time = entry.at + min(60.0 * 2**entry.resends, LONGEST_WAIT)
                if time <= sent_before:
                    yield bucket_of(split_key(key)[0]), time, key

    def _take_and_resend(self, key: str, *, waited: bool) -> None:
        late = self.outbox.drop(key)
        if late is not None:
            self._resend(late, waited=waited)


def changes(effects: Effects) -> bool:
    return any(bool(getattr(effects, name)) for name in Effects.__slots__)


def _name(run_id: str, timer: Timer) -> str:
    kind, path = timer
    return f"{kind} {run_id}{path}"
