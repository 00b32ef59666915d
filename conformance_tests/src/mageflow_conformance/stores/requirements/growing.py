"""S-ADD: items for an open swarm, and its closing."""

from __future__ import annotations

import asyncio

from mageflow_conformance.stores.bench import INEXACT, SOON, Bench
from mageflow_conformance.stores.builders import chain, swarm, task, tasks
from mageflow_conformance.stores.requirement import requirement
from mageflow_core.machine import Add, Policy, Refusal, Status


@requirement(
    "S-ADD-01",
    "An open swarm takes items while it runs and gives their positions; it ends when it is "
    "closed and all items have ended.",
)
async def open_and_closed(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), open=True))
    await (await flow.begin("/0")).done(0)
    assert await flow.status() is Status.ACTIVE
    assert await flow.add(task("work-b"), task("work-c")) == (1, 2)
    await (await flow.begin("/1")).done(1)
    assert await flow.close() is None
    assert await flow.add(task()) is Refusal.CLOSED
    assert await flow.status() is Status.ACTIVE
    assert (await flow.view("/2")).task == "work-c"
    await (await flow.begin("/2")).done(2)
    assert await flow.value() == [0, 1, 2]
    assert await flow.close() is None, "closing twice is no error"
    assert await flow.add(task()) is Refusal.CLOSED


@requirement(
    "S-ADD-02",
    "Items that are added again with the same id are not added again, also when other items "
    "came in between and the swarm was closed.",
)
async def added_again(bench: Bench) -> None:
    flow = await bench.start(swarm(open=True))
    answers = [await flow.add(task(), task(), call="add-1") for _ in range(2)]
    assert await flow.add(task(), call="add-2") == (2,)
    await flow.close()
    answers.append(await flow.add(task(), task(), call="add-1"))
    assert answers == [(0, 1)] * 3, answers
    assert (await flow.view()).children == 3


@requirement(
    "S-ADD-03",
    "An addition is taken whole or not at all: one beyond max_tasks or beyond the nodes that a "
    "run may have is refused, and a full swarm closes itself.",
    policy=Policy(max_nodes=5),
)
async def whole(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), open=True, max_tasks=3))
    assert await flow.add(*tasks(3)) is Refusal.FULL
    assert (await flow.view()).children == 1
    assert await flow.add(*tasks(2)) == (1, 2)
    await flow.serve(1)
    assert await flow.status() is Status.DONE
    other = await bench.start(swarm(open=True))
    assert await other.add(*tasks(6)) is Refusal.TOO_LARGE
    assert await other.add(*tasks(5)) == (0, 1, 2, 3, 4)


@requirement(
    "S-ADD-04",
    "What is no open swarm, or stops, or is being canceled, takes no items and says why.",
)
async def refused(bench: Bench) -> None:
    flow = await bench.start(chain(swarm(task()), task()))
    assert await flow.add(task()) is Refusal.NOT_A_SWARM
    assert await flow.add(task(), path="/0") is Refusal.CLOSED
    assert await flow.add(task(), path="/0/0") is Refusal.NOT_A_SWARM
    assert await flow.add(task(), path="/9") is Refusal.NO_SUCH_NODE
    assert await flow.close("/9") is Refusal.NO_SUCH_NODE
    assert await flow.close("/1") is Refusal.NOT_A_SWARM
    other = await bench.start(swarm(*tasks(2), open=True, stop_after_n_failures=1))
    await (await other.begin("/0")).fails()
    assert await other.add(task()) is Refusal.CLOSED
    await other.cancel()
    assert await other.add(task()) is Refusal.CLOSED


@requirement(
    "S-ADD-05",
    "Items can be added, and a swarm closed, before its turn has come.",
)
async def before_its_turn(bench: Bench) -> None:
    flow = await bench.start(chain(task(), swarm(open=True)))
    assert await flow.add(task("work-b"), path="/1") == (0,)
    assert await flow.close("/1") is None
    await (await flow.begin("/0")).done(0)
    body = await flow.begin("/1/0")
    assert (body.work.signature.kind, body.work.input.previous) == ("task", "0")
    await body.done(1)
    assert await flow.value() == [1]


@requirement(
    "S-ADD-06",
    "Items added by many at the same time have places of their own, without gaps.",
)
async def added_by_many(bench: Bench) -> None:
    handles = [bench.first, await bench.another()]
    flow = await bench.start(swarm(open=True, max_concurrency=None))

    async def add(number: int) -> tuple[int, ...]:
        request = Add("", f"add-{number}", (task(f"work-{number}"), task(f"work-{number}")))
        answer = await handles[number % 2].store.add(flow.id, request)
        assert not isinstance(answer, Refusal), answer
        return tuple(answer)

    answers = await asyncio.gather(*(add(number) for number in range(20)))
    assert sorted(sum(answers, ())) == list(range(40)), answers
    for number, (one, two) in enumerate(answers):
        assert two == one + 1, "the items of one addition stand together"
        assert (await flow.view(f"/{one}")).task == f"work-{number}"
    await flow.close()
    assert await flow.serve(1) == 40


@requirement(
    "S-ADD-07",
    "1,000 items can be added at once, with arguments of their own.",
)
async def many(bench: Bench) -> None:
    flow = await bench.start(swarm(open=True, max_concurrency=None))
    items = [task().bind(number=number, empty=[]) for number in range(1_000)]
    assert await flow.add(*items) == tuple(range(1_000))
    await flow.close()
    await flow.sends(*(f"/{n}" for n in range(1_000)))
    for position in (0, 499, 999):
        body = await flow.begin(f"/{position}")
        assert dict(body.work.signature.args) == {"number": position, "empty": []}


@requirement(
    "S-ADD-08",
    "An open swarm that has nothing to run closes itself when its idle_timeout is over, counted "
    "anew from each item's end.",
)
async def idle(bench: Bench) -> None:
    flow = await bench.start(swarm(task(), open=True, idle_timeout=SOON))
    body = await flow.begin("/0")
    await bench.passes(SOON)
    assert await flow.status() is Status.ACTIVE, "it was not idle"
    await body.done(0)
    assert await flow.add(task()) == (1,)
    await (await flow.begin("/1")).done(1)
    assert await flow.status() is Status.ACTIVE
    ended = (await flow.view("/1")).ended_at
    assert ended is not None

    async def has_ended() -> bool:
        return await flow.status() is Status.DONE

    await bench.eventually(has_ended, about="an idle swarm that closes itself")
    over = (await flow.view()).ended_at
    assert over is not None
    assert over >= ended + SOON - INEXACT, "it closed too early"
    assert await flow.value() == [0, 1]


@requirement(
    "S-ADD-09",
    "Items are added to the swarm that a task has returned, by the key of the task.",
)
async def to_a_continuation(bench: Bench) -> None:
    flow = await bench.start(task())
    await (await flow.begin()).returns(swarm(open=True))
    assert await flow.add(task()) == (0,)
    await flow.close()
    await (await flow.begin("~1/0")).done("B")
    assert await flow.value() == ["B"]
