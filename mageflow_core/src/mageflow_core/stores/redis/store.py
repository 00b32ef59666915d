"""The store in Redis: each step is one call of a Lua script on keys of one slot."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, ClassVar, Self

from mageflow_core.errors import NotOpen, RunNotFound, StoreUnavailable
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Failed,
    Job,
    Refusal,
    Report,
    Steer,
    Steered,
    Verdict,
)
from mageflow_core.machine.policy import RESERVATION
from mageflow_core.names import key_of, split_key
from mageflow_core.stores.protocol import (
    Claimed,
    Created,
    Finding,
    Listener,
    NewRun,
    StoreOptions,
    WorkerInfo,
)
from mageflow_core.stores.redis.channel import Channel
from mageflow_core.stores.redis.confirming import Confirmations
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.diagnosis import examine, refuse_evicting
from mageflow_core.stores.redis.finding import indexes_of
from mageflow_core.stores.redis.keys import bucket_of
from mageflow_core.stores.redis.leases import Leases, Tenure
from mageflow_core.stores.redis.outcomes import arguments_of
from mageflow_core.stores.redis.plan import Plan, milliseconds, plan_of
from mageflow_core.stores.redis.server import Server
from mageflow_core.stores.redis.steps import Steps
from mageflow_core.stores.redis.upkeep import Upkeep
from mageflow_core.stores.redis.views import Views
from mageflow_core.stores.redis.works import Works

RESEND_AFTER = 60.0  # seconds that a worker has had nothing to do
FIELDS_AT_ONCE = 3_100  # of one call: up to three for each of 1,000 signatures, and a few besides
BYTES_AT_ONCE = 1_000_000


class RedisStore(Views):
    """Kept by a Redis or Valkey server or a Redis Cluster, and shared by all who use it.

    Implements `Store`. How long it keeps what it has acknowledged is a matter of the server's
    persistence and replication: `examine()` tells.
    """

    durable: ClassVar[str] = "as long as the Redis server keeps it: see its persistence"
    shared: ClassVar[bool] = True

    def __init__(
        self,
        address: Address,
        options: StoreOptions,
        *,
        steps: Steps | None = None,
        leases: Leases | None = None,
    ) -> None:
        self._address = address
        self._options = options
        self._steps = steps or Steps()
        self._leases = leases or Leases()
        server = Server(address, options, self._steps)
        channel = Channel(address, on_silence=self._on_silence, others=server.wire.addresses)
        super().__init__(server, channel)
        self._upkeep = Upkeep(server, self._leases, channel)
        self._confirmations = Confirmations(server)
        self._works = Works()
        self._containers: dict[str, str] = {}  # claim → the signature above, to be read ahead

    @classmethod
    def from_url(cls, url: str, /, options: StoreOptions) -> Self:
        return cls(Address.parse(url), options)

    def twin(self) -> RedisStore:
        return RedisStore(self._address, self._options, steps=self._steps, leases=self._leases)

    async def open(self, listener: Listener) -> None:
        """Raises `StoreUnavailable` and its kinds, `SettingsError` for a server that cannot be
        used: too old, or one that evicts keys."""
        await self.server.open()
        try:
            await refuse_evicting(self.server.wire)
        except BaseException:
            await self.server.close()
            raise
        await self.channel.open()
        self._upkeep.open(listener)

    async def close(self) -> None:
        self.end_waiting(NotOpen("the app was closed while somebody waited for this run"))
        await self._confirmations.close()
        await self._upkeep.close()
        await self.channel.close()
        await self.server.close()

    def now(self) -> float:
        return self.server.now()

    def _on_silence(self) -> None:
        self._upkeep.on_silence()

    # --- runs -----------------------------------------------------------------------------------
    async def create(self, new: NewRun) -> Created:
        plan = plan_of([new.signature])
        ttl = new.ttl if new.ttl is not None else self._options.policy.result_ttl
        staged, fields = await self._stage(new.id, plan)
        started = new.message is not None
        with self.inbox.starting(new.id, plan.first) as start:
            answer, rows = await self.server.step(
                "create",
                new.id,
                new.content or "",
                new.start_key or "",
                milliseconds(ttl) or 0,
                json.dumps(dict(new.signature.labels)) if new.signature.labels else "",
                json.dumps(indexes_of(new.signature)),
                int(started),
                "null" if new.message is None else new.message,
                staged,
                start.inbox if started else "",
                *fields,
            )
            start.fresh = started and answer == "fresh"
        await self._answered(new.id, "again" if answer == "there" else "", rows)
        return Created(fresh=answer == "fresh", conflict=answer == "conflict")

    async def _stage(self, run_id: str, plan: Plan) -> tuple[str, list[str]]:
        """Send what does not fit into one call ahead; gives its key, and what is left to send."""
        fields = list(plan.flat)
        key = ""
        while len(fields) > 2 * FIELDS_AT_ONCE or sum(map(len, fields)) > BYTES_AT_ONCE:
            if len(fields) <= 4:  # noqa: PLR2004 - one signature that is as large as that
                break
            key = key or self.server.keys.staged(run_id, secrets.token_hex(8))
            size = count = 0
            while count < min(2 * FIELDS_AT_ONCE, len(fields) - 2) and size < BYTES_AT_ONCE:
                size += len(fields[count]) + len(fields[count + 1])
                count += 2
            # Under the names that they will have: a new run's first plan is number 0.
            ahead = [
                f"{part[0]}0.{part[1:]}" if index % 2 == 0 else part
                for index, part in enumerate(fields[:count])
            ]
            await self.server.stage(key, ahead)
            fields = fields[count:]
        return key, fields

    async def start(self, run_id: str, message: str, start_id: str) -> str | None:
        with self.inbox.starting(run_id) as start:
            words = (message, start_id, start.inbox)
            answer, rows = await self.server.step("start", run_id, *words)
            start.fresh = not answer
        return await self._answered(run_id, answer, rows) or None

    async def _answered(self, run_id: str, answer: str, rows: Sequence[Any]) -> str:
        """Why a step was refused, if it was. Where it had been made before, and its answer was
        lost, so were the jobs that it made due."""
        if answer == "again":
            await self._upkeep.send_unsent(run_id)
            return ""
        self._upkeep.tell_jobs(run_id, rows)
        return answer

    async def reserve(self, run_id: str, by: str) -> bool:
        hold = milliseconds(RESERVATION) or 0
        return bool(await self.server.step("reserve", run_id, by, hold))

    async def alias(self, run_id: str, key: str) -> None:
        await self.server.step("alias", run_id, key)

    async def add(self, run_id: str, request: Add) -> tuple[int, ...] | Refusal:
        plan = plan_of(request.items)
        arguments = (request.path, request.id, len(request.items), json.dumps(plan.top))
        answer, first, count, rows = await self.server.step("add", run_id, *arguments, *plan.flat)
        refusal = await self._answered(run_id, answer, rows)
        return Refusal(refusal) if refusal else tuple(range(first, first + count))

    async def close_swarm(self, run_id: str, path: str) -> Refusal | None:
        refusal, rows = await self.server.step("close", run_id, path)
        self._upkeep.tell_jobs(run_id, rows)
        return Refusal(refusal) if refusal else None

    async def steer(self, run_id: str, request: Steer) -> Steered:
        arguments = (request.path, request.verb.value, request.id)
        answer, rows = await self.server.step("steer", run_id, *arguments)
        if answer is None:
            raise RunNotFound(f"run {run_id!r} has no node {run_id + request.path!r}")
        refusal = await self._answered(run_id, answer, rows)
        return Steered(applied=not refusal, why=refusal)

    # --- work -----------------------------------------------------------------------------------
    async def claim(self, run_id: str, request: ClaimRequest) -> Claimed:
        tenure = self._upkeep.tenure(request.worker)
        tenure.asked[request.id] = key_of(run_id, request.path)
        try:
            claimed = await self._claim(tenure, run_id, request)
        except StoreUnavailable:  # it is asked again, and may have been granted
            raise
        except BaseException:
            self._leases.over(request.id)
            raise
        if claimed.work is None:
            self._leases.over(request.id)
        return claimed

    async def _claim(self, tenure: Tenure, run_id: str, request: ClaimRequest) -> Claimed:
        bucket = bucket_of(run_id)
        reply = await self.server.step(
            "claim",
            run_id,
            request.path,
            request.attempt,
            request.id,
            request.worker,
            tenure.number,
            tenure.until.get(bucket, 0),
            milliseconds(self._options.lease) or 0,
        )
        self._confirmations.claimed(key_of(run_id, request.path))
        if reply[0] != "run":
            return Claimed(Verdict(reply[0]), reply[1])
        _, whole, _, _, _, sent_at, until, *_ = reply
        self._containers[request.id] = reply[-1]
        tenure.granted[request.id] = bucket
        tenure.until[bucket] = max(until, tenure.until.get(bucket, 0))
        self._leases.claimed_of = max(self._leases.claimed_of, sent_at)
        if whole:
            return Claimed(Verdict.RUN, "", self._works.work(run_id, request, reply))
        # The answer does not have it all: long values, lists of swarms, errors.
        with suppress(RunNotFound):
            work = await self.work_of(run_id, request.path, request.id)
            if work is not None:
                return Claimed(Verdict.RUN, "", work)
        self._containers.pop(request.id, None)
        return Claimed(Verdict.RELEASE, "its claim was lost while its input was read")

    async def report(self, run_id: str, message: Report) -> str | None:
        container = self._containers.pop(message.claim, "")
        claim = (message.path, message.claim, message.fence, container)
        arguments = (*claim, *arguments_of(message.outcome))
        refused, rows = await self.server.step("report", run_id, *arguments)
        if not (isinstance(message.outcome, Failed) and message.outcome.held):
            self._leases.over(message.claim)
        return await self._answered(run_id, refused, rows) or None

    async def sent(self, jobs: Sequence[Job]) -> None:
        """Confirmed within a second, unless a claim has said as much by then."""
        self._confirmations.add(jobs)

    async def unknown(self, key: str) -> None:
        run_id, path = split_key(key)
        await self.server.step("unknown", run_id, path)

    async def pass_on(self, jobs: Sequence[Job]) -> None:
        await self._upkeep.pass_on(jobs)

    async def renew(self, worker: WorkerInfo) -> bool:
        held = await self._upkeep.renew(worker)
        claimed_of, self._leases.claimed_of = self._leases.claimed_of, 0
        if claimed_of:
            await self._upkeep.send_overdue(claimed_of)
        return held

    async def leave(self, worker: str, *, crashed: bool) -> None:
        await self._upkeep.leave(worker, crashed=crashed)

    async def idle(self, since: float) -> None:
        if self.now() - since >= RESEND_AFTER:
            await self._upkeep.send_overdue(None)

    async def workers(self) -> Sequence[WorkerInfo]:
        return await self._upkeep.workers()

    async def examine(self) -> Sequence[Finding]:
        return await examine(self.server.wire, self._steps, namespace=self._options.namespace)

    # --- time -----------------------------------------------------------------------------------
    async def work(self) -> float | None:
        return await self._upkeep.work()
