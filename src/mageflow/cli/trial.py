"""Whether the store of some settings does what it is for, and a flow runs on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from mageflow.cli.checks import Check
from mageflow.cli.shared import impatient
from mageflow.cli.workers import tasks_of
from mageflow.cli.working import working
from mageflow_core import Mageflow
from mageflow_core.backends.loader import load_backend
from mageflow_core.errors import MageflowError, RunNotFound
from mageflow_core.settings import Settings, safe_url
from mageflow_core.stores.loader import load_store
from mageflow_core.stores.protocol import Finding, Store, WorkerInfo

PATIENCE = 10.0  # seconds, for a flow of one task that does nothing
KEPT = 1.0  # seconds that its run is kept
EVERY = 0.1  # seconds between looks whether it is gone
MOST = 128  # characters of a namespace
# Always the same one: a store may keep a few words on each namespace that it has ever seen.
OWN = ".doctor"


async def store_checks(settings: Settings) -> list[Check]:
    """What the store says of itself. Raises what opening it raises, and `StoreUnavailable`."""
    # No task is run here: whether the backend can be used is another question.
    alone = not load_store(settings.store).shared
    settings = impatient(settings.model_copy(update={"backend": "asyncio", "worker": alone}))
    async with Mageflow(settings=settings) as app:
        store = await app.opened()
        kept = Check("what is stored", "ok", f"is kept {store.durable}")
        found = [kept, *map(_check_of, await store.examine())]
        if store.shared:
            found.append(workers_check(await store.workers()))
        return found


def _check_of(finding: Finding) -> Check:
    detail = f"{finding.text}. {finding.advice}" if finding.advice else finding.text
    return Check(f"store: {finding.subject}", finding.state, detail)


async def backend_checks(settings: Settings) -> list[Check]:
    """What the backends say of their engines, those that have one."""
    found = [await _backend_check(settings, name) for name in settings.backends]
    return [check for check in found if check is not None]


async def _backend_check(settings: Settings, backend: str) -> Check | None:
    name = f"backend: {backend}"
    try:
        if load_backend(backend).from_settings(settings).caps.embedded:
            return None
        only = impatient(settings).model_copy(update={"backend": backend})
        async with Mageflow(settings=only) as app:
            health = await app.health()
    except (MageflowError, ImportError) as error:
        return Check(name, "problem", str(error))
    waiting = "" if health.waiting is None else f"; jobs that wait for a worker: {health.waiting:,}"
    return Check(name, "ok" if health.reachable else "problem", f"{health.detail}{waiting}")


def workers_check(alive: Sequence[WorkerInfo]) -> Check:
    if not alive:
        detail = "none is alive: what is started waits until `mageflow worker MODULE` starts one"
        return Check("workers", "warning", detail)
    known = {task for worker in alive for task in tasks_of(worker.tasks)}
    return Check("workers", "ok", f"{len(alive):,} alive; tasks that they know: {len(known):,}")


async def flow_check(settings: Settings) -> Check:
    """Whether a flow of one task runs. On a shared store in a namespace of its own, which it
    leaves as it was."""
    name = f"a flow on {settings.backend} and {safe_url(settings.store)}"
    namespace = settings.namespace[: MOST - len(OWN)] + OWN
    app = Mageflow(settings=settings.model_copy(update={"namespace": namespace, "worker": True}))
    app.task(name="doctor")(answer)
    try:
        async with _working(app):
            run = await app.start(app.registry.find("doctor"), {"question": 1}, ttl=KEPT)
            answered = await run.result(timeout=PATIENCE)
            store = await app.opened()
            gone = not store.shared or await _gone(store, run.id)
    except MageflowError as error:
        return Check(name, "problem", str(error))
    if answered != 1:
        return Check(name, "problem", f"gave {answered!r} in place of 1; please report this")
    if not store.shared:
        return Check(name, "ok", "runs")
    if not gone:
        left = f"runs, but its run {run.id} in namespace {namespace} has not been removed"
        return Check(name, "warning", left)
    return Check(name, "ok", f"runs; it was in namespace {namespace}, and is gone again")


@asynccontextmanager
async def _working(app: Mageflow) -> AsyncIterator[None]:
    """With its worker in this process, unless its backend has processes of its own."""
    if app.backends.of_own_processes():
        async with working(app):
            yield
        return
    app.serves = True
    async with app:
        yield


async def _gone(store: Store, run_id: str) -> bool:
    """Whether the run is removed in time."""
    try:
        async with asyncio.timeout(KEPT + PATIENCE):
            while True:
                await store.view(run_id)
                await asyncio.sleep(EVERY)
    except RunNotFound:
        return True
    except TimeoutError:
        return False


def answer(question: int) -> int:
    return question
