"""S-HOLDS, S-SIGNAL: how running bodies come to know that they are to stop."""

from __future__ import annotations

from mageflow_conformance.stores.bench import SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Mark, Signal


@requirement(
    "S-HOLDS-01",
    "A claim holds from when it was granted, also under suspend, until its outcome was said or "
    "an interrupt or cancel stands on its path, at any height.",
)
async def holds(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(chain(task()), *tasks(2))))
    bodies = [await flow.begin(path) for path in ("/0/0/0", "/0/1", "/0/2")]
    await flow.suspend("/0")
    assert [await body.holds() for body in bodies] == [True, True, True]
    await flow.interrupt("/0/0")
    assert [await body.holds() for body in bodies] == [False, True, True]
    await flow.cancel("/0/1")
    assert [await body.holds() for body in bodies] == [False, False, True]
    await bodies[2].done(1)
    assert not await bodies[2].holds()
    await flow.resume("/0/0")
    assert await bodies[0].holds(), "the interrupt was taken back before its body had let go"


@requirement(
    "S-HOLDS-02",
    "A claim of nobody, of an unknown node or of an unknown run does not hold.",
)
async def nobody(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    body = await flow.begin("/0")
    assert await body.holds()
    for key in (flow.key("/0"), flow.key("/1"), flow.key("/9"), "nobody", "nobody/3"):
        assert not await bench.store.holds(key, "somebody-else"), key


@requirement(
    "S-SIGNAL-01",
    "Interrupt and cancel are told to the processes whose bodies run below, within a second; "
    "suspend and resume are not.",
)
async def told(bench: Bench) -> None:
    other = await bench.another()
    listening = other if bench.harness.shared else bench.first
    flow = await bench.start(swarm(*tasks(2)))
    await flow.begin("/0", other)
    await flow.begin("/1")
    for verb, path, mark in (("interrupt", "/0", Mark.INTERRUPT), ("cancel", "", Mark.CANCEL)):
        await flow.suspend(path)
        await flow.steer(verb, path)
        expected = (flow.id, Signal(path, mark))
        for handle in (listening, bench.first):
            await bench.eventually(
                lambda: expected in handle.signals,  # noqa: B023
                within=1.0,
                about=f"{verb} to be told",
            )
    marks = {signal.mark for _, signal in listening.signals}
    assert Mark.SUSPEND not in marks, listening.signals


@requirement(
    "S-SIGNAL-02",
    "A deadline that passes, and a swarm that stops with interrupt_running, are told as cancels.",
)
async def told_of_ends(bench: Bench) -> None:
    late = await bench.start(chain(task(), deadline=SOON))
    await late.begin("/0")
    stops = await bench.start(swarm(*tasks(2), stop_after_n_failures=1, interrupt_running=True))
    await stops.begin("/1")
    await (await stops.begin("/0")).fails()
    for flow in (stops, late):
        await bench.eventually(
            lambda: (flow.id, Signal("", Mark.CANCEL)) in bench.first.signals,  # noqa: B023
            about="a cancel to be told",
        )
