"""B-NATIVE: tasks that the engine's own client has, beside MageFlow's."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow_conformance.backends.life import NATIVE
from mageflow_conformance.backends.requirement import Instead, requirement
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.flows import call
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN
from mageflow_core import Mageflow, TaskSignature, chain


async def has_run(stage: Stage, *arguments: list[int]) -> None:
    """Wait until the native task has run with these arguments, in any order, and so often."""
    wanted = sorted(arguments)

    def said() -> list[Any]:
        return sorted(row.more["arguments"] for row in stage.ledger.of(NATIVE))

    try:
        await eventually(lambda: said() == wanted, within=20)
    except AssertionError:
        raise AssertionError(f"it ran with {said()}, not with {wanted}") from None


async def _no_client(stage: Stage) -> None:
    """And so nothing that a flow could disturb."""
    settings = {name: value for name, value in stage.settings.items() if name != "hastened"}
    mf = Mageflow(**settings, warn_unclosed=False)
    assert mf.native is None
    await stage.worker()
    run = await stage.mf.start(call("step"), {"n": 1})
    assert await run.result(timeout=20) == {"n": 2}
    await stage.kept(run)


NO_CLIENT = Instead(
    text="The engine has no client of its own: `native` is `None`, and flows run.",
    check=_no_client,
)


@requirement(
    "B-NATIVE-01",
    "A native task that is called natively, by a client that MageFlow was put around, runs as if "
    "MageFlow were not there: with its arguments by position, its defaults, and no run.",
    claim="natives",
    instead=NO_CLIENT,
)
async def called_natively(stage: Stage) -> None:
    await stage.worker(native=True)
    natives = await stage.natives()
    mf = await stage.around(natives)
    for n in range(3):
        await natives.call(n, 10)
    await has_run(stage, *([n, 10] for n in range(3)))
    assert not await mf.find()
    assert not stage.ledger.of(BEGUN)


@requirement(
    "B-NATIVE-02",
    "A native task that somebody calls who knows nothing of MageFlow runs untouched in a worker "
    "of MageFlow's.",
    claim="natives",
    instead=NO_CLIENT,
)
async def called_by_a_stranger(stage: Stage) -> None:
    await stage.worker(native=True)
    natives = await stage.natives()
    await natives.call(4, 5)
    await natives.call(6, 7)
    await has_run(stage, [4, 5], [6, 7])
    assert not await stage.mf.find()


@requirement(
    "B-NATIVE-03",
    "A native task is adopted where it is: it stands in flows under its name and as the object "
    "that it is, in one chain with tasks of MageFlow's.",
    claim="natives",
    instead=NO_CLIENT,
)
async def adopted(stage: Stage) -> None:
    await stage.worker(native=True)
    natives = await stage.natives()
    mf = await stage.around(natives)
    by_name: TaskSignature[Any] = TaskSignature(task=natives.name, args={"b": 10})
    under = stage.harness.native_results
    if under is None:
        run = await mf.start(chain(call("echo", value=1), by_name, natives.task, call("echo")))
        # Its only parameter without a value gets the result before it; the other has its default.
        assert await run.result(timeout=20) == 12
    else:
        # What it gives is the message of the next step, which `noted` passes on.
        first = call("echo", value={under: 1})
        run = await mf.start(chain(first, by_name, call("noted"), natives.task))
        assert await run.result(timeout=20) == {under: 12}
    await stage.kept(run)
    await has_run(stage, [1, 10], [11, 1])
    assert await mf.load(run.id)


@requirement(
    "B-NATIVE-04",
    "Native jobs and jobs of flows, of the same native task among them, run side by side in one "
    "worker, each once.",
    claim="natives",
    instead=NO_CLIENT,
)
async def side_by_side(stage: Stage) -> None:
    count = 20
    await stage.worker(native=True)
    natives = await stage.natives()
    mf = await stage.around(natives)

    async def natively() -> None:
        for n in range(count):
            await natives.call(n, 1_000)

    async def in_flows() -> list[Any]:
        flows = [
            chain(call("step", add=n), call("work"))
            if n % 2
            else TaskSignature(task=natives.name, args={"a": n, "b": 2_000})
            for n in range(count)
        ]
        runs = [await mf.start(flow, {"n": 0}) for flow in flows]
        return [await run.result(timeout=30) for run in runs]

    _, results = await asyncio.gather(natively(), in_flows())
    under = stage.harness.native_results
    sums = [n + 2_000 if under is None else {under: n + 2_000} for n in range(count)]
    assert results == [{"n": n + 1} if n % 2 else sums[n] for n in range(count)]
    await has_run(
        stage,
        *([n, 1_000] for n in range(count)),
        *([n, 2_000] for n in range(0, count, 2)),
    )
    for run in await mf.find():
        await run.settled(timeout=20)
    assert len(await mf.find()) == count
