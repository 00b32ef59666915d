"""What keeps runs going: leases, what is due, what was not sent, what others ask for."""

from __future__ import annotations

import asyncio
import json
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from time import monotonic
from typing import Any, TypeVar

from mageflow_core.errors import StoreError
from mageflow_core.machine import Job, Mark, Signal
from mageflow_core.machine.policy import RESERVATION
from mageflow_core.names import split_key
from mageflow_core.stores.protocol import Listener, WorkerInfo
from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.keys import BUCKETS, bucket_of
from mageflow_core.stores.redis.leases import Leases, Tenure
from mageflow_core.stores.redis.members import described, members_of, owner
from mageflow_core.stores.redis.plan import milliseconds
from mageflow_core.stores.redis.records import jobs_of, unpacked
from mageflow_core.stores.redis.server import Server

log = logging.getLogger("mageflow.store")
T = TypeVar("T")

DUE_AT_ONCE = 100  # entries of a bucket that one call of work() serves
OWN, OTHERS = 5.0, 15.0  # seconds after which a bucket is looked at in any case
SPARED = 3.0  # seconds that others get at least to renew their leases after a silence
A_LEAP = 1.0  # seconds that a clock does not drift between two renewals
MENTIONED_AT_ONCE = 100  # jobs in one message to the others
WAITING, CLAIMED = 10**13, 10**14  # see names.lua


