"""B-FLOW: flows run to their ends as they are written."""

from __future__ import annotations

import asyncio
from typing import Any

from mageflow_conformance.backends.gates import open_gate
from mageflow_conformance.backends.raising import raises
from mageflow_conformance.backends.requirement import requirement
from mageflow_conformance.backends.spans import at_once
from mageflow_conformance.backends.stage import Stage
from mageflow_conformance.backends.tasks.flowing import ADDED, BLAMED, HEARD, REPORTED
from mageflow_conformance.flows import SHAPES, call
from mageflow_conformance.flows.roles import MESSAGE
from mageflow_conformance.waiting import eventually
from mageflow_conformance.witness import BEGUN, ENDED, STOPPED
from mageflow_core import Node, Run, Signature, Status, branch, chain, graph, swarm
from mageflow_core.errors import GraphFailed, SignatureTooDeep, SwarmClosed, SwarmFailed, TaskFailed
from mageflow_core.failure import ErrorInfo

DEEPEST = 32  # levels


async def is_now(node: Node[Any], status: Status) -> None:
    async def reached() -> bool:
        return await node.status() is status

    await eventually(reached, within=20, about=f"{node.key} that is {status}")


async def statuses(run: Run[Any]) -> dict[str, str]:
    """Of what is directly below it, callbacks aside, by the last part of the key."""
    views = [await node.view() async for node in run.children()]
    return {
        view.key.rpartition("/")[2]: view.status.value for view in views if view.role == "child"
    }


async def error_of(node: Node[Any]) -> ErrorInfo:
    error = await node.error()
    assert error is not None
    return error


# --- what passes ----------------------------------------------------------------------------------
@requirement(
    "B-FLOW-01",
    "In a chain each step gets the result of the one before: as its message, as its one argument, "
    "or where it asks for it; a step that promises nothing passes on what it got.",
)
async def chain_data(stage: Stage) -> None:
    await stage.worker()
    flows: list[tuple[Any, Any, Any]] = [
        (chain(call("step"), call("work"), call("step", add=10)), {"n": 1}, {"n": 13}),
        (chain(call("square"), call("square"), call("square")), {"n": 2}, 256),
        (chain(call("square"), call("say")), {"n": 3, "who": "she"}, "she has 9"),
        (chain(call("square"), call("say")).bind(word="got"), {"n": 3, "who": "he"}, "he got 9"),
        (chain(call("square"), call("noted"), call("square")), {"n": 2}, 16),
        (chain(call("noted"), call("noted"), call("square")), {"n": 5}, 25),
        (chain(call("step"), chain(call("noted"), call("work"))), {"n": 1}, {"n": 3}),
        (
            chain(call("collect"), call("collect", more=[2])),
            {"deep": {"a": 1}},
            {"deep": {"a": 1}, "more": [2]},
        ),
    ]
    runs = [await stage.mf.start(flow, message) for flow, message, _ in flows]
    for run, (_, _, result) in zip(runs, flows, strict=True):
        assert await run.result(timeout=20) == result
        await stage.kept(run)


# --- swarms ---------------------------------------------------------------------------------------
@requirement(
    "B-FLOW-02",
    "Swarms use their `max_concurrency`, over several workers too, and under load never have more "
    "items than that begun and not ended.",
    settings={"lease": 6.0},  # so often a worker with nothing to do asks for what others hold
)
async def swarm_limit(stage: Stage) -> None:
    limit, count = 5, 12
    # One of them has too few slots for three such swarms, and together they have room for more.
    workers = [await stage.worker(slots=12), await stage.worker(slots=12)]
    runs = []
    for name in ("a", "b", "c"):
        items = [call("held", gate=f"{name} {i}") for i in range(count)]
        flow = swarm(items, max_concurrency=limit, name=name)
        runs.append((name, await stage.mf.start(flow)))
    load = [await stage.mf.start(chain(call("step"), call("work"))) for _ in range(30)]
    for i in range(count):
        # All that may begin by now do so while the others are held.
        for name, run in runs:
            await stage.ledger.has(BEGUN, min(limit + i, count), below=run.id, within=20)
            open_gate(stage.ledger, f"{name} {i}")
    for each in load:
        await each.result(timeout=40)
    for _, run in runs:
        assert len(await run.result(timeout=20)) == count
        await stage.kept(run)
        rows = [row for what in (BEGUN, ENDED) for row in stage.ledger.of(what, below=run.id)]
        assert at_once(rows) == limit
    held = stage.ledger.of(BEGUN, task="held")
    assert {row.process for row in held} == {worker.pid for worker in workers}


