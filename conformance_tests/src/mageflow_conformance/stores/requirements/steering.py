"""S-STEER: each verb, on a node in each status."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task
from mageflow_conformance.stores.flow import Flow
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Add, Status, Steer, Verb, Verdict

# A run that has a node in each status, at these paths.
PATHS = {
    "pending": "/0/pending",
    "queued": "/0/queued",
    "active": "/0/active",
    "retrying": "/0/retrying",
    "delayed": "/0/delayed",
    "chain": "/0/chain",
    "open swarm": "/0/swarm",
    "whole run": "",
    "done": "/0/done",
    "failed": "/0/failed",
    "canceled": "/0/canceled",
}
RUNNING = tuple(name for name in PATHS if name not in ("done", "failed", "canceled"))
SHOWN = {
    "suspend": Status.SUSPENDED,
    "interrupt": Status.INTERRUPTED,
}


async def zoo(bench: Bench) -> Flow:
    nodes = {
        "done": task(), "failed": task(), "canceled": task(), "pending": task(), "queued": task(),
        "active": task(), "retrying": task(), "delayed": task(delay=500.0),
        "chain": chain(task(), task()), "swarm": swarm(open=True),
    }  # fmt: skip
    whole = graph(nodes, {"pending": ("queued",)}, on_failure="continue")
    flow = await bench.start(chain(whole))
    await (await flow.begin("/0/done")).done(1)
    await (await flow.begin("/0/failed")).fails()
    await flow.cancel("/0/canceled")
    await flow.begin("/0/active")
    await (await flow.begin("/0/retrying")).fails(retry_in=500.0)
    return flow


def but(changes: Mapping[str, Status], statuses: Mapping[str, Status]) -> dict[str, Status]:
    return {**statuses, **changes}


async def puts_a_mark(bench: Bench, verb: str) -> None:
    for name in RUNNING:
        flow = await zoo(bench)
        path = PATHS[name]
        before = await flow.statuses("/0")
        answers = [await flow.steer(verb, path, call="call-1") for _ in range(2)]
        assert [answer.applied for answer in answers] == [True, True], (name, answers)
        assert await flow.status(path) is SHOWN[verb], name
        if path:
            own = {path: SHOWN[verb]}
            assert await flow.statuses("/0") == but(own, before), f"{name}: others have changed"
        await flow.resume(path)
        assert await flow.statuses("/0") == before, f"{name}: it is not as it was before"
        assert (await flow.events()).count((verb, path)) == 1, "asked again, applied again"


@requirement(
    "S-STEER-01",
    "Suspend and resume apply to a node of any status that has not ended, change what is shown "
    "of it and of what is below it alone, and are applied once however often they are asked.",
)
async def suspend(bench: Bench) -> None:
    await puts_a_mark(bench, "suspend")


@requirement(
    "S-STEER-02",
    "Interrupt and resume do likewise.",
)
async def interrupt(bench: Bench) -> None:
    await puts_a_mark(bench, "interrupt")


@requirement(
    "S-STEER-03",
    "Cancel ends a node of any status that has no running body at once, and one that has is "
    "canceling; asked again with its id it is answered as before.",
)
async def cancel(bench: Bench) -> None:
    for name in RUNNING:
        flow = await zoo(bench)
        path = PATHS[name]
        answers = [await flow.steer("cancel", path, call="call-1") for _ in range(2)]
        assert [answer.applied for answer in answers] == [True, True], (name, answers)
        waits = name in ("active", "whole run")
        expected = Status.CANCELING if waits else Status.CANCELED
        assert await flow.status(path) is expected, name
        another = await flow.steer("cancel", path)
        assert not another.applied, name
        assert another.why, name
        for each in [] if waits else await flow.due():
            if each.startswith(path):
                assert (await flow.knock(each)).verdict is Verdict.SKIP, name


@requirement(
    "S-STEER-04",
    "Suspend, interrupt and cancel of what has ended, and resume of what carries neither mark "
    "itself, change nothing and say why.",
)
async def refused(bench: Bench) -> None:
    flow = await zoo(bench)
    before = (await flow.statuses("/0"), await flow.events())
    for name in ("done", "failed", "canceled"):
        for verb in ("suspend", "interrupt", "cancel", "resume"):
            answer = await flow.steer(verb, PATHS[name])
            assert not answer.applied, (verb, name)
            assert answer.why, (verb, name)
    for name in RUNNING:
        answer = await flow.steer("resume", PATHS[name])
        assert not answer.applied, name
        assert answer.why, name
    assert (await flow.statuses("/0"), await flow.events()) == before


@requirement(
    "S-STEER-05",
    "Retry applies to what failed or was canceled and to nothing else, once however often it is "
    "asked with one id.",
)
async def retry(bench: Bench) -> None:
    for name, path in PATHS.items():
        flow = await zoo(bench)
        before = await flow.view(path)
        answers = [await flow.steer("retry", path, call="call-1") for _ in range(2)]
        applies = name in ("failed", "canceled")
        assert [answer.applied for answer in answers] == [applies] * 2, (name, answers)
        after = await flow.view(path)
        if applies:
            assert (after.status, after.generation) == (Status.QUEUED, 2), name
            assert (await flow.events()).count(("retry", path)) == 1
            await bench.eventually(lambda: path in flow.waiting(), about=name)  # noqa: B023
        else:
            assert all(answer.why for answer in answers)
            assert after == before, name


@requirement(
    "S-STEER-06",
    "Steering below what is being canceled, or has ended, changes nothing and says why.",
)
async def below_the_ended(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), task(), task()))
    body = await flow.begin("/0")
    await flow.cancel()
    for _ in ("canceling", "canceled"):
        for verb in ("suspend", "interrupt", "cancel"):
            answer = await flow.steer(verb, "/1")
            assert not answer.applied, verb
            assert answer.why, verb
        await body.released()
    assert await flow.status() is Status.CANCELED


@requirement(
    "S-STEER-07",
    "Marks at several levels are resumed in any order: a node runs when none is left on its "
    "path, and shows the strongest until then.",
)
async def several_levels(bench: Bench) -> None:
    for order in (("", "/0"), ("/0", "")):
        flow = await bench.start(chain(chain(task())))
        await flow.suspend("/0")
        await flow.interrupt()
        assert await flow.status("/0/0") is Status.INTERRUPTED
        await flow.knock("/0/0")
        await flow.resume(order[0])
        for path in await flow.due():
            assert (await flow.knock(path)).work is None
        await flow.resume(order[1])
        await (await flow.begin("/0/0")).done(1)
        assert await flow.status() is Status.DONE


@requirement(
    "S-STEER-08",
    "A weaker mark does not replace a stronger one on the same node.",
)
async def weaker(bench: Bench) -> None:
    flow = await bench.start(task())
    await flow.interrupt()
    assert (await flow.steer("suspend")).applied
    assert await flow.status() is Status.INTERRUPTED
    await flow.resume()
    assert await flow.status() is Status.QUEUED


@requirement(
    "S-STEER-09",
    "What is steered before its turn obeys when its turn comes.",
)
async def before_its_turn(bench: Bench) -> None:
    flow = await bench.start(chain(task(), chain(task(), task())))
    await flow.suspend("/1/0")
    await flow.cancel("/1/1")
    await (await flow.begin("/0")).done(1)
    assert (await flow.knock("/1/0")).work is None
    await flow.resume("/1/0")
    await (await flow.begin("/1/0")).done(2)
    await bench.settle()
    assert await flow.status("/1") is Status.CANCELED
    assert await flow.status() is Status.CANCELED


@requirement(
    "S-STEER-10",
    "Suspend, resume, reports and additions at the same time from two processes all apply, one "
    "after the other.",
)
async def at_once(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(swarm(*[task()] * 10, open=True, max_concurrency=None))
    bodies = [await flow.begin(f"/{n}") for n in range(10)]

    async def steers() -> None:
        for n in range(5):
            for verb in (Verb.SUSPEND, Verb.RESUME):
                answer = await other.store.steer(flow.id, Steer("", verb, f"{verb}-{n}"))
                assert answer.applied, answer

    async def adds() -> None:
        for n in range(5):
            await other.store.add(flow.id, Add("", f"add-{n}", (task(),)))

    await asyncio.gather(steers(), adds(), *(body.done(n) for n, body in enumerate(bodies)))
    await flow.close()
    await flow.serve(99)
    assert await flow.value() == [*range(10), *[99] * 5]
