"""S-LAST, S-AWAY, S-EXAMINE: what outlives the server, its absence, and what a store says of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.requirement import Instead, requirement
from mageflow_core.errors import StoreUnavailable
from mageflow_core.machine import Status, Steer, Verb, Verdict
from mageflow_core.stores.protocol import NewRun, Query


async def says_so(bench: Bench) -> None:
    assert bench.harness.durable
    findings = await bench.store.examine()
    assert any(finding.subject == "persistence" for finding in findings), findings


@requirement(
    "S-LAST-01",
    "All that was answered is there after the server was killed and has come back: runs and "
    "values, marks, claims, timers, parked nodes and jobs.",
    claim="lasting",
    instead=Instead(
        text="A store that does not outlive its server, or this process, says so.", check=says_so
    ),
    wants="restart",
)
async def outlives_its_server(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(3), task(delay=1.0), max_concurrency=None), "m")
    await (await flow.begin("/0")).done([9_007_199_254_740_993])
    body = await flow.begin("/1")
    await flow.suspend()
    assert (await flow.knock("/2")).verdict is Verdict.PARK
    before = (await flow.run(), await flow.statuses(), await flow.events())
    await bench.harness.stop_server()
    await bench.harness.start_server()
    assert (await flow.run(), await flow.statuses(), await flow.events()) == before
    assert await flow.text("/0") == "[9007199254740993]"
    await body.done(1)
    await flow.resume()
    for path in ("/2", "/3"):
        await (await flow.begin(path)).done(path)
    assert await flow.value() == [[9_007_199_254_740_993], 1, "/2", "/3"]


@requirement(
    "S-LAST-02",
    "A job whose sending was not confirmed before the server was killed is sent again.",
    claim="lasting",
    instead=Instead(
        text="A store that does not outlive its server, or this process, says so.", check=says_so
    ),
    wants=("restart", "hasten"),
)
async def jobs_outlive_it(bench: Bench) -> None:
    bench.confirms = False
    flow = await bench.start(task())
    await bench.harness.stop_server()
    await bench.harness.start_server()
    await bench.eventually(
        lambda: len(flow.jobs()) > 1,
        within=5.0 + bench.times.unconfirmed_after,
        about="an unconfirmed job",
    )
    await (await flow.begin()).done(1)


async def never_away(bench: Bench) -> None:
    async with asyncio.timeout(1):
        flow = await bench.start(task())
        await (await flow.begin()).done(1)
        await bench.store.wait(flow.id, "settled")


@requirement(
    "S-AWAY-01",
    "While its server is away each call raises StoreUnavailable, within the patience that the "
    "store was opened with; when it is back the same handles go on.",
    claim="shared",
    instead=Instead(
        text="A store in this process is never away: it answers at once.", check=never_away
    ),
    wants="restart",
    patience=1.0,
)
async def away(bench: Bench) -> None:
    store = bench.store
    flow = await bench.start(task())
    body = await flow.begin()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.create(NewRun(id="new", signature=task(), message="1")),
        lambda: store.view(flow.id),
        lambda: store.find(Query()),
        lambda: store.steer(flow.id, Steer("", Verb.SUSPEND, "s")),
        flow.claim,
        body.done,
        bench.first.renew,
        store.work,
        store.counts,
    ]
    await bench.harness.stop_server()
    try:
        began = bench.clock.now()
        answers = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
        took = bench.clock.now() - began
    finally:
        await bench.harness.start_server()
    wrong = [answer for answer in answers if not isinstance(answer, StoreUnavailable)]
    assert wrong == [], wrong
    assert took < 10, f"it took {took:.1f} s to say that the server is away"

    async def is_back() -> bool:
        try:
            await store.counts()
        except StoreUnavailable:
            return False
        return True

    await bench.eventually(is_back, within=10.0, about="the store to be back")
    again = await bench.start(chain(task(), task()))
    await bench.eventually(lambda: again.waiting() == ["/0"], about="work after the server is back")


@requirement(
    "S-EXAMINE-01",
    "A store says what it can and cannot promise, each with a state, and with advice where that "
    "is not ok.",
)
async def examine(bench: Bench) -> None:
    findings = await bench.store.examine()
    assert findings, "there is always something to say of persistence"
    for finding in findings:
        assert finding.subject, finding
        assert finding.text, finding
        assert finding.state in ("ok", "warning", "problem"), finding
        assert finding.state == "ok" or finding.advice, finding
    assert bench.harness.durable


@requirement(
    "S-EXAMINE-02",
    "The store's clock does not go back, and its times are those of the epoch.",
)
async def clock(bench: Bench) -> None:
    flow = await bench.start(task())
    times = [bench.store.now() for _ in range(100)]
    assert times == sorted(times)
    created = (await flow.run()).created_at
    assert abs(created - bench.clock.now()) < 300, "it is not the time of this machine, by far"
    await (await flow.begin()).done(1)
    assert await flow.status() is Status.DONE
