"""S-CHAIN, S-GRAPH: steps in order, and nodes when what they need is done."""

from __future__ import annotations

from typing import Any

from mageflow_conformance.stores.bench import Bench
from mageflow_conformance.stores.builders import Sig, chain, graph, swarm, task
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Status


@requirement(
    "S-CHAIN-01",
    "A step is sent when the one before it is done, not earlier; the chain's result is its last "
    "step's.",
)
async def in_order(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task(), task()))
    for position in range(3):
        await flow.sends(f"/{position}")
        view = await flow.view()
        assert (view.status, view.done, view.begun) == (Status.ACTIVE, position, 1)
        await (await flow.begin(f"/{position}")).done(position)
    view = await flow.view()
    assert (view.status, view.done, view.begun) == (Status.DONE, 3, 0)
    assert await flow.value() == 2
    assert await flow.due() == []


@requirement(
    "S-CHAIN-02",
    "The first step gets what the chain got; a later one the chain's message and the previous "
    "result; a container has the previous result as its message too.",
)
async def inputs(bench: Bench) -> None:
    flow = await bench.start(chain(chain(task(), task()), task(), swarm(task())), "m")
    first = await flow.begin("/0/0")
    assert (first.work.input.message, first.work.input.previous) == ('"m"', None)
    await first.done("A")
    second = await flow.begin("/0/1")
    assert (second.work.input.message, second.work.input.previous) == ('"m"', '"A"')
    await second.done("B")
    third = await flow.begin("/1")
    assert (third.work.input.message, third.work.input.previous) == ('"m"', '"B"')
    await third.done("C")
    item = await flow.begin("/2/0")
    assert (item.work.input.message, item.work.input.previous) == ('"C"', '"C"')


@requirement(
    "S-CHAIN-03",
    "A step that passes its message on gives the next one the message, or the previous result "
    "where it took that as its message.",
)
async def passed_on(bench: Bench) -> None:
    flow = await bench.start(chain(task(), task(), task(), task()), "m")
    await (await flow.begin("/0")).done(passes=True)
    second = await flow.begin("/1")
    assert second.work.input.previous == '"m"'
    await second.done("B")
    await (await flow.begin("/2")).done(passes=True, used_previous=True)
    assert (await flow.begin("/3")).work.input.previous == '"B"'
    assert await flow.value("/2") is None


@requirement(
    "S-CHAIN-04",
    "The first failure ends a chain as failed with that step's error; later steps are skipped "
    "and never sent.",
)
async def failed_step(bench: Bench) -> None:
    flow = await bench.start(chain(task(), chain(task(), task()), task()))
    await (await flow.begin("/0")).done("A")
    body = await flow.begin("/1/0")
    await body.fails(text="boom")
    assert await flow.status() is Status.FAILED
    assert await flow.statuses() == {"/0": Status.DONE, "/1": Status.FAILED, "/2": Status.SKIPPED}
    assert await flow.status("/1/1") is Status.SKIPPED
    assert await flow.error() == await flow.error("/1") == body.info("boom")
    view = await flow.view()
    assert (view.done, view.failed, view.failures) == (1, 1, (1,))
    assert await flow.due() == []
    assert await flow.has_settled()


@requirement(
    "S-CHAIN-05",
    "A chain of 1,000 empty swarms ends, by as many calls of work() as that takes.",
)
async def long_of_empty(bench: Bench) -> None:
    flow = await bench.start(chain(*[swarm()] * 1_000))
    await bench.settle()
    assert await flow.status() is Status.DONE
    assert await flow.value() == []


def diamond(**how: Any) -> Sig:
    nodes = {name: task(f"work-{name}") for name in ("a", "b", "c", "d")}
    return graph(nodes, {"b": ("a",), "c": ("a",), "d": ("b", "c")}, **how)