@requirement(
    "B-FLOW-03",
    "Items of a swarm that are chains, or that are tried again, hold their places until they have "
    "ended.",
)
async def swarm_places(stage: Stage) -> None:
    await stage.worker()
    again, long = call("stumble"), chain(call("step"), call("work"), call("step"))
    run = await stage.mf.start(swarm([again, long] * 4, max_concurrency=2), {"n": 0})
    assert await run.result(timeout=30) == [{"n": 10}, {"n": 3}] * 4
    await stage.kept(run)
    spans = []
    for i in range(8):
        rows = stage.ledger.of(BEGUN, below=f"{run.id}/{i}")
        ends = stage.ledger.of(ENDED, below=f"{run.id}/{i}")
        spans.append((rows[0].t, ends[-1].t))
    for begun, _ in spans:
        assert sum(first <= begun < last for first, last in spans) <= 2


@requirement(
    "B-FLOW-04",
    "Results of a swarm come in the order of its items, with nothing for those that failed; its "
    "report tells the same, the errors by item, and counts. It fails only when no item succeeds.",
)
async def swarm_results(stage: Stage) -> None:
    await stage.worker()
    items = [call("item", i=i, pace=(12 - i) * 0.005) for i in range(12)]
    items[3] = call("refuse", customer=3)
    items[8] = call("refuse_in_thread", customer=8)
    results = [None if i in (3, 8) else i * i for i in range(12)]
    run = await stage.mf.start(chain(swarm(items).on_success(call("reported")), call("total")))
    assert await run.result(timeout=30) == {"n": sum(filter(None, results))}
    assert await run["0"].result(timeout=5) == results
    assert [result async for result in run["0"].results()] == results
    await stage.kept(run)
    (row,) = stage.ledger.of(REPORTED)
    assert row.more["results"] == results
    assert row.more["counts"] == [12, 10, 2, 0]
    failures = [[3, "there is no customer 3"], [8, "there is no customer 8"]]
    assert sorted(row.more["failures"]) == failures

    empty = await stage.mf.start(swarm([]))
    assert await empty.result(timeout=20) == []
    hopeless = await stage.mf.start(swarm([call("fail")] * 3))
    with raises(SwarmFailed):
        await hopeless.result(timeout=20)
    await stage.kept(hopeless)
    assert (await error_of(hopeless)).failed == 3


@requirement(
    "B-FLOW-05",
    "At its n-th failure a swarm that is to stop then begins no further item; those that have "
    "begun end first, or are canceled if they are to be interrupted, and then it has failed.",
)
async def swarm_stops(stage: Stage) -> None:
    await stage.worker()
    fail, item = call("fail"), call("item", i=1)
    for interrupt in (False, True):
        gate = f"go {interrupt}"
        many = swarm(
            [call("held", gate=gate), fail, fail, item, item, item],
            max_concurrency=2,
            stop_after_n_failures=2,
            interrupt_running=interrupt,
        )
        run = await stage.mf.start(chain(many, call("total")).on_error(call("blamed", of="all")))
        await is_now(run["0"]["2"], Status.FAILED)
        if not interrupt:
            await stage.ledger.has(BEGUN, below=f"{run.id}/0/0")
            assert await run["0"].status() is Status.ACTIVE
            open_gate(stage.ledger, gate)
        with raises(SwarmFailed):
            await run.result(timeout=20)
        await stage.kept(run)
        error = await error_of(run)
        assert (error.failed, len(error.failures)) == (2, 2)
        assert {each.key for each in error.failures} == {f"{run.id}/0/1", f"{run.id}/0/2"}
        first = stage.ledger.of(STOPPED if interrupt else ENDED, below=f"{run.id}/0/0")
        assert len(first) <= 1 if interrupt else len(first) == 1  # it may not have begun in time
        held = await run["0"]["0"].status()
        assert held is (Status.CANCELED if interrupt else Status.DONE)
        begun = {row.key for row in stage.ledger.of(BEGUN, below=f"{run.id}/0")}
        assert begun <= {f"{run.id}/0/{i}" for i in range(3)}
        assert len(stage.ledger.of(BLAMED, below=run.id)) == 1


