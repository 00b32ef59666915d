"""S-PARK: what a mark holds back is kept, and sent again when it is gone."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import swarm, task, tasks
from mageflow_conformance.stores.flow import batched
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Status, Verdict


@requirement(
    "S-PARK-01",
    "What was parked is sent again after resume, each node once, and nothing else is.",
)
async def sent_again(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(4), max_concurrency=3))
    await flow.suspend()
    for path in ("/0", "/1"):
        assert (await flow.knock(path)).verdict is Verdict.PARK
    await flow.sends("/2")
    flow.take("/2")
    await flow.resume()
    await flow.sends("/0", "/1")
    assert [len(flow.jobs(path)) for path in ("/0", "/1", "/2")] == [2, 2, 1]
    assert len({job.id for job in flow.jobs()}) == 5, "no two sendings share an id"


@requirement(
    "S-PARK-02",
    "More than 500 parked nodes are all sent again, each once.",
)
async def many(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(1_200), max_concurrency=None))
    paths = [f"/{n}" for n in range(1_200)]
    await flow.sends(*paths)
    await flow.suspend()
    for some in batched(paths, 50):
        for claimed in await asyncio.gather(*map(flow.knock, some)):
            assert claimed.verdict is Verdict.PARK, claimed
    assert await flow.due() == []
    await flow.resume()
    await flow.sends(*paths)
    ids = [job.id for job in flow.jobs()]
    assert len(ids) == len(set(ids)) == 2_400, f"{len(ids)} sendings, {len(set(ids))} ids"


@requirement(
    "S-PARK-03",
    "What is parked, sent again and parked again any number of times is never lost.",
)
async def again_and_again(bench: Bench) -> None:
    flow = await bench.start(swarm(task()))
    for _ in range(5):
        await flow.suspend()
        assert (await flow.knock("/0")).verdict is Verdict.PARK
        await flow.resume()
    await flow.suspend()
    await bench.settle()
    assert (await flow.knock("/0")).verdict is Verdict.PARK
    await flow.resume()
    await (await flow.begin("/0")).done(1)
    assert await flow.status() is Status.DONE


@requirement(
    "S-PARK-04",
    "A body that is released under a mark, or whose worker is lost there, leaves its node "
    "parked: it is sent after resume and not before.",
)
async def released_under_a_mark(bench: Bench) -> None:
    other = await bench.another()
    flow = await bench.start(swarm(*tasks(2)))
    released, lost = await flow.begin("/0"), await flow.begin("/1", other)
    await flow.interrupt()
    await released.released()
    await lost.by.leave(crashed=False)
    assert await flow.due() == []
    assert set((await flow.statuses()).values()) == {Status.INTERRUPTED}
    await flow.resume()
    await flow.sends("/0", "/1")


@requirement(
    "S-PARK-05",
    "Outcomes apply under suspend: retries are timed, steps move on and containers end; only "
    "claims are refused.",
)
async def outcomes_apply(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(3), max_concurrency=2))
    one, two = await flow.begin("/0"), await flow.begin("/1")
    await flow.suspend()
    assert await one.holds(), "suspend does not stop bodies"
    await one.done(1)
    await two.fails(retry_in=0.05)
    await bench.eventually(lambda: sorted(flow.waiting()) == ["/1", "/2"])
    for path in ("/1", "/2"):
        assert (await flow.knock(path)).verdict is Verdict.PARK
    await flow.resume()
    assert await flow.serve(2) == 2
    assert await flow.value() == [1, 2, 2]


@requirement(
    "S-PARK-06",
    "A resume while an interrupted body still unwinds starts nothing twice: its node is sent "
    "when the body has let go.",
)
async def unwinding(bench: Bench) -> None:
    flow = await bench.start(task())
    body = await flow.begin()
    await flow.interrupt()
    await flow.resume()
    assert await flow.due() == []
    assert (await flow.knock()).verdict is Verdict.SKIP
    await body.released()
    again = await flow.begin()
    assert (again.work.attempt, again.work.fence > body.work.fence) == (1, True)
    assert len(flow.jobs()) == 2


@requirement(
    "S-PARK-07",
    "A cancel drops what was parked: resume sends nothing that was canceled.",
)
async def canceled(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(3)))
    await flow.suspend()
    await flow.knock("/0")
    await flow.cancel()
    await bench.settle()
    for path in flow.waiting():
        assert (await flow.knock(path)).verdict is Verdict.SKIP
    assert await flow.status("/0") is Status.CANCELED
    assert await flow.has_settled()