@requirement(
    "S-GRAPH-01",
    "A node is sent when all that it depends on are done, and is given their results by name "
    "and the graph's message.",
)
async def dependencies(bench: Bench) -> None:
    flow = await bench.start(diamond(), "m")
    await flow.sends("/a")
    await (await flow.begin("/a")).done("A")
    await flow.sends("/b", "/c")
    await (await flow.begin("/c")).done("C")
    await flow.sends("/b")
    await (await flow.begin("/b")).done("B")
    body = await flow.begin("/d")
    assert dict(body.work.input.dependencies) == {"b": '"B"', "c": '"C"'}
    assert (body.work.input.message, body.work.input.previous) == ('"m"', None)
    await body.done("D")
    assert await flow.value() == {"d": "D"}


@requirement(
    "S-GRAPH-02",
    "The result of a graph has the results of what nothing depends on, in the order of its nodes.",
)
async def graph_result(bench: Bench) -> None:
    nodes = {"z": task(), "a": task(), "b": task()}
    flow = await bench.start(graph(nodes, {"b": ("a",)}))
    for name in ("a", "b", "z"):
        await (await flow.begin(f"/{name}")).done(name.upper())
    assert await flow.text() == '{"z":"Z","b":"B"}'


@requirement(
    "S-GRAPH-03",
    "After a failure a graph begins nothing further, and has failed when what had begun is "
    "over, with the errors below.",
)
async def graph_stops(bench: Bench) -> None:
    flow = await bench.start(graph({"a": task(), "b": task(), "c": task()}, {"c": ("b",)}))
    other = await flow.begin("/b")
    body = await flow.begin("/a")
    await body.fails(text="boom")
    assert await flow.status() is Status.ACTIVE
    await other.done("B")
    assert await flow.due() == []
    assert await flow.statuses() == {"/a": Status.FAILED, "/b": Status.DONE, "/c": Status.SKIPPED}
    error = await flow.error()
    assert (error.type, error.failed) == ("mageflow.GraphFailed", 1)
    assert error.failures == (body.info("boom"),)
    assert (await flow.view()).failures == (0,)


@requirement(
    "S-GRAPH-04",
    "A graph that continues after failures runs all that does not depend on them, and has "
    "failed then.",
)
async def graph_continues(bench: Bench) -> None:
    flow = await bench.start(diamond(on_failure="continue"))
    await (await flow.begin("/a")).done("A")
    await (await flow.begin("/b")).fails()
    assert await flow.status("/d") is Status.SKIPPED
    assert await flow.status() is Status.ACTIVE
    await (await flow.begin("/c")).done("C")
    assert await flow.status() is Status.FAILED
    assert await flow.statuses() == {
        "/a": Status.DONE, "/b": Status.FAILED, "/c": Status.DONE, "/d": Status.SKIPPED
    }  # fmt: skip


@requirement(
    "S-GRAPH-05",
    "A graph has no more nodes begun than its limit, and begins equals in their order.",
)
async def graph_limit(bench: Bench) -> None:
    for limit in (1, 2):
        flow = await bench.start(graph({name: task() for name in "cabd"}, max_concurrency=limit))
        for number, name in enumerate("cabd"):
            begun = min(limit, 4 - number)
            await flow.sends(*(f"/{each}" for each in "cabd"[number : number + begun]))
            assert (await flow.view()).begun == begun
            await (await flow.begin(f"/{name}")).done(1)
        assert await flow.status() is Status.DONE


@requirement(
    "S-GRAPH-06",
    "A graph that fans out to 1,000 nodes and in again begins in many steps: each node is sent "
    "once.",
)
async def graph_wide(bench: Bench) -> None:
    leaves = {f"n{position}": task() for position in range(1_000)}
    needs = {**dict.fromkeys(leaves, ("first",)), "last": tuple(leaves)}
    flow = await bench.start(graph({"first": task(), **leaves, "last": task()}, needs))
    await flow.sends("/first")
    await (await flow.begin("/first")).done(0)
    assert await flow.serve() == 1_001
    assert await flow.value() == {"last": None}
    assert len(flow.jobs()) == 1_002, "a node was sent twice"
