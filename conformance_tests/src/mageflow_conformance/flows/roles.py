"""What processes of these tests do: each function here is the whole life of one.

Imported in the process that works, after its environment is set. settings: of its app, and
`hastened`: whether the store's long times are short there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from itertools import count
from typing import Any

from mageflow_conformance.flows.app import make_app
from mageflow_conformance.flows.hastening import hastened
from mageflow_conformance.flows.shapes import SHAPES
from mageflow_conformance.ledger import Ledger
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN
from mageflow_core import Mageflow, Run

HASTENED = "hastened"
SERVING, STARTING, STARTED = "serving", "starting", "started"
MESSAGE = {"n": 1}


def _run(settings: dict[str, Any], life: Coroutine[Any, Any, None]) -> None:
    with hastened() if settings.get(HASTENED) else nullcontext():
        asyncio.run(life)


def _only_settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if name != HASTENED}


def serve(ledger: str, settings: dict[str, Any]) -> None:
    """A worker, until a signal ends it."""
    _run(settings, _serve(ledger, settings))


async def _serve(path: str, settings: dict[str, Any]) -> None:
    mf = make_app(path, **_only_settings(settings))
    serving = asyncio.create_task(mf.serve())
    telling = asyncio.create_task(_tell_serving(mf, Ledger(path)))
    try:
        await serving
    finally:
        telling.cancel()


async def _tell_serving(mf: Mageflow, ledger: Ledger) -> None:
    worker = await eventually(lambda: mf.worker_id, about="a worker that is open")
    ledger.note(SERVING, worker=worker)


# --- those that start flows -----------------------------------------------------------------------
def stay(ledger: str, settings: dict[str, Any], shape: str, key: str, linger: float) -> None:
    """Works, starts a flow, and waits for its end, then for so many seconds more."""
    _run(settings, _stay(ledger, settings, shape, key, linger))


async def _stay(path: str, settings: dict[str, Any], shape: str, key: str, linger: float) -> None:
    ledger = Ledger(path)
    async with make_app(ledger, **_only_settings(settings)) as mf:
        run = await _start(mf, ledger, shape, await own_key(mf, key))
        await run.settled()
        await asyncio.sleep(linger)


def leave(ledger: str, settings: dict[str, Any], shape: str, key: str) -> None:
    """Works, starts a flow, and leaves as soon as a body of it has begun."""
    _run(settings, _leave(ledger, settings, shape, key))


async def _leave(path: str, settings: dict[str, Any], shape: str, key: str) -> None:
    ledger = Ledger(path)
    async with make_app(ledger, **_only_settings(settings)) as mf:
        run = await _start(mf, ledger, shape, await own_key(mf, key))
        await ledger.has(BEGUN, below=run.id)


def only_start(ledger: str, settings: dict[str, Any], shape: str, key: str) -> None:
    """Starts a flow without working, and waits for its end."""
    _run(settings, _only_start(ledger, settings, shape, key))


async def _only_start(path: str, settings: dict[str, Any], shape: str, key: str) -> None:
    ledger = Ledger(path)
    async with make_app(ledger, **_only_settings(settings), worker=False) as mf:
        run = await _start(mf, ledger, shape, key)
        await run.settled()


async def _start(mf: Mageflow, ledger: Ledger, shape: str, key: str) -> Run[Any]:
    ledger.note(STARTING, start_key=key)
    run = await mf.start(SHAPES[shape](), MESSAGE, key=key)
    ledger.note(STARTED, start_key=key, run=run.id)
    return run


async def own_key(mf: Mageflow, key: str) -> str:
    """A start key that begins so, of a run that this worker's reconciler sees to: when it dies,
    all of it is for others to take over. Waits until they have heard of this worker."""
    from mageflow_core.stores.redis.keys import bucket_of  # noqa: PLC0415  # where it is in use
    from mageflow_core.stores.redis.members import owner  # noqa: PLC0415

    store = await mf.opened()
    here = store.now()

    async def known() -> bool:
        others = [each for each in await store.workers() if each.id != mf.worker_id]
        return all(each.seen_at > here for each in others)

    await eventually(known, about="others who have heard of this worker")
    workers = [worker.id for worker in await store.workers()]
    return next(
        each
        for each in (f"{key}.{number}" for number in count())
        if owner(str(bucket_of(start_key_id(mf, each))), workers) == mf.worker_id
    )


def start_key_id(mf: Mageflow, key: str) -> str:
    """The id of the run that has this start key."""
    return mf._run_id(key, None, None)  # noqa: SLF001 - asked of the app, so that it stays true
