"""How the conformance suite gets at Celery, on each broker and pool that it is tried with.

Loaded by `mageflow-conformance` alone, which is not needed to run flows.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from celery import Celery
from celery.exceptions import SecurityWarning

from mageflow_celery.settings import Pool
from mageflow_conformance.backends import ServerHarness
from mageflow_conformance.backends.harness import SECRET
from mageflow_conformance.servers import RabbitServer, RedisServer
from mageflow_core.backends import portable

REDELIVERY = 3.0  # seconds
SLOTS = 4  # of workers that are told nothing else: each is a process
MOST = 40
Record = Callable[[int, int], object]


class CeleryNatives:
    """A task of Celery's on an app that is as Celery's own documentation makes it."""

    def __init__(self, app: Celery, record: Record) -> None:
        @app.task(name="suite:native_add", shared=False)  # type: ignore[untyped-decorator]
        def native_add(a: int, b: int = 1) -> int:
            record(a, b)
            return a + b

        self.client = app
        self.task = native_add
        self.name = portable("suite:native_add")

    async def call(self, a: int, b: int) -> None:
        await asyncio.to_thread(self.task.delay, a, b)

    async def close(self) -> None:
        await asyncio.to_thread(self.client.close)


class CeleryHarness(ServerHarness):
    backend = "celery"
    pool: ClassVar[Pool] = "prefork"
    packages: ClassVar[tuple[str, ...]] = ("celery", "kombu")
    serves = "serves"
    modules: ClassVar[tuple[str, ...]] = (
        "celery.app.base",
        "celery.apps.worker",
        "celery.concurrency.prefork",
    )
    context = "celery.app.task:Context"
    forks = True

    def __init__(self, url: str = "") -> None:
        super().__init__(url)
        # As errors, in processes of the suite. It may be run as root, and a plain app of Celery's
        # has busy workers hold jobs, of which the adapter warns, and rightly so.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        warnings.filterwarnings("ignore", "worker_prefetch_multiplier=4 has", RuntimeWarning)

    # --- apps -----------------------------------------------------------------------------------
    def settings(self, namespace: str) -> dict[str, Any]:
        said: dict[str, Any] = {
            "url": self.url,
            "queue": f"{namespace}.jobs",
            "pool": self.pool,
        }
        if self.redelivery is not None:
            said["redeliver_after"] = self.redelivery
        if self.pool != "prefork":
            return {self.backend: said}
        return {"slots": SLOTS, self.backend: {**said, "processes": MOST}}

    def unreachable(self, port: int) -> dict[str, Any]:
        scheme = self.url.partition("://")[0]
        return {self.backend: {"url": f"{scheme}://suite:{SECRET}@127.0.0.1:{port}"}}

    def natives(self, namespace: str, record: Any) -> CeleryNatives:
        app = Celery("suite", broker=self.url)
        app.conf.task_default_queue = f"{namespace}.native"
        return CeleryNatives(app, record)

    def command(self, module: str) -> list[str]:
        options = [f"--pool={self.pool}", "--concurrency=1", "--without-gossip", "--without-mingle"]
        app = [sys.executable, "-m", "celery", "-A", f"{module}:client"]
        return [*app, "worker", *options]


class RedisPreforkHarness(CeleryHarness):
    name = "celery-redis-prefork"
    redelivery = REDELIVERY
    server_class = RedisServer
    server_options: ClassVar[Mapping[str, Any]] = {"persistence": "aof"}
    packages = (*CeleryHarness.packages, "redis")
    modules = (*CeleryHarness.modules, "kombu.transport.redis")


class RedisThreadsHarness(RedisPreforkHarness):
    name = "celery-redis-threads"
    pool = "threads"
    forks = False


class RabbitPreforkHarness(CeleryHarness):
    name = "celery-rabbitmq-prefork"
    server_class = RabbitServer
    packages = (*CeleryHarness.packages, "amqp")
    modules = (*CeleryHarness.modules, "kombu.transport.pyamqp")
