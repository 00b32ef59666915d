"""S-CREATE: runs are stored and started, once."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import INEXACT, Bench
from mageflow_conformance.stores.builders import chain, graph, swarm, task, tasks
from mageflow_conformance.stores.raising import raises_not_found
from mageflow_conformance.stores.requirement import requirement
from mageflow_core import Retry
from mageflow_core.machine import Status, Steer, Verb
from mageflow_core.stores.protocol import NewRun


@requirement(
    "S-CREATE-01",
    "A run that is created with a message is stored and started in one step, and its first jobs "
    "are handed to the handle that has created it.",
)
async def created_with_a_message(bench: Bench) -> None:
    before = bench.store.now()
    flow = await bench.start(task(), "hello", start_key="order-7")
    run = await flow.run()
    assert flow.waiting() == [""], "the job is there when create() has answered"
    assert (run.id, run.root.status, run.message) == (flow.id, Status.QUEUED, '"hello"')
    assert run.start_key == "order-7"
    assert run.started_at is not None
    assert before - INEXACT <= run.created_at <= run.started_at <= bench.store.now() + INEXACT
    assert (run.settled_at, run.deadline, run.alias_of) == (None, None, None)


@requirement(
    "S-CREATE-02",
    "Creating a run that is there with the same content changes nothing and is told as not fresh.",
)
async def created_again(bench: Bench) -> None:
    new = NewRun(id="again", signature=task(), message="1", content="hash-1")
    first = await bench.store.create(new)
    again = await bench.store.create(new)
    assert (first.fresh, first.conflict) == (True, False), first
    assert (again.fresh, again.conflict) == (False, False), again
    body = await bench.flow("again").runs_once()
    await body.done(1)
    jobs = len(bench.backend.jobs)
    third = await bench.store.create(new)
    assert not third.fresh, "also when it has ended"
    await bench.calm()
    assert (await bench.flow("again").status(), len(bench.backend.jobs)) == (Status.DONE, jobs)


@requirement(
    "S-CREATE-03",
    "Creating a run whose id is taken by one with other content is a conflict, and leaves that "
    "one as it is.",
)
async def created_in_conflict(bench: Bench) -> None:
    mine = NewRun(id="same", signature=task("work-a"), message="1", content="hash-1")
    other = NewRun(id="same", signature=task("work-b"), message="2", content="hash-2")
    await bench.store.create(mine)
    answer = await bench.store.create(other)
    assert (answer.fresh, answer.conflict) == (False, True), answer
    run = await bench.store.view("same")
    assert (run.message, run.root.task) == ("1", "work-a")
    assert len(bench.backend.jobs) == 1


@requirement(
    "S-CREATE-04",
    "A run that is created without a message is pending and hands out nothing until it is "
    "started, with the message that it is then given.",
)
async def created_pending(bench: Bench) -> None:
    flow = await bench.create(chain(task(), task()))
    assert await flow.status() is Status.PENDING
    assert await flow.due() == []
    assert await flow.statuses() == {"/0": Status.PENDING, "/1": Status.PENDING}
    refused = await flow.start({"n": 1})
    assert refused is None, refused
    body = await flow.begin("/0")
    assert body.work.input.message == '{"n": 1}'


@requirement(
    "S-CREATE-05",
    "A stored run is started once: asked again with the same id the answer is the same, and "
    "with another id the start is refused with a reason.",
)
async def started_once(bench: Bench) -> None:
    flow = await bench.create(task())
    answers = [await flow.start("first", "s1"), await flow.start("first", "s1")]
    other = await flow.start("other", "s2")
    assert answers == [None, None], answers
    assert other, "a second start is refused, and says why"
    assert await flow.start("first", "s1") is None, "also after another was refused"
    await flow.runs_once()
    assert (await flow.run()).message == '"first"'


@requirement(
    "S-CREATE-06",
    "A stored run that was canceled cannot be started, and the reason says so.",
)
async def canceled_before_start(bench: Bench) -> None:
    flow = await bench.create(task())
    await flow.cancel()
    why = await flow.start()
    assert why is not None
    assert "canceled" in why, why
    assert await flow.due() == []


@requirement(
    "S-CREATE-07",
    "Of many that create one run at the same time exactly one is told that it is fresh.",
)
async def created_by_many(bench: Bench) -> None:
    handles = [bench.first, await bench.another()]
    new = NewRun(id="wanted", signature=task(), message="1", content="c")
    answers = await asyncio.gather(*(handles[i % 2].store.create(new) for i in range(20)))
    assert sum(answer.fresh for answer in answers) == 1, answers
    assert not any(answer.conflict for answer in answers), answers
    await bench.calm()
    await bench.flow("wanted").runs_once()


@requirement(
    "S-CREATE-08",
    "Every signature is kept with all its options, arguments, labels and callbacks, and is "
    "given back equal, of the run and of each node.",
)
async def signatures_kept(bench: Bench) -> None:
    retry = Retry(retries=3, delay=0.5, on=("builtins.OSError",), never=("builtins.KeyError",))
    first = task("work-a", retry=retry, timeout=2.5, queue="q", priority="high", backend="bench")
    first = first.bind(n=2**53 + 1, empty=[], none=None, nested={"a": [{}]}).label(team="röd 🔴")
    many = swarm(first, task("work-b"), max_concurrency=None, stop_after_n_failures=2)
    some = graph(
        {"one": many, "two": first}, {"two": ("one",)}, max_concurrency=1, on_failure="continue"
    )
    whole = chain(some, first, ok=[task("work-ok")], err=[chain(task("work-err"))], deadline=900.0)
    whole = whole.named("nightly").label(env="test")
    flow = await bench.create(whole)
    store = bench.store
    assert await store.signature(flow.id) == whole
    assert (await flow.run()).signature == whole
    assert await store.signature(flow.key("/0")) == some
    assert await store.signature(flow.key("/0/one")) == many
    assert await store.signature(flow.key("/0/one/0")) == first
    view = await flow.view("/0/one/0")
    assert (view.kind, view.task, dict(view.labels)) == ("task", "work-a", {"team": "röd 🔴"})
    root = await flow.view()
    assert (root.kind, root.name, root.depth, root.role) == ("chain", "nightly", 1, "root")
    assert dict(root.labels) == {"env": "test"}


@requirement(
    "S-CREATE-09",
    "Reading or steering what is not there raises RunNotFound: an unknown run, and a path that "
    "a run does not have.",
)
async def nothing_there(bench: Bench) -> None:
    flow = await bench.start(chain(task(), swarm(task())))
    store = bench.store
    await raises_not_found(store.view("nobody"))
    await raises_not_found(store.history("nobody"))
    await raises_not_found(store.start("nobody", "1", "s"))
    await raises_not_found(store.reserve("nobody", "other"))
    for key in ("nobody", "nobody/3", *map(flow.key, ("/7", "/!error-0", "~1", "/x", "/0/0"))):
        await raises_not_found(store.node(key))
        await raises_not_found(store.value(key))
        await raises_not_found(store.signature(key))
        await raises_not_found(store.children(key, 0, 10))
        await raises_not_found(store.wait(key, "ended"))
    for verb in Verb:
        await raises_not_found(store.steer("nobody", Steer("", verb, f"a-{verb}")))
        await raises_not_found(store.steer(flow.id, Steer("/5", verb, f"b-{verb}")))
    assert await flow.status("/0") is Status.QUEUED


@requirement(
    "S-CREATE-10",
    "A run of 3,000 nodes is stored and started, and its nodes can be read one by one.",
)
async def created_wide(bench: Bench) -> None:
    flow = await bench.start(swarm(*tasks(2_999), task("last"), max_concurrency=2))
    root = await flow.view()
    assert (root.status, root.children) == (Status.ACTIVE, 3_000)
    assert (await flow.view("/2999")).task == "last"
    await flow.sends("/0", "/1")


@requirement(
    "S-CREATE-11",
    "Starting, steering and adding to a run that has ended are refused, and leave no trace.",
)
async def refused_without_trace(bench: Bench) -> None:
    flow = await bench.start(task())
    await (await flow.begin()).done(1)
    before = (await flow.run(), await flow.events())
    for verb in ("suspend", "interrupt", "cancel", "resume", "retry"):
        answer = await flow.steer(verb)
        assert not answer.applied, verb
        assert answer.why, verb
    assert await flow.start("again", "other") is not None
    assert await flow.add(task()) == "not a swarm"
    assert (await flow.run(), await flow.events()) == before