# --- open swarms ----------------------------------------------------------------------------------
@requirement(
    "B-FLOW-06",
    "An open swarm takes items from outside and from its own items, once each though the body that "
    "adds them runs again; it goes on until it is closed, and takes none afterwards.",
)
async def swarm_grows(stage: Stage) -> None:
    await stage.worker()
    flow = swarm([call("multiply", i=7, more=2)], open=True, max_concurrency=3)
    run = await stage.mf.start(flow)
    one, two = await run.add(call("square", n=4), chain(call("square", n=2), call("square")))
    assert await one.result(timeout=20) == 16
    assert await two.result(timeout=20) == 16
    first, second = await stage.ledger.has(ADDED, 2)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.more["keys"] == second.more["keys"]
    (three,) = await run.add(call("multiply", i=3, more=0))
    await three.wait(timeout=20)
    for key in (*first.more["keys"], f"{run.id}/0"):
        await (await stage.mf.load(key)).wait(timeout=20)
    assert await run.status() is Status.ACTIVE
    await run.close()
    results = await run.result(timeout=20)
    assert results[:1] == [7]
    assert sorted(results) == sorted([7, 16, 16, 70 * 70, 71 * 71, 3])
    for node in (one, two, three):
        position = int(node.key.rpartition("/")[2])
        assert results[position] == await node.result(timeout=5)
    with raises(SwarmClosed):
        await run.add(call("square", n=1))
    await stage.kept(run)


@requirement(
    "B-FLOW-07",
    "An open swarm closes by itself when it has as many items as it may have, or has had none to "
    "run for its `idle_timeout`.",
)
async def swarm_closes(stage: Stage) -> None:
    await stage.worker()
    full = await stage.mf.start(swarm([call("square", n=1)], open=True, max_tasks=3))
    with raises(SwarmClosed):
        await full.add(*[call("square", n=2)] * 3)
    await full.add(call("square", n=2), call("square", n=3))
    assert await full.result(timeout=20) == [1, 4, 9]
    idle = await stage.mf.start(swarm([call("square", n=5)], open=True, idle_timeout=1.0))
    held = await idle.add(call("held", gate="go"))
    assert await idle["0"].result(timeout=20) == 25
    beside = await stage.mf.start(swarm([], open=True, idle_timeout=1.0))
    assert await beside.result(timeout=20) == []
    assert await idle.status() is Status.ACTIVE  # by then it was as long without another item
    open_gate(stage.ledger, "go")
    assert await idle.result(timeout=20) == [25, await held[0].result(timeout=5)]
    for run in (full, idle, beside):
        with raises(SwarmClosed):
            await run.add(call("square", n=1))
    for run in (full, idle):
        await stage.kept(run)


# --- graphs ---------------------------------------------------------------------------------------
@requirement(
    "B-FLOW-08",
    "A node of a graph begins when all that it depends on are done, and gets their results by "
    "name; the graph's result has those that nothing depends on. After a failure what depends on "
    "it is skipped; other nodes go on where the graph is to continue, and else none begins.",
)
async def graphs(stage: Stage) -> None:
    await stage.worker()
    add = [call("step", add=n) for n in range(5)]
    nodes: dict[str, Any] = {"a": add[1], "b": call("stumble"), "c": call("join"), "d": add[4]}
    nodes["last"] = call("collect")
    after = {"c": ["a", "b"], "d": ["a"], "last": ["c", "b"]}
    run = await stage.mf.start(graph(nodes, depends_on=after, max_concurrency=2), {"n": 1})
    c = {"n": 13}
    expected = {"d": {"n": 5}, "last": {"n": 1, "c": c, "b": {"n": 11}}}
    assert await run.result(timeout=20) == expected
    assert await run["c"].result(timeout=5) == c
    await stage.kept(run)

    broken = {"bad": call("fail"), "below": add[1], "far": add[2], "a": add[1], "b": add[2]}
    edges = {"below": ["bad"], "far": ["below"], "b": ["a"]}
    going = await stage.mf.start(graph(broken, depends_on=edges, on_failure="continue"))
    with raises(GraphFailed) as failed:
        await going.result(timeout=20)
    assert failed.raised.error is not None
    assert failed.raised.error.failures[0].key == f"{going.id}/bad"
    await stage.kept(going)
    ended = {"bad": "failed", "below": "skipped", "far": "skipped", "a": "done", "b": "done"}
    assert await statuses(going) == ended

    held = {**broken, "a": call("held", gate="go")}
    stopping = await stage.mf.start(graph(held, depends_on=edges))
    await stage.ledger.has(BEGUN, below=f"{stopping.id}/a")
    await is_now(stopping["bad"], Status.FAILED)
    assert await stopping.status() is Status.ACTIVE
    open_gate(stage.ledger, "go")
    with raises(GraphFailed):
        await stopping.result(timeout=20)
    await stage.kept(stopping)
    assert await statuses(stopping) == {**ended, "b": "skipped"}
    assert stage.ledger.of(BEGUN, below=f"{stopping.id}/b") == []


