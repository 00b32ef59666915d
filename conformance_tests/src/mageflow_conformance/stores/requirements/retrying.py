"""S-RETRY: what failed or was canceled runs again, as a new generation."""

from __future__ import annotations

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task, tasks
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Done, Policy, Status, Verdict


@requirement(
    "S-RETRY-01",
    "A failed step is retried with its input, as attempt 1 of the next generation; what is done "
    "keeps its result, and the chain goes on from there.",
)
async def step(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task(), task()), "m")
    await (await flow.begin("/0")).done("A")
    await (await flow.begin("/1")).fails()
    assert await flow.has_settled()
    await flow.retry("/1")
    assert not await flow.has_settled()
    assert await flow.status() is Status.ACTIVE
    body = await flow.begin("/1")
    assert (body.work.attempt, body.work.generation) == (1, 2)
    assert (body.work.input.message, body.work.input.previous) == ('"m"', '"A"')
    await body.done("B")
    await (await flow.begin("/2")).done("C")
    assert await flow.value() == "C"
    assert (await flow.view("/0")).generation == 1
    assert len(flow.jobs("/0")) == 1


@requirement(
    "S-RETRY-02",
    "Jobs, claims and outcomes of the generation before do nothing in the next.",
)
async def older_generation(bench: Bench) -> None:
    flow = await bench.start(task())
    old = flow.jobs()[0]
    body = await flow.begin()
    await body.fails()
    await flow.retry()
    assert (await flow.deliver(old)).verdict is Verdict.SKIP
    again = await flow.begin()
    await body.says(Done(value='"zombie"'))
    assert (await flow.status(), await flow.text()) == (Status.ACTIVE, None)
    assert await again.holds()
    await again.done("new")
    assert await flow.value() == "new"


@requirement(
    "S-RETRY-03",
    "A retry below a done container, of what is done, and below what is being canceled is "
    "refused with a reason, and changes nothing.",
)
async def refused(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(*tasks(2)), task()))
    await (await flow.begin("/0/0")).done(1)
    await (await flow.begin("/0/1")).fails()
    assert await flow.status("/0") is Status.DONE
    canceling = await bench.start(swarm(*tasks(2)))
    await (await canceling.begin("/0")).fails()
    await canceling.begin("/1")
    await canceling.cancel()
    for each, path in ((flow, "/0/1"), (flow, "/0/0"), (flow, "/0"), (canceling, "/0")):
        before = (await each.view(path), await each.view(), await each.events())
        answer = await each.steer("retry", path)
        assert not answer.applied, path
        assert answer.why, path
        assert (await each.view(path), await each.view(), await each.events()) == before, path


@requirement(
    "S-RETRY-04",
    "An item of a failed swarm is retried together with all that did not succeed there; done "
    "items keep their results and are not run again.",
)
async def swarm_items(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(*tasks(4), stop_after_n_failures=2)))
    for position, good in enumerate((True, False, False, True)):
        body = await flow.begin(f"/0/{position}")
        await (body.done(position) if good else body.fails())
    assert await flow.status() is Status.FAILED
    await flow.retry("/0/1")
    await flow.sends("/0/1", "/0/2")
    await (await flow.begin("/0/2")).done(2)
    await (await flow.begin("/0/1")).done(1)
    assert await flow.value() == [0, 1, 2, 3]
    view = await flow.view("/0")
    assert (view.done, view.failed, view.generation) == (4, 0, 2)


@requirement(
    "S-RETRY-05",
    "A failed item of a swarm that still runs takes its turn again, and is no failure any more.",
)
async def running_swarm(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(3), max_concurrency=1, stop_after_n_failures=2))
    await (await flow.begin("/0")).fails()
    await flow.retry("/0")
    assert ((await flow.view()).failed, (await flow.view()).failures) == (0, ())
    await (await flow.begin("/1")).fails()
    await (await flow.begin("/0")).done(0)
    await (await flow.begin("/2")).done(2)
    assert await flow.value() == [0, None, 2]


@requirement(
    "S-RETRY-06",
    "What failed or was skipped in a graph runs after a retry, with the results of what was "
    "done before.",
)
async def graph_nodes(bench: Bench) -> None:
    nodes = {name: task() for name in "abcd"}
    flow = await bench.start(graph(nodes, {"b": ("a",), "c": ("a",), "d": ("b", "c")}))
    await (await flow.begin("/a")).done("A")
    await (await flow.begin("/b")).fails()
    await (await flow.begin("/c")).done("C")
    assert await flow.status("/d") is Status.SKIPPED
    await flow.retry("/b")
    await flow.sends("/b")
    await (await flow.begin("/b")).done("B")
    body = await flow.begin("/d")
    assert dict(body.work.input.dependencies) == {"b": '"B"', "c": '"C"'}
    await body.done("D")
    assert await flow.value() == {"d": "D"}


@requirement(
    "S-RETRY-07",
    "A canceled swarm of 1,500 items is reopened: what is done keeps its result, all else is "
    "sent once more.",
)
async def wide(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(1_500), max_concurrency=None))
    await bench.settle()
    for position in range(0, 1_500, 10):
        await (await flow.begin(f"/{position}")).done(position)
    await flow.cancel()
    bench.backend.forget()
    await flow.retry()
    await flow.sends(*(f"/{n}" for n in range(1_500) if n % 10))
    assert await flow.serve(-1) == 1_350
    values = await flow.value()
    assert values == [n if n % 10 == 0 else -1 for n in range(1_500)]
    assert (await flow.view("/0")).generation == 1
    assert (await flow.view("/1")).status is Status.DONE


@requirement(
    "S-RETRY-08",
    "A zombie of a canceled generation changes nothing in the next, and its end is not waited for.",
    policy=Policy(cancel_grace=0.1),
)
async def zombie(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task()))
    late = await flow.begin("/0")
    await flow.cancel()

    async def canceled() -> bool:
        return await flow.status() is Status.CANCELED

    await bench.eventually(canceled)
    await flow.retry()
    assert await late.says(Done(value='"late"'))
    body = await flow.begin("/0")
    assert body.work.fence > late.work.fence
    assert await late.says(Done(value='"late"'))
    await body.done("A")
    await (await flow.begin("/1")).done("B")
    assert (await flow.value("/0"), await flow.value()) == ("A", "B")


@requirement(
    "S-RETRY-09",
    "A stored run that was canceled before its start is pending again after a retry.",
)
async def never_started(bench: Bench) -> None:
    flow = await bench.create(task())
    await flow.cancel()
    await flow.retry()
    assert await flow.status() is Status.PENDING
    assert await flow.due() == []
    assert await flow.start("hello") is None
    assert (await flow.begin()).work.input.message == '"hello"'


@requirement(
    "S-RETRY-10",
    "A failed callback is retried without its owner, and the run is settled again after.",
)
async def callback(bench: Bench) -> None:
    flow = await bench.start(task(ok=[chain(task(), task())]))
    await (await flow.begin()).done(1)
    await (await flow.begin("/!success-0/0")).fails()
    assert await flow.has_settled()
    await flow.retry("/!success-0/0")
    assert not await flow.has_settled()
    await (await flow.begin("/!success-0/0")).done(2)
    await (await flow.begin("/!success-0/1")).done(3)
    assert await flow.has_settled()
    assert (await flow.view()).generation == 1