class Upkeep:
    """The part of a handle that works for all runs of the namespace.

    Buckets are shared out over the live workers. A handle that no worker has renewed its lease
    with takes itself for the only one.
    """

    def __init__(self, server: Server, leases: Leases, channel: Channel) -> None:
        self._server = server
        self._leases = leases
        self._channel = channel
        self._listener: Listener | None = None
        self._me: WorkerInfo | None = None
        self._others: list[WorkerInfo] = []
        self._mine = frozenset(range(BUCKETS))
        self._next = dict.fromkeys(range(BUCKETS), 0.0)  # bucket → when it is looked at again
        self._stop_listening: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        self._strange: set[str] = set()  # claimed by this worker, and not run by it
        self._heard_at = monotonic()  # when the server last answered
        self._spared_until = 0.0  # leases that have ended, by the same clock

    def open(self, listener: Listener) -> None:
        self._listener = listener

    async def close(self) -> None:
        for stop in self._stop_listening:
            stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def tell_jobs(self, run_id: str, rows: Sequence[Sequence[Any]]) -> None:
        if rows and self._listener is not None:
            self._listener.on_jobs(jobs_of(run_id, rows))

    # --- workers --------------------------------------------------------------------------------
    def tenure(self, worker: str) -> Tenure:
        found = self._leases.of(worker)
        if found is None:
            found = self._leases.begin(worker)
        return found

    async def renew(self, worker: WorkerInfo) -> bool:
        if self._me is None:
            await self._listen()
        self._me = worker
        lease = self._lease
        told = self._server.register(worker.id, described(worker), lease)
        tenure = self.tenure(worker.id)
        before = dict(tenure.until)
        members, _, *held = await asyncio.gather(
            told,
            self._learn_time(),
            *(self._server.on_bucket("renew", b, tenure.member, lease) for b in before),
        )
        self._heard()
        self._know(members)
        for bucket, (until, _) in zip(before, held, strict=True):
            if until == 1 and tenure.until.get(bucket) == before[bucket]:
                tenure.until.pop(bucket, None)
            elif until > 1:
                tenure.until[bucket] = max(until, tenure.until.get(bucket, 0))
        if not self._channel.up:  # who waits to be told waits for the next renewal at most
            self.on_silence()
        if any(until == 0 for until, _ in held):
            await self._give_up(worker.id, crashed=False)
            return False
        claims = {bucket: count for bucket, (_, count) in zip(before, held, strict=True)}
        await self._let_go(tenure, claims)
        return True

    async def _let_go(self, tenure: Tenure, claims: Mapping[int, int]) -> None:
        """Of what is claimed here, as many as that in these buckets, let that run again which no
        body here runs, where that is seen twice: whoever asked for it was stopped, or the server
        has lost the outcome, as when its replica has taken its place."""
        granted = Counter(list(tenure.granted.values()))
        more = [bucket for bucket, count in claims.items() if count > granted[bucket]]
        mine = set(tenure.asked.values())
        calls = (self._server.on_bucket("claims", bucket, tenure.number) for bucket in more)
        found: list[list[str]] = await asyncio.gather(*calls)
        mine.update(list(tenure.asked.values()))
        before, self._strange = self._strange, {key for keys in found for key in keys} - mine
        again = before & self._strange
        if again:
            log.warning(
                "%d nodes are claimed by %s, which does not run them: they run again. Most likely "
                "the server has lost that they had ended.",
                len(again),
                tenure.worker,
            )
            await self._lose(sorted(again), tenure.member, crashed=False)

    async def _learn_time(self) -> None:
        """Clocks drift apart, and are set."""
        if abs(await self._server.learn_time()) > A_LEAP:
            self._next.update(dict.fromkeys(self._next, 0.0))  # times of the clock as it was

    async def leave(self, worker: str, *, crashed: bool) -> None:
        await self._give_up(worker, crashed=crashed)
        self._know(await self._server.register(worker, "", 0))

    def _know(self, members: Sequence[str]) -> None:
        """Who is alive, and so which buckets are this worker's to see to. Those that somebody who
        is gone had, or had work in, are looked at now."""
        before = {worker.id for worker in self._others}
        self._others = members_of(members)
        names = [worker.id for worker in self._others]
        if self._me is None or self._me.id not in names:
            return
        me = self._me.id
        self._mine = frozenset(b for b in range(BUCKETS) if owner(str(b), names) == me)
        if not before.issubset(names) and self._listener is not None:
            self._next.update(dict.fromkeys(self._mine, 0.0))
            self._listener.on_due(self._server.options.clock.now())

    async def _give_up(self, worker: str, *, crashed: bool) -> None:
        tenure = self._leases.end(worker)
        if tenure is not None:
            buckets = list(tenure.until)
            await asyncio.gather(*(self._lose_all(b, tenure.member, crashed) for b in buckets))

    async def _lose_all(self, bucket: int, member: str, crashed: bool) -> None:  # noqa: FBT001
        while True:
            keys = await self._server.on_bucket("leave", bucket, member, DUE_AT_ONCE)
            if not await self._lose(keys, member, crashed=crashed):
                return

    # What moves something on says whether it has, or whether the record is a newer library's, which
    # is not touched.
    async def _lose(self, keys: Sequence[str], member: str, *, crashed: bool) -> bool:
        number, _, worker = member.partition(" ")
        lost = (self._lose_one(key, number, worker, crashed=crashed) for key in keys)
        return any(await all_of(*lost))

    async def _lose_one(self, key: str, number: str, worker: str, *, crashed: bool) -> bool:
        run_id, path = split_key(key)
        policy = self._server.options.policy
        chance = random.random()  # noqa: S311 - jitter
        delays = [milliseconds(policy.crash_delay(crashes, chance)) or 0 for crashes in (1, 2, 3)]
        who = (number, worker, int(crashed))
        answer = await self._server.step("lose", run_id, path, *who, *delays)
        return self._moved(run_id, answer and answer[1])

    def _moved(self, run_id: str, rows: Sequence[Sequence[Any]] | None) -> bool:
        self.tell_jobs(run_id, rows or ())
        return rows is not None

    async def workers(self) -> list[WorkerInfo]:
        return members_of(await self._server.register("", "", 0))

    @property
    def _lease(self) -> int:
        return milliseconds(self._server.options.lease) or 0

    # --- what is due ------------------------------------------------------------------------------
    async def work(self) -> float | None:
        now = self._server.now()
        buckets = [bucket for bucket, time in self._next.items() if time <= now]
        for bucket in buckets:
            self._next[bucket] = now + (OWN if bucket in self._mine else OTHERS)
        try:
            await all_of(*(self._work_on(bucket) for bucket in buckets))
        except BaseException:
            self._next.update(dict.fromkeys(buckets, 0.0))
            raise
        clock = self._server.options.clock
        return clock.now() + min(self._next.values()) - self._server.now()

    async def _work_on(self, bucket: int) -> None:
        found = await self._server.on_bucket("look", bucket, DUE_AT_ONCE)
        now, due, unsent, lost, next_time = found
        self._heard()
        spared = self._spared_until - monotonic() if lost else 0.0
        if spared > 0:
            lost = []
            self._next[bucket] = min(self._next[bucket], self._server.now() + spared)
        moved = await all_of(
            *(self._fire(entry) for entry in due),
            *(self._resend(key, now, waited=False) for key in unsent),
            *(self._lose(keys, member, crashed=True) for member, keys in lost),
        )
        if any(moved):
            self._next[bucket] = 0.0
        elif next_time and bucket in self._mine:
            self._next[bucket] = min(self._next[bucket], int(next_time) / 1000)

    def _heard(self) -> None:
        """That a lease has ended says nothing of its worker where nobody could renew it, this one
        included, since the server was away: all of them get the time to do so."""
        now, lease = monotonic(), self._server.options.lease
        if now - self._heard_at > lease / 2:
            self._spared_until = now + max(lease / 3, SPARED)
        self._heard_at = now

    async def _fire(self, entry: str) -> bool:
        kind, _, key = entry.partition(" ")
        run_id, path = split_key(key)
        known = kind == "unknown" and await self._is_known(run_id, path)
        reservation = milliseconds(RESERVATION) or 0
        rows = await self._server.step("fire", run_id, kind, path, int(known), reservation)
        return self._moved(run_id, rows)

    async def _is_known(self, run_id: str, path: str) -> bool:
        key, command = self._server.keys.run(run_id), self._server.wire.command
        node = await command("HGET", key, f"n{path}", key=key)
        if node is None:
            return False
        header = await command("HGET", key, f"s{unpacked(node)['sig']}", key=key)
        if header is None:  # the run has gone in between
            return False
        task = json.loads(header).get("task")
        return any(task in worker.tasks for worker in await self.workers())

    async def _resend(self, key: str, up_to: int, *, waited: bool) -> bool:
        run_id, path = split_key(key)
        rows = await self._server.step("resend", run_id, path, up_to, int(waited))
        return self._moved(run_id, rows)

    async def send_overdue(self, sent_before: int | None) -> None:
        """Jobs that wait in a backend's queue longer than one that was sent then, or than they
        should where a worker has nothing to do."""
        time = round(self._server.now() * 1000) if sent_before is None else sent_before
        calls = (self._server.on_bucket("overdue", b, time, DUE_AT_ONCE) for b in range(BUCKETS))
        for keys in await asyncio.gather(*calls):
            await asyncio.gather(*(self._resend(k, WAITING + time, waited=True) for k in keys))

    # --- what others say --------------------------------------------------------------------------
    async def _listen(self) -> None:
        keys = self._server.keys
        for channel, told in ((keys.control, self._on_control), (keys.due, self._on_due)):
            self._stop_listening.append(await self._channel.listen(channel, told))

    def on_silence(self) -> None:
        """Messages may have been missed: look at everything."""
        if self._me is not None and self._listener is not None:
            self._next.update(dict.fromkeys(self._next, 0.0))
            self._listener.on_due(self._server.options.clock.now())
            self._listener.on_silence()

    def _on_due(self, text: str) -> None:
        if not text:
            return
        bucket, _, time = text.partition(" ")
        due = float(time) / 1000
        if int(bucket) in self._mine and self._listener is not None:
            self._next[int(bucket)] = min(self._next[int(bucket)], due)
            clock = self._server.options.clock
            self._listener.on_due(clock.now() + due - self._server.now())

    def _on_control(self, text: str) -> None:
        if not text or self._listener is None:
            return
        kind, *said = json.loads(text)
        if kind == "signal":
            run_id, path, mark = said
            self._listener.on_signal(run_id, Signal(path, Mark(mark)))
        elif kind == "jobs":
            jobs, unable = said
            mine = [key for key, task, backend in jobs if self._sends(key, task, backend, unable)]
            self._begin(self.send_again(mine))

    def _sends(self, key: str, task: str, backend: str, unable: Sequence[str]) -> bool:
        """Whether it is this worker that all agree on, of those that know the task."""
        able = [
            worker.id
            for worker in self._others
            if worker.id not in unable
            and task in worker.tasks
            and (not backend or backend in worker.backends)
        ]
        return self._me is not None and owner(key, able) == self._me.id

    async def pass_on(self, jobs: Sequence[Job]) -> None:
        """Where no live worker can send them, they are sent when their time has come."""
        said = [(job.key, job.task, job.backend) for job in jobs]
        for first in range(0, len(said), MENTIONED_AT_ONCE):
            text = json.dumps(
                ["jobs", said[first : first + MENTIONED_AT_ONCE], self._leases.workers]
            )
            await self._server.publish(self._server.keys.control, text)

    async def send_again(self, keys: Sequence[str]) -> None:
        """Jobs that are not claimed, wherever they are."""
        await asyncio.gather(*(self._resend(key, CLAIMED - 1, waited=False) for key in keys))

    async def send_unsent(self, run_id: str) -> None:
        """What a step has made due whose answer was lost."""
        bucket = bucket_of(run_id)
        await self.send_again(await self._server.on_bucket("unsent", bucket, run_id, DUE_AT_ONCE))

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            level = logging.WARNING if isinstance(error, StoreError) else logging.ERROR
            log.log(level, "work for others was left to be found again: %s", error)


async def all_of(*coroutines: Coroutine[Any, Any, T]) -> list[T]:
    """What each gives. All of them are over before the first error is raised."""
    found: list[T] = []
    for answer in await asyncio.gather(*coroutines, return_exceptions=True):
        if isinstance(answer, BaseException):
            raise answer
        found.append(answer)
    return found