# --- in each other --------------------------------------------------------------------------------
@requirement(
    "B-FLOW-09",
    "Chains, swarms and graphs stand in each other to a depth of 32 levels; what is deeper is "
    "refused, and nothing of it stored.",
)
async def nesting(stage: Stage) -> None:
    await stage.worker()
    flow: Signature[Any] = call("square", n=3)
    result: Any = 9
    for level in range(DEEPEST - 1):
        kind = level % 3
        if kind == 0:
            flow = chain(flow)
        elif kind == 1:
            flow, result = swarm([flow]), [result]
        else:
            flow, result = graph({"x": flow}), {"x": result}
    run = await stage.mf.start(flow)
    assert await run.result(timeout=30) == result
    evidence = await stage.kept(run)
    assert max(node.view.depth for node in evidence.root.walk()) == DEEPEST
    for deeper in (chain(flow), flow.on_success(flow)):
        with raises(SignatureTooDeep):
            await stage.mf.start(deeper)
    assert len(await stage.mf.find()) == 1


@requirement(
    "B-FLOW-10",
    "Callbacks run once for each owner that is done or has failed, on every level, with its result "
    "or error; they change nothing of their owner, and what is skipped or canceled has none.",
)
async def callbacks(stage: Stage) -> None:
    await stage.worker()

    def with_both(flow: Any, of: str) -> Any:
        return flow.on_success(call("heard", of=of)).on_error(call("blamed", of=of))

    bad = with_both(call("fail"), "bad")
    items = [with_both(call("square", n=2), "item"), bad, call("held", gate="never")]
    many = with_both(swarm(items, stop_after_n_failures=1, interrupt_running=True), "swarm")
    nodes = {"a": with_both(call("square", n=3), "a"), "b": with_both(chain(call("step")), "b")}
    inner = with_both(graph(nodes), "graph").on_success(call("fail"))
    canceled = with_both(call("held", gate="never"), "canceled")
    skipped = with_both(call("step"), "skipped")
    flow = with_both(chain(inner, swarm([canceled, many]), skipped), "chain")
    # The swarm in the middle waits for what is canceled.
    run = await stage.mf.start(flow, {"n": 1})
    await stage.ledger.has(BEGUN, below=f"{run.id}/1/0", within=20)
    await run["1"]["0"].cancel()
    with raises(SwarmFailed):
        await run.result(timeout=30)
    await stage.kept(run)
    heard = {row.more["of"]: row.more["result"] for row in stage.ledger.of(HEARD)}
    assert len(stage.ledger.of(HEARD)) == len(heard)
    likely = heard.pop("item", 4)  # it may have been canceled before it ran
    assert likely == 4
    assert heard == {"a": 9, "b": {"n": 2}, "graph": {"a": 9, "b": {"n": 2}}}
    blamed = {row.more["of"]: row.more["owner"] for row in stage.ledger.of(BLAMED)}
    assert len(stage.ledger.of(BLAMED)) == len(blamed)
    top = f"{run.id}/1/1"
    assert blamed == {"bad": f"{top}/1", "swarm": top, "chain": run.id}
    assert await run["0"].status() is Status.DONE


