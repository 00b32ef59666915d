"""A store with its listener, and the calls that workers and clients make, in few words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Any

import msgpack  # type: ignore[import-untyped] # it has no types
from simulation.bodies import failure_of

from handles.ear import Ear
from mageflow_core.machine import (
    Add,
    ClaimRequest,
    Done,
    Failed,
    Job,
    Outcome,
    Refusal,
    Released,
    Report,
    Steer,
    Steered,
    Verb,
)
from mageflow_core.names import split_key
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Claimed, Created, NewRun, Store, Work, WorkerInfo
from mageflow_core.stores.redis import RedisStore
from mageflow_core.stores.redis.keys import bucket_of
from mageflow_core.stores.redis.records import unpacked

WORKER = "w1"
_ids = count(1)


class Player:
    """Of any store."""

    def __init__(self, store: Store, ear: Ear) -> None:
        self.store = store
        self.ear = ear

    async def create(
        self, signature: Signature[Any], message: str | None = "null", run: str = "r", **new: Any
    ) -> Created:
        return await self.store.create(NewRun(id=run, signature=signature, message=message, **new))

    async def claim(
        self, key: str = "r", attempt: int = 1, worker: str = WORKER, claim: str | None = None
    ) -> Claimed:
        run_id, path = split_key(key)
        claim = claim or f"claim-{next(_ids)}"
        return await self.store.claim(run_id, ClaimRequest(path, attempt, claim, worker))

    async def begin(self, key: str = "r", attempt: int = 1, worker: str = WORKER) -> Work:
        """A claim that must be granted."""
        verdict, why, work = await self.claim(key, attempt, worker)
        assert work is not None, f"{verdict}: {why}"
        return work

    async def report(self, work: Work, outcome: Outcome) -> str | None:
        run_id, path = split_key(work.key)
        return await self.store.report(run_id, Report(path, work.claim, work.fence, outcome))

    async def done(self, work: Work, value: str = "null", **how: Any) -> str | None:
        return await self.report(work, Done(value=value, **how))

    async def fails(self, work: Work, retry_in: float | None = None) -> str | None:
        return await self.report(work, Failed(failure=failure_of(work), retry_in=retry_in))

    async def releases(self, work: Work) -> str | None:
        return await self.report(work, Released())

    async def run(self, key: str = "r", value: str = "null", attempt: int = 1) -> None:
        """An attempt from its claim to its end."""
        assert await self.done(await self.begin(key, attempt), value) is None

    async def add(self, key: str, *items: Signature[Any]) -> tuple[int, ...] | Refusal:
        run_id, path = split_key(key)
        return await self.store.add(run_id, Add(path, f"add-{next(_ids)}", items))

    async def play(self, values: Callable[[str], str] | None = None) -> None:
        """Run all that is sent to its end. values: key → result; else all are null."""
        while jobs := self.ear.take():
            for job in jobs:
                await self.run(job.key, values(job.key) if values else "null", job.attempt)

    async def steer(self, key: str, verb: Verb) -> Steered:
        run_id, path = split_key(key)
        return await self.store.steer(run_id, Steer(path, verb, f"steer-{next(_ids)}"))

    async def renew(self, worker: str = WORKER, backends: Sequence[str] = ("b",)) -> bool:
        return await self.store.renew(info(worker, backends=backends))


class Handle(Player):
    """Of a store in Redis."""

    store: RedisStore

    def __init__(self, store: RedisStore, ear: Ear) -> None:
        super().__init__(store, ear)

    async def look(self) -> list[Job]:
        """Let it see to all buckets at once; gives the jobs that came of it."""
        self.ear.take()
        self.look_everywhere()
        await self.store.work()
        return self.ear.take()

    def look_everywhere(self) -> None:
        upkeep = self.store._upkeep
        upkeep._next = dict.fromkeys(upkeep._next, 0.0)

    async def play_all(self, value: str) -> None:
        """Run all there is to its end, however wide, side by side."""
        while jobs := self.ear.take() or await self.look():
            await asyncio.gather(*(self.run(job.key, value, job.attempt) for job in jobs))

    # --- what is stored -------------------------------------------------------------------------
    async def ask(self, *command: Any) -> Any:
        """The server's answer to any command."""
        return await self.store.server.wire.command(*command, key="")

    async def count(self, command: str) -> int:
        """How often the server was given a command since it was last told to forget that."""
        for line in (await self.ask("INFO", "commandstats")).splitlines():
            name, _, said = line.partition(":")
            if name == f"cmdstat_{command}":
                return int(dict(part.split("=") for part in said.split(","))["calls"])
        return 0

    async def forget_counts(self) -> None:
        await self.ask("CONFIG", "RESETSTAT")

    async def keys(self, pattern: str = "*") -> list[str]:
        """In no order."""
        cursor, found = "0", []
        while True:
            cursor, page = await self.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found += page
            if int(cursor) == 0:
                return found

    async def fields(self, run: str = "r") -> dict[str, str]:
        flat = await self.ask("HGETALL", self.store.server.keys.run(run))
        return dict(zip(flat[::2], flat[1::2], strict=True))

    async def rewrite(self, field: str, **changes: Any) -> None:
        """Change what a record of the run `r` says; `None` takes it away."""
        key = self.store.server.keys.run("r")
        record = unpacked(await self.ask("HGET", key, field)) | changes
        kept = {name: value for name, value in record.items() if value is not None}
        await self.ask("HSET", key, field, msgpack.packb(kept))

    def bucket_key(self, run: str, name: str) -> str:
        """Of what is kept for a whole bucket: `jobs`, `due`, `leases`, `i`, …"""
        return self.store.server.keys.run(run).partition("}:")[0] + "}:" + name

    async def scores(self, run: str, name: str) -> dict[str, float]:
        flat = await self.ask("ZRANGE", self.bucket_key(run, name), 0, -1, "WITHSCORES")
        return {member: float(score) for member, score in zip(flat[::2], flat[1::2], strict=True)}


def info(worker: str, *, tasks: Sequence[str] = (), backends: Sequence[str] = ()) -> WorkerInfo:
    return WorkerInfo(
        id=worker, tasks=frozenset(tasks), slots=1, backends=frozenset(backends), host="h", pid=1
    )


def beside(run: str, number: int = 0) -> str:
    """The id of another run of the same bucket."""
    names = (name for n in range(100_000) if bucket_of(name := f"x{n}") == bucket_of(run))
    return next(islice(names, number, None))


async def asked_for(store: Handle, of: str = "HMGET") -> list[tuple[Any, ...]]:
    """The commands of a kind that are given from now on."""
    found: list[tuple[Any, ...]] = []
    wire = store.store.server.wire
    original = wire.command

    async def command(*arguments: Any, key: str) -> Any:
        if arguments[0] == of:
            found.append(arguments)
        return await original(*arguments, key=key)

    setattr(wire, "command", command)  # noqa: B010 - methods are not assigned to
    return found
