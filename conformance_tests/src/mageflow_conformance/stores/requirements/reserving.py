"""S-RESERVE: a stored run is kept for a place in another one."""

from __future__ import annotations

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Policy


@requirement(
    "S-RESERVE-01",
    "A stored run can be reserved for one run: asked again for that one it is true, for others "
    "it is false, and it cannot be started meanwhile.",
)
async def reserved_for_one(bench: Bench) -> None:
    flow = await bench.create(task())
    store = bench.store
    answers = [await store.reserve(flow.id, by) for by in ("mine", "mine", "other")]
    assert answers == [True, True, False], answers
    why = await flow.start()
    assert why is not None
    assert "mine" in why, f"the reason names the run that it was reserved for: {why}"
    assert await flow.due() == []


@requirement(
    "S-RESERVE-02",
    "A run that was started, or has ended, cannot be reserved.",
)
async def not_reserved(bench: Bench) -> None:
    started = await bench.start(task())
    canceled = await bench.create(task())
    await canceled.cancel()
    for flow in (started, canceled):
        assert not await bench.store.reserve(flow.id, "other")


@requirement(
    "S-RESERVE-03",
    "A reserved run that is made an alias shows the key that it became part of, and stays so.",
)
async def aliased(bench: Bench) -> None:
    flow = await bench.create(task())
    await bench.store.reserve(flow.id, "other")
    await bench.store.alias(flow.id, "other/3")
    await bench.store.alias(flow.id, "other/3")
    assert (await flow.run()).alias_of == "other/3"
    assert await flow.start() is not None


@requirement(
    "S-RESERVE-04",
    "A reservation whose run never comes is dropped after a minute, and one that became an "
    "alias is not.",
    wants="hasten",
    policy=Policy(pending_ttl=10_000.0),
)
async def reservation_dropped(bench: Bench) -> None:
    wait = bench.times.reservation
    left, taken = await bench.create(task()), await bench.create(task())
    began = bench.store.now()
    for flow in (left, taken):
        assert await bench.store.reserve(flow.id, "other")
    await bench.store.alias(taken.id, "other/0")
    await bench.passes(0.6 * wait)
    early = await left.start() is None
    assert not early or bench.store.now() - began >= wait, "a minute is not over"
    await bench.passes(0.5 * wait)

    async def can_be_started() -> bool:
        return await left.start() is None

    await bench.eventually(can_be_started, about="a reservation to be dropped")
    assert await taken.start() is not None
    assert (await taken.run()).alias_of == "other/0"