# --- worked out at run time -----------------------------------------------------------------------
@requirement(
    "B-FLOW-11",
    "A task that returns a signature is replaced by it, in its place in the flow, again and again "
    "if need be; a branch goes on with the case that its condition has given.",
)
async def continuations(stage: Stage) -> None:
    await stage.worker()
    loop = chain(call("count_down", n=12, then=6).on_success(call("heard", of="loop")))
    run = await stage.mf.start(chain(loop, call("square")))
    assert await run.result(timeout=30) == 36
    await stage.kept(run)
    assert len(stage.ledger.of(BEGUN, task="count_down")) == 13
    (row,) = stage.ledger.of(HEARD)
    assert row.more["result"] == 6

    items = swarm([call("go_on"), call("step"), call("go_on")], max_concurrency=2)
    many = await stage.mf.start(items, {"n": 1})
    assert await many.result(timeout=30) == [{"n": 201}, {"n": 2}, {"n": 201}]
    await stage.kept(many)

    cases = {"one": call("step", add=10), 2: chain(call("step"), call("step"))}
    for choice, n in (("one", 12), (2, 4), (None, 102), ("2", 102)):
        chosen = branch(call("echo", value=choice), cases, otherwise=call("step", add=100))
        branched = await stage.mf.start(chain(call("step"), chosen), {"n": 1})
        assert await branched.result(timeout=30) == {"n": n}, choice
        await stage.kept(branched)
    passed = chain(call("step"), branch(call("echo", value=0), {1: call("fail")}), call("step"))
    assert await (await stage.mf.start(passed, {"n": 1})).result(timeout=30) == {"n": 3}


@requirement(
    "B-FLOW-12",
    "The first failure ends a chain: the steps behind it never begin and are skipped, on every "
    "level, and the chain has failed because of that step.",
)
async def failures_skip(stage: Stage) -> None:
    await stage.worker()
    many = swarm([call("step")] * 3)
    inner = chain(call("step"), call("refuse", customer=1), call("step"), many)
    flow = chain(call("step"), inner, many, call("step"), graph({"a": call("step")}))
    run = await stage.mf.start(flow)
    with raises(TaskFailed) as failed:
        await run.result(timeout=20)
    assert failed.raised.error is not None
    assert failed.raised.error.key == f"{run.id}/1/1"
    await stage.kept(run)
    skipped = "skipped"
    expected = {"0": "done", "1": "failed", "2": skipped, "3": skipped, "4": skipped}
    assert await statuses(run) == expected
    assert (await run["1"].error()) == (await run.error()) == failed.raised.error
    assert await run["1"]["3"].status() is Status.SKIPPED
    assert await run["2"]["1"].status() is Status.SKIPPED
    begun = [row.key for row in stage.ledger.of(BEGUN)]
    assert begun == [f"{run.id}/0", f"{run.id}/1/0", f"{run.id}/1/1"]


# --- all of it ------------------------------------------------------------------------------------
@requirement(
    "B-FLOW-13",
    "A flow of a thousand items ends, with each of them run once and the result of each in its "
    "place.",
    within=90,
)
async def thousand(stage: Stage) -> None:
    await stage.worker()
    await stage.worker()
    items = [call("item", i=i, pace=0) for i in range(1_000)]
    run = await stage.mf.start(chain(swarm(items, max_concurrency=50), call("total")))
    assert await run.result(timeout=60) == {"n": sum(i * i for i in range(1_000))}
    assert [each async for each in run["0"].results()] == [i * i for i in range(1_000)]
    await stage.kept(run)
    rows = stage.ledger.of(BEGUN, task="item")
    assert len(rows) == len({row.key for row in rows}) == 1_000


@requirement(
    "B-FLOW-14",
    "Flows of all shapes, started together, end as they are written, with all that is promised of "
    "each of them kept.",
)
async def shapes(stage: Stage) -> None:
    await stage.worker()
    await stage.worker()
    runs: dict[str, list[Run[Any]]] = {}
    for _ in range(3):
        for name, shape in SHAPES.items():
            runs.setdefault(name, []).append(await stage.mf.start(shape(), MESSAGE))
    everyone = [run for group in runs.values() for run in group]
    await asyncio.gather(*(run.settled(timeout=40) for run in everyone))
    squares = [i * i for i in range(5)]
    expected = {
        "chain": {"n": 13},
        "swarm": [*squares, None, {"n": 11}, {"n": 2}],
        "graph": {"d": {"n": 2}},
        "nested": {"n": 250},
    }
    for name, group in runs.items():
        for run in group:
            await stage.kept(run)
            if name in expected:
                assert await run.result(timeout=5) == expected[name], name
            else:
                assert await run.status() is Status.FAILED
