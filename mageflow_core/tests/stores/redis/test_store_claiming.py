"""What a worker is given to run: the same as in memory, whatever way it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from handles import Handle, Player, Stores
from simulation import chain, graph, swarm, task
from simulation.bodies import failure_of

from mageflow_core.machine import Continued, Done, Failed, Outcome, Verb
from mageflow_core.signatures.signature import Signature
from mageflow_core.stores.protocol import Work
from mageflow_core.stores.redis.records import INLINE

Sig = Signature[Any]
LONG = json.dumps("é" * INLINE, ensure_ascii=False)


class Pair:
    """One in Redis, one in memory: what is done to one is done to the other."""

    def __init__(self, store: Handle, memory: Player) -> None:
        self.store = store
        self.memory = memory
        self.read: list[str] = []  # claims whose work the answer did not have all of
        self._watch_reading()

    def _watch_reading(self) -> None:
        original = self.store.store.work_of

        async def work_of(run_id: str, path: str, claim: str) -> Work | None:
            self.read.append(run_id + path)
            return await original(run_id, path, claim)

        setattr(self.store.store, "work_of", work_of)  # noqa: B010 - methods are not assigned to

    async def create(self, signature: Sig, message: str = '{"n": 1}') -> None:
        for each in (self.store, self.memory):
            await each.create(signature, message)

    async def begin(self, key: str, attempt: int = 1) -> Work:
        found, expected = [
            await each.claim(key, attempt, claim=f"{key} {attempt}")
            for each in (self.store, self.memory)
        ]
        assert found.work is not None, found.why
        assert found.work == expected.work
        return found.work

    async def end(self, work: Work, outcome: Outcome) -> None:
        for each in (self.store, self.memory):
            assert await each.report(work, outcome) is None

    async def run(self, key: str, value: str | None = None, attempt: int = 1) -> Work:
        work = await self.begin(key, attempt)
        await self.end(work, Done(value=json.dumps(f"of {key}") if value is None else value))
        return work

    async def fails(self, key: str, attempt: int = 1, retry_in: float | None = None) -> Work:
        work = await self.begin(key, attempt)
        await self.end(work, Failed(failure=failure_of(work), retry_in=retry_in))
        return work

    async def run_all(self, keys: Sequence[str]) -> list[Work]:
        return [await self.run(key) for key in keys]


@pytest.fixture
async def pair(stores: Stores) -> Pair:
    return Pair(await stores.open(), stores.in_memory())


# --- in one answer ------------------------------------------------------------------------------
async def test_a_task_gets_its_message(pair: Pair) -> None:
    await pair.create(task("ok-a").bind(x=1).label(a="b").named("n"))
    work = await pair.run("r")
    assert work.input.message == '{"n": 1}'
    assert pair.read == []


async def test_labels_of_a_run_are_those_of_its_tasks(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("ok-b").label(own="1")).label(a="ü"))
    first, second = await pair.run_all(["r/0", "r/1"])
    assert (first.labels, second.labels) == ({"a": "ü"}, {"own": "1"})


async def test_steps_get_what_the_one_before_has_given(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("ok-b"), chain(task("ok-c"), task("ok-d"))))
    works = await pair.run_all(["r/0", "r/1", "r/2/0", "r/2/1"])
    assert [work.input.previous for work in works] == [None, '"of r/0"', '"of r/1"', '"of r/2/0"']
    assert pair.read == []


async def test_what_a_step_hands_on_may_be_its_own_message(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("ok-b"), task("ok-c")))
    await pair.run("r/0")
    work = await pair.begin("r/1")
    await pair.end(work, Done(value="null", passes=True, used_previous=True))
    assert (await pair.run("r/2")).input.previous == '"of r/0"'


async def test_arguments_of_the_containers_around_come_outermost_first(pair: Pair) -> None:
    inner = graph({"x": swarm(task("ok-a").bind(c=3)).bind(b=2)})
    await pair.create(chain(inner).bind(a=1))
    work = await pair.run("r/0/x/0")
    assert work.input.arguments == ({"a": 1}, {"b": 2})
    assert work.signature.args == {"c": 3}
    assert pair.read == []


async def test_items_get_the_message_of_their_swarm(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), swarm(task("ok-b"), task("ok-b"))))
    works = await pair.run_all(["r/0", "r/1/0", "r/1/1"])
    assert [work.input.message for work in works[1:]] == ['"of r/0"', '"of r/0"']
    assert works[1].signature is works[2].signature


async def test_nodes_of_a_graph_get_results_by_name(pair: Pair) -> None:
    await pair.create(
        graph({"x": task("ok-x"), "y": task("ok-y"), "z": task("ok-z")}, {"z": ("y", "x")})
    )
    *_, work = await pair.run_all(["r/x", "r/y", "r/z"])
    assert list(work.input.dependencies.items()) == [("y", '"of r/y"'), ("x", '"of r/x"')]
    assert pair.read == []


async def test_a_success_callback_gets_the_result_of_its_owner(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), ok=[chain(task("ok-b"), task("ok-c"))]).bind(a=1))
    works = await pair.run_all(["r/0", "r/!success-0/0", "r/!success-0/1"])
    assert works[1].input.previous == '"of r/0"'
    assert works[1].input.arguments == ()
    assert pair.read == []


async def test_attempts_and_generations_are_told(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("ok-b")))
    await pair.run("r/0")
    assert (await pair.fails("r/1")).attempt == 1
    for each in (pair.store, pair.memory):
        await each.steer("r", Verb.RETRY)
    again = await pair.run("r/1", attempt=2)
    assert (again.attempt, again.generation, again.fence) == (1, 2, 2)


async def test_what_a_task_goes_on_as_gets_what_that_got(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("ok-b").bind(x=1), task("ok-c")).bind(a=1))
    await pair.run("r/0")
    work = await pair.begin("r/1")
    await pair.end(work, Continued(signature=chain(task("ok-d"), task("ok-e"))))
    works = await pair.run_all(["r/1~1/0", "r/1~1/1", "r/2"])
    assert works[0].input.previous == '"of r/0"'
    assert [work.input.arguments for work in works] == [({"a": 1},)] * 3
    assert pair.read == []


# --- read by the worker -------------------------------------------------------------------------
async def test_long_messages_and_results_are_read(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("ok-b"), task("ok-c")), LONG)
    for key in ("r/0", "r/1", "r/2"):
        work = await pair.run(key, LONG)
        assert work.input.message == LONG
    assert work.input.previous == LONG
    assert pair.read == ["r/0", "r/1", "r/2"]


async def test_a_long_result_that_is_depended_on_is_read(pair: Pair) -> None:
    await pair.create(
        graph({"x": task("ok-x"), "y": task("ok-y"), "z": task("ok-z")}, {"z": ("x", "y")})
    )
    await pair.run("r/x", LONG)
    await pair.run("r/y")
    work = await pair.run("r/z")
    assert work.input.dependencies == {"x": LONG, "y": '"of r/y"'}
    assert pair.read == ["r/z"]


async def test_the_list_of_a_swarm_is_put_together(pair: Pair) -> None:
    await pair.create(chain(swarm(task("ok-a"), task("bad-b"), task("ok-c")), task("ok-d")))
    await pair.run("r/0/0")
    await pair.fails("r/0/1")
    await pair.run("r/0/2", LONG)
    work = await pair.run("r/1")
    assert work.input.previous == f'["of r/0/0",null,{LONG}]'
    assert work.input.report_of == "r/0"
    assert pair.read == ["r/1"]


async def test_the_list_of_a_swarm_is_the_message_of_a_container(pair: Pair) -> None:
    await pair.create(
        chain(
            swarm(task("ok-a")), swarm(task("ok-b")), graph({"x": task("ok-x")}, ok=[task("ok-y")])
        )
    )
    works = await pair.run_all(["r/0/0", "r/1/0", "r/2/x", "r/2/!success-0"])
    assert works[1].input.message == '["of r/0/0"]'
    assert works[2].input.message == '["of r/1/0"]'
    assert works[3].input.previous == '{"x":"of r/2/x"}'


async def test_the_mapping_of_a_graph_is_put_together(pair: Pair) -> None:
    await pair.create(
        chain(
            graph({"x": task("ok-x"), "y": swarm(task("ok-a"), chain(task("ok-b")))}), task("ok-z")
        )
    )
    await pair.run_all(["r/0/x", "r/0/y/0", "r/0/y/1/0"])
    work = await pair.run("r/1")
    assert work.input.previous == '{"x":"of r/0/x","y":["of r/0/y/0","of r/0/y/1/0"]}'


async def test_a_swarm_that_is_depended_on_is_a_list(pair: Pair) -> None:
    await pair.create(graph({"x": swarm(task("ok-a")), "y": task("ok-y")}, {"y": ("x",)}))
    works = await pair.run_all(["r/x/0", "r/y"])
    assert works[1].input.dependencies == {"x": '["of r/x/0"]'}


async def test_an_error_callback_gets_the_error(pair: Pair) -> None:
    await pair.create(chain(task("ok-a"), task("bad-b"), err=[chain(task("ok-c"), task("ok-d"))]))
    await pair.run("r/0")
    await pair.fails("r/1")
    works = await pair.run_all(["r/!error-0/0", "r/!error-0/1"])
    for work in works:
        assert work.input.error is not None
        assert (work.input.error.key, work.input.error.owner) == ("r/1", "r")
    assert works[1].input.previous == '"of r/!error-0/0"'


async def test_an_error_of_a_container_tells_of_those_below(pair: Pair) -> None:
    await pair.create(
        swarm(task("bad-a"), chain(task("bad-b")), graph({"x": task("bad-x")}), err=[task("ok-e")])
    )
    for key in ("r/0", "r/1/0", "r/2/x"):
        await pair.fails(key)
    error = (await pair.run("r/!error-0")).input.error
    assert error is not None
    assert (error.failed, len(error.failures)) == (3, 3)


@pytest.mark.parametrize("ends", ["done", "failed"])
async def test_callbacks_of_a_swarm_can_read_its_report(pair: Pair, ends: str) -> None:
    await pair.create(chain(swarm(task("ok-a"), ok=[task("ok-b")], err=[task("ok-c")])))
    if ends == "done":
        await pair.run("r/0/0")
        work = await pair.run("r/0/!success-0")
        assert work.input.previous == '["of r/0/0"]'
    else:
        await pair.fails("r/0/0")
        work = await pair.run("r/0/!error-0")
    assert work.input.report_of == "r/0"


async def test_a_callback_of_a_callback_is_no_different(pair: Pair) -> None:
    await pair.create(task("bad-a", err=[task("bad-b", err=[task("ok-c")])]))
    await pair.fails("r")
    await pair.fails("r/!error-0")
    error = (await pair.run("r/!error-0/!error-0")).input.error
    assert error is not None
    assert (error.key, error.owner) == ("r/!error-0", "r/!error-0")


# --- asked again, lost --------------------------------------------------------------------------
@pytest.mark.parametrize("message", ["1", LONG], ids=["short", "long"])
async def test_a_claim_is_answered_again_as_the_first_time(stores: Stores, message: str) -> None:
    store = await stores.open()
    await store.create(task("ok-a"), message)
    first = await store.claim(claim="c")
    assert first.work is not None
    assert await store.claim(claim="c") == first
    assert (await store.claim(claim="d")).work is None


@pytest.mark.parametrize("gone", ["lost", "removed"])
async def test_work_that_is_gone_while_the_rest_of_it_is_read_is_not_given(
    stores: Stores, gone: str
) -> None:
    # Given
    store, other = await stores.open_at(), await stores.open_at()
    await store.create(task("ok-a"), LONG)
    original = store.store.work_of

    async def too_late(run_id: str, path: str, claim: str) -> Work | None:
        if gone == "removed":
            await store.ask("DEL", store.store.server.keys.run("r"))
        stores.advance(60)
        await other.look()
        return await original(run_id, path, claim)

    setattr(store.store, "work_of", too_late)  # noqa: B010 - methods are not assigned to
    # When
    claimed = await store.claim()
    # Then
    assert claimed.work is None
    assert claimed.verdict == "release"
    assert "lost" in claimed.why


async def test_many_claim_one_node_and_one_has_it(stores: Stores) -> None:
    store = await stores.open()
    await store.create(task("ok-a"))
    claims = await asyncio.gather(*(store.claim(worker=f"w{n}") for n in range(10)))
    assert sum(claimed.work is not None for claimed in claims) == 1
    assert {claimed.verdict for claimed in claims if claimed.work is None} == {"skip"}


@pytest.mark.parametrize(
    ("flow", "key"),
    [
        (chain(task("ok-a"), task("ok-b")), "r/0"),
        (chain(chain(task("ok-a"), task("ok-b"))), "r/0/0"),
        (chain(swarm(task("ok-a"), task("ok-b"), max_concurrency=1)), "r/0/0"),
    ],
)
async def test_a_report_reads_what_it_needs_of_the_container_with_the_rest(
    stores: Stores, flow: Sig, key: str
) -> None:
    # Given
    handle = await stores.open()
    await handle.create(flow)
    work = await handle.begin(key)
    await handle.forget_counts()
    # When
    await handle.done(work)
    # Then what it is about, and then what begins next
    assert (await handle.count("hmget"), await handle.count("hget")) == (2, 0)
