"""The server as the parts of the store use it: steps by name, keys, and its time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from mageflow_core.errors import RunNotFound, SettingsError, StoreError
from mageflow_core.machine import Policy
from mageflow_core.serialization import dumps
from mageflow_core.stores.protocol import StoreOptions
from mageflow_core.stores.redis.connecting import Address
from mageflow_core.stores.redis.keys import BUCKETS, Keys
from mageflow_core.stores.redis.plan import milliseconds
from mageflow_core.stores.redis.records import VERSION
from mageflow_core.stores.redis.steps import Steps
from mageflow_core.stores.redis.wire import Wire


class Server:
    """For one event loop."""

    def __init__(self, address: Address, options: StoreOptions, steps: Steps) -> None:
        self.options = options
        self.keys = Keys(options.namespace)
        self.wire = Wire(
            address,
            patience=options.patience,
            wait_replicas=options.wait_replicas,
            several=steps["several"],
        )
        self._steps = steps
        self._policy = policy_text(options.policy)
        self._ahead = time.time() - time.monotonic()  # of the server's clock to that of this loop

    async def open(self) -> None:
        """Raises `SettingsError` for a namespace that another version of this has laid out."""
        await self.wire.open()
        try:
            await self._look_around()
        except BaseException:
            await self.wire.close()
            raise

    async def _look_around(self) -> None:
        await self.learn_time()
        meta = self.keys.meta
        buckets = await self.wire.command("HGET", meta, "buckets", key=meta)
        if buckets is None:  # asked first: a full server refuses to write, also what is there
            await self.wire.command("HSETNX", meta, "version", VERSION, key=meta)
            await self.wire.command("HSETNX", meta, "buckets", BUCKETS, key=meta)
            buckets = await self.wire.command("HGET", meta, "buckets", key=meta)
        if int(buckets) != BUCKETS:
            raise SettingsError(
                f"namespace {self.options.namespace!r} has {buckets} buckets, and this version of "
                f"MageFlow works with {BUCKETS}: use another namespace, or that version"
            )

    async def close(self) -> None:
        await self.wire.close()

    # --- time -----------------------------------------------------------------------------------
    def now(self) -> float:
        """The server's time, as far as it is known here, in seconds since the epoch."""
        return time.monotonic() + self._ahead

    async def learn_time(self) -> float:
        """Ask for it; gives by how many seconds it was taken for too early."""
        before = time.monotonic()
        seconds, micros = await self.wire.command("TIME", key=self.keys.meta)
        middle = (before + time.monotonic()) / 2
        known, self._ahead = self._ahead, int(seconds) + int(micros) / 1e6 - middle
        return self._ahead - known

    # --- steps ----------------------------------------------------------------------------------
    async def step(self, name: str, run_id: str, *arguments: str | float) -> Any:
        """One step of a run. Raises `RunNotFound`, and `StoreError` for a newer record."""
        reply = await self.wire.call(
            self._steps[name], self.keys.run(run_id), self._policy, *arguments
        )
        if reply == "no run":
            raise RunNotFound(f"no run {run_id!r} in this store: it may have expired")
        if reply == "newer":
            raise StoreError(f"run {run_id} was stored by a newer MageFlow: upgrade this one")
        return reply

    async def stage(self, key: str, fields: Sequence[str]) -> None:
        await self.wire.call(self._steps["stage"], key, self._policy, *fields)

    async def on_bucket(self, name: str, bucket: int, *arguments: str | float) -> Any:
        return await self.wire.call(self._steps[name], self.keys.bucket(bucket), *arguments)

    async def register(self, worker: str, description: str, milliseconds: int) -> list[str]:
        """See `register.lua`."""
        found: list[str] = await self.wire.call(
            self._steps["register"], self.keys.workers, worker, description, milliseconds
        )
        return found

    async def publish(self, channel: str, text: str) -> None:
        await self.wire.command("PUBLISH", channel, text, key=self.keys.meta)


def policy_text(policy: Policy) -> str:
    """For the scripts: times in milliseconds."""
    return dumps(
        {
            "max_crashes": policy.max_crashes,
            "cancel_grace": milliseconds(policy.cancel_grace),
            "pending_ttl": milliseconds(policy.pending_ttl),
            "unknown_task_timeout": milliseconds(policy.unknown_task_timeout),
            "max_continuations": policy.max_continuations,
            "max_nodes": policy.max_nodes,
            "history": policy.history,
        }
    )
